"""Whose rows they are: the one place that writes the columns of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from outfield.data.member import Member
from outfield.types import Estimate


@dataclass(frozen=True)
class Subject:
    """What is measured, as every row of it says.

    Parameters
    ----------
    study : str
    name : str
        Of the model, or of the training run.
    strategy, family : str
        How it was trained.
    seed : int
    id : str
        What reports call the ID data.
    task : str
        Name of the task.
    step : int, optional
        Of training, where a run is followed.

    Examples
    --------
    >>> from outfield.data.member import Counted
    >>> noisy = Member("noise 3", "shift", Counted(40), shift="noise", severity=3)
    >>> row = Subject("demo", "net-0", "mixup").row(noisy, "accuracy", Estimate(0.75))
    >>> [row[name] for name in ("study", "model", "ood", "severity", "metric", "value", "role")]
    ['demo', 'net-0', 'noise 3', 3, 'accuracy', 0.75, 'test']
    """

    study: str
    name: str
    strategy: str
    family: str = "other"
    seed: int = 0
    id: str = "ID"
    task: str = "classify"
    step: int | None = None

    def row(self, member: Member, metric: str, found: Estimate, **columns: Any) -> dict[str, Any]:
        """A row on a measure of a set; other columns by name go before what it would say.

        Examples
        --------
        >>> from outfield.data.member import Counted
        >>> test = Member("test", "test", Counted(9))
        >>> row = Subject("demo", "net-0", "mixup").row(test, "auroc", Estimate(0.9), role="curve")
        >>> row["role"], row["ood"], row["set_kind"]
        ('curve', None, 'id')
        """
        return {
            "study": self.study,
            "run": self.name,
            "model": self.name,
            "strategy": self.strategy,
            "family": self.family,
            "seed": self.seed,
            "id": self.id,
            "task": self.task,
            "step": self.step,
            "role": "test",
            **member.columns(),
            "metric": metric,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            **columns,
        }
