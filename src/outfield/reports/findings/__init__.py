"""Coded findings: what the software says without being asked."""

from outfield.reports.findings.base import TITLES, Finding, frame, ordered
from outfield.reports.findings.checks import findings

__all__ = ["TITLES", "Finding", "findings", "frame", "ordered"]
