from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from outfield.errors import UserError
from outfield.metrics._risk_coverage import mean_risk
from outfield.metrics.base import DiagnosticMetric, Ranking
from outfield.types import Estimate


@dataclass(frozen=True)
class JointAurc(DiagnosticMetric):
    """Area under the joint risk-coverage curve: what is wrong, or unknown, among the rows that a score keeps [1].

    ID and OOD rows are put together and the k lowest scores are kept. Their risk is
    ``((1 - c_fn) wrong ID rows + c_fn OOD rows) / k``; the area is its mean over k. It is the measure of selective
    classification with OOD detection: a detector earns by leaving out errors as well as unknown inputs. It depends on
    how many OOD rows there are, so compare it on the same sets only. Ties are taken in every order at once.

    No interval: the weights of the two kinds of rows are a choice, not a sample.

    Parameters
    ----------
    c_fn : float
        Cost of an OOD row that is kept, from 0 to 1, beside ``1 - c_fn`` for an error; 0.75 in [1].

    Raises
    ------
    UserError
        ``c_fn`` beyond 0 and 1.

    Examples
    --------
    >>> JointAurc(c_fn=0.5)([0.1, 0.3], [True, False], [0.9]).value
    0.19444444444444442

    References
    ----------
    [1] Narasimhan, Menon, Jitkrittum, Kumar. Plugin Estimators for Selective Classification with Out-of-Distribution
    Detection. ICLR 2024.
    """

    c_fn: float = 0.75

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "joint AURC"

    def __post_init__(self) -> None:
        if not 0 <= self.c_fn <= 1:
            raise UserError(f"Expected c_fn from 0 to 1, but got {self.c_fn}. Choose a value in between.")

    def of(self, data: Ranking) -> Estimate:
        scores = np.concatenate([data.id.values, data.ood])
        loss = np.concatenate([(1 - self.c_fn) * ~data.id.known, np.full(data.n_ood, self.c_fn)])
        order = np.argsort(scores, kind="stable")
        weights = None
        if data.weighted:
            masses = (
                (data.id.weights, data.n_id),
                (data.weights, data.n_ood),
            )
            weights = np.concatenate([np.ones(n) if mass is None else mass for mass, n in masses])[order]
        return Estimate(mean_risk(scores[order], loss[order], weights), n=data.n)
