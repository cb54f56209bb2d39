"""What a service tells Prometheus. The dashboard for it is ``grafana.json`` beside this file."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from outfield.guard.audit import Audit
from outfield.guard.monitor import Monitor
from outfield.guard.thresholds import RUNGS
from outfield.guard.verdicts import Verdicts

if TYPE_CHECKING:
    from outfield.guard.bundle import Bundle
    from outfield.guard.onnx_backend import OnnxGuard

OF_BUNDLE = ["version", "detector"]
"""Labels: the first twelve characters of a bundle's digest, and its detector."""


class Counts:
    """Counters and gauges of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.inputs = self._counter("outfield_inputs_total", "Inputs by verdict.", "verdict", *OF_BUNDLE)
        self.requests = self._counter("outfield_requests_total", "Requests by status.", "status")
        self.seconds = Histogram("outfield_request_seconds", "Seconds of a request.", registry=self.registry)
        self.p = Histogram(
            "outfield_p",
            "The p of inputs.",
            OF_BUNDLE,
            buckets=(*RUNGS, 1.0),
            registry=self.registry,
        )
        self.threshold = self._gauge("outfield_threshold", "The threshold.", *OF_BUNDLE)
        self.alarm = self._gauge("outfield_alarm", "Whether the stream has changed.")
        self.evidence = self._gauge("outfield_evidence", "The monitor's statistic.")
        self.alarm_at = self._gauge("outfield_evidence_threshold", "The statistic at which it alarms.")
        self.watched = self._gauge("outfield_monitor_items", "Inputs that the monitor has bet on.")
        self.flags = self._gauge(
            "outfield_flags_ratio", "Share of inputs above a rung, with its always-valid interval.", "rung", "bound"
        )
        self.waiting = self._gauge("outfield_waiting_requests", "Requests in the queue.")
        self.audit = self._counter("outfield_audit_rows_total", "Rows of the audit log by their fate.", "fate")
        self.failures = self._counter("outfield_audit_failures_total", "Failures to write the log or the state.")
        self._told = {"written": 0, "lost": 0, "failures": 0}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def say(self, bundle: Bundle | OnnxGuard) -> None:
        """Of which bundle the counts are from now on."""
        self._of = bundle.manifest.digest[:12], bundle.manifest.detector.name
        self.threshold.clear()
        self.threshold.labels(*self._of).set(bundle.threshold)

    def add(self, found: Verdicts, monitor: Monitor) -> None:
        """Count some answers."""
        for verdict, count in zip(*np.unique(found.verdict, return_counts=True), strict=True):
            self.inputs.labels(str(verdict), *self._of).inc(int(count))
        p = self.p.labels(*self._of)
        for one in found.p[~np.isnan(found.p)].tolist():
            p.observe(one)
        self.alarm.set(float(monitor.alarm))

    def look(self, monitor: Monitor, waiting: int, audit: Audit | None) -> None:
        """Set what is worked out when somebody looks."""
        self.waiting.set(waiting)
        self.alarm.set(float(monitor.alarm))
        self.watched.set(monitor.items)
        self.evidence.set(monitor.statistic)
        self.alarm_at.set(monitor.run_length / monitor.block)
        for place, rate in enumerate(monitor.ladder.rates.tolist()):
            low, high = monitor.flag_rate(place)
            seen = monitor.flags[place] / max(monitor.items, 1)
            for bound, value in (("low", low), ("seen", seen), ("high", high)):
                self.flags.labels(f"{rate:g}", bound).set(value)
        if audit is not None:
            self._bring(self.audit.labels("written"), "written", audit.answers.written + audit.feedback.written)
            self._bring(self.audit.labels("lost"), "lost", audit.lost)
            self._bring(self.failures, "failures", audit.failures)

    def _bring(self, counter: Counter, name: str, to: int) -> None:
        counter.inc(to - self._told[name])
        self._told[name] = to


def grafana() -> str:
    """The dashboard for Grafana, as JSON.

    Examples
    --------
    >>> import json
    >>> json.loads(grafana())["title"]
    'outfield guard'
    """
    return files("outfield.guard").joinpath("grafana.json").read_text(encoding="utf-8")
