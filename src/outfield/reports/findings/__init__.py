"""Coded findings: what the software says without being asked."""

from outfield.reports.findings.base import TITLES, Finding, frame, ordered
from outfield.reports.findings.checks import findings
from outfield.reports.findings.texts import Told, told

__all__ = ["TITLES", "Finding", "Told", "findings", "frame", "ordered", "told"]
