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
    from outfield.guard.accuracy import AccuracyEstimates
    from outfield.guard.bundle import Bundle
    from outfield.guard.onnx_backend import OnnxGuard
    from outfield.guard.recent_accuracy import RecentAccuracy

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
        self.mirror_alarm = self._gauge("outfield_mirror_alarm", "Whether the stream's scores have fallen.")
        self.acknowledged = self._counter("outfield_acknowledgements_total", "Alarms that somebody acknowledged.")
        self.evidence = self._gauge("outfield_evidence", "The monitor's statistic.")
        self.mirror_evidence = self._gauge("outfield_mirror_evidence", "The statistic of the monitor of fallen scores.")
        self.alarm_at = self._gauge("outfield_evidence_threshold", "The statistic at which it alarms.")
        self.watched = self._gauge("outfield_monitor_items", "Inputs that the monitor has bet on.")
        self.flags = self._gauge(
            "outfield_flags_ratio", "Share of inputs above a rung, with its always-valid interval.", "rung", "bound"
        )
        self.accuracy = self._gauge(
            "outfield_estimated_accuracy_ratio", "Estimated accuracy on recent inputs.", "estimator", "bound"
        )
        self.accuracy_refused = self._gauge(
            "outfield_estimated_accuracy_refused", "Whether too many recent inputs are OOD for an estimate."
        )
        self.ood = self._gauge("outfield_certified_ood_ratio", "Share of recent inputs that certainly is OOD.")
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

    def look(self, monitor: Monitor, waiting: int, audit: Audit | None, accuracy: RecentAccuracy | None = None) -> None:
        """Set what is worked out when somebody looks."""
        self.waiting.set(waiting)
        self.alarm.set(float(monitor.alarm))
        self.watched.set(monitor.items)
        self.evidence.set(monitor.statistic)
        if monitor.mirror is not None:
            self.mirror_alarm.set(float(monitor.mirror.alarm))
            self.mirror_evidence.set(monitor.mirror.statistic)
        if accuracy is not None and accuracy.latest is not None:
            self.estimated(accuracy.latest)
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

    def estimated(self, found: AccuracyEstimates) -> None:
        """Set the estimated accuracy of recent inputs."""
        self.accuracy.clear()
        self.accuracy_refused.set(float(found.refused))
        self.ood.set(found.ood_share or 0.0)
        for name, one in found.estimates.items():
            for bound in ("low", "value", "high"):
                self.accuracy.labels(name, bound).set(getattr(one, bound))

    def by_status(self) -> dict[str, int]:
        """Requests by the status of their answer."""
        samples = next(iter(self.requests.collect())).samples
        return {one.labels["status"]: int(one.value) for one in samples if one.name.endswith("_total")}

    def seconds_of(self, share: float) -> float:
        """Seconds that a share of the requests take at most, straight between the histogram's bounds; NaN of none."""
        samples = next(iter(self.seconds.collect())).samples
        counts = np.array([one.value for one in samples if one.name.endswith("_bucket")])
        bounds = np.array([float(one.labels["le"]) for one in samples if one.name.endswith("_bucket")])
        if not counts[-1]:
            return float("nan")
        at = int(np.searchsorted(counts, share * counts[-1]))
        if np.isinf(bounds[at]):
            return float(bounds[at - 1])
        low, before = (0.0, 0.0) if at == 0 else (bounds[at - 1], counts[at - 1])
        return float(low + (bounds[at] - low) * (share * counts[-1] - before) / (counts[at] - before))

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
