"""What counts as good in a study's rows: the first measure of their task."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from outfield import registry
from outfield.errors import UserError

SHARES = frozenset({"accuracy", "balanced_accuracy"})
"""Performances that are a share of the items: shown in percent, and on the log scale of what is missing to 1."""
DEFAULT = "classify"
"""The task of rows that name none."""


@dataclass(frozen=True)
class Performance:
    """The metric that says how good a model is, as text and statistics need it.

    Parameters
    ----------
    metric : str
        Its name in rows.
    label : str
        Its name at the start of a heading.
    higher_is_better : bool

    Examples
    --------
    >>> error = Performance("mean_absolute_error", "Mean absolute error", higher_is_better=False)
    >>> error.word, error.oriented(-0.8), error.better("models")
    ('mean absolute error', 0.8, 'models of lower mean absolute error')
    >>> Performance("accuracy", "Accuracy", True).average, error.average
    ('mean accuracy', 'mean absolute error')
    """

    metric: str
    label: str
    higher_is_better: bool

    @property
    def word(self) -> str:
        """Its name within a sentence; an abbreviation stays one."""
        return self.label if self.label[1:2].isupper() else self.label[:1].lower() + self.label[1:]

    @property
    def average(self) -> str:
        """What its mean over sets or seeds is called within a sentence; what is a mean already keeps its name."""
        return self.word if self.word.startswith("mean ") else f"mean {self.word}"

    @property
    def share(self) -> bool:
        """Whether it is a share of the items."""
        return self.metric in SHARES

    @property
    def direction(self) -> str:
        """Which values are better."""
        return "higher" if self.higher_is_better else "lower"

    def oriented(self, value: float) -> float:
        """A correlation, or a difference, with it as it would be if higher values were better."""
        return value if self.higher_is_better else -value

    def text(self, value: float | None) -> str:
        """A value as a sentence shows it: a share in percent, else three digits; empty where it is not known."""
        return "" if value is None else f"{value:.1%}" if self.share else f"{value:.3g}"

    def better(self, several: str) -> str:
        """Those of several that are better by it, in words."""
        return f"{several} of {self.direction} {self.word}"


def performance(rows: pl.DataFrame) -> Performance:
    """The first measure of the task that rows name; of rows without a task, the accuracy.

    Raises
    ------
    UserError
        The rows are of tasks whose first measures differ, or no installed package has the task.

    Examples
    --------
    >>> performance(pl.DataFrame({"model": ["net"]}))
    Performance(metric='accuracy', label='Accuracy', higher_is_better=True)
    """
    firsts = {task: str(registry.find("tasks", task).measures[0]) for task in _tasks(rows)}
    if len(set(firsts.values())) > 1:
        said = ", ".join(f"{task} ({measure})" for task, measure in firsts.items())
        raise UserError(f"Expected rows of tasks with one measure of performance, but got {said}. Take one task.")
    return of_metric(next(iter(firsts.values())))


def measures(rows: pl.DataFrame) -> tuple[str, ...]:
    """The metrics of the task that rows name, the performance first.

    Raises
    ------
    UserError
        As :func:`performance`.

    Examples
    --------
    >>> measures(pl.DataFrame({"task": ["regress"]}))
    ('mean_absolute_error', 'root_mean_squared_error')
    """
    performance(rows)
    return tuple(dict.fromkeys(name for task in _tasks(rows) for name in registry.find("tasks", task).measures))


def _tasks(rows: pl.DataFrame) -> list[str]:
    named = rows["task"].drop_nulls().cast(pl.String).unique().sort().to_list() if "task" in rows.columns else []
    return named or [DEFAULT]


def of_metric(name: str) -> Performance:
    """A metric as a performance.

    Raises
    ------
    UserError
        There is no such metric.

    Examples
    --------
    >>> of_metric("mean_absolute_error").direction, of_metric("accuracy").text(0.912)
    ('lower', '91.2%')
    """
    metric = registry.find("metrics", name)
    return Performance(name, str(metric.label), bool(metric.higher_is_better))
