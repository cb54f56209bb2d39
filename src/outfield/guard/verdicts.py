"""What a guard says of inputs: scores, p, verdicts, and predictions with them. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from outfield.errors import UserError
from outfield.types import Array

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the guard says of some inputs.

    Attributes
    ----------
    score : array [n]
        Higher is further out.
    p : array [n]
        The least certified rate whose threshold the score is above, else 1.
    verdict : array of str [n]
        ``id``, ``ood``, or ``no verdict`` where there is no score.

    Examples
    --------
    >>> found = Verdicts(np.array([0.1]), np.array([1.0]), np.array(["id"]))
    >>> found.frame().rows()
    [(0.1, 1.0, 'id')]
    """

    score: Array
    p: Array
    verdict: Array

    @classmethod
    def of(cls, score: Array, p: Array, flag: Array) -> Verdicts:
        """Verdicts of flags [n]; none where there is no score."""
        return cls(score, p, np.where(np.isnan(score), "no verdict", np.where(flag, "ood", "id")))

    def frame(self) -> pl.DataFrame:
        """One row an input, as a polars frame."""
        import polars as pl

        return pl.DataFrame({"score": self.score, "p": self.p, "verdict": self.verdict.astype(str).tolist()})


@dataclass(frozen=True)
class Answer:
    """What a guarded model says of one input."""

    prediction: Any
    score: float
    p: float
    verdict: str


@dataclass(frozen=True, eq=False)
class Answers:
    """What a guarded model says of some inputs: ``prediction``, ``score``, ``p`` and ``verdict``, [n] each.

    ``logits`` [n, C] are there for a batch of a stream from a classifier, and else None.

    Examples
    --------
    >>> some = Answers(np.array(["cat"]), Verdicts(np.array([0.2]), np.array([1.0]), np.array(["id"])))
    >>> len(some), some[0]
    (1, Answer(prediction='cat', score=0.2, p=1.0, verdict='id'))
    """

    prediction: Array
    verdicts: Verdicts
    logits: Array | None = None

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """The answers of all batches, in order.

        Raises
        ------
        UserError
            No batch.
        """
        if not parts:
            raise UserError("Expected inputs to answer, but got none. Pass at least one.")
        verdicts = (np.concatenate([getattr(one, name) for one in parts]) for name in ("score", "p", "verdict"))
        logits = [one.logits for one in parts if one.logits is not None]
        return cls(
            np.concatenate([one.prediction for one in parts]), Verdicts(*verdicts),
            np.concatenate(logits) if len(logits) == len(parts) else None,
        )  # fmt: skip

    @property
    def score(self) -> Array:
        return self.verdicts.score

    @property
    def p(self) -> Array:
        return self.verdicts.p

    @property
    def verdict(self) -> Array:
        return self.verdicts.verdict

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, row: int) -> Answer:
        said = self.prediction[row]
        return Answer(
            said.item() if hasattr(said, "item") else said, float(self.score[row]), float(self.p[row]),
            str(self.verdict[row]),
        )  # fmt: skip

    def frame(self) -> pl.DataFrame:
        """One row an input."""
        import polars as pl

        return self.verdicts.frame().insert_column(0, pl.Series("prediction", self.prediction.tolist()))
