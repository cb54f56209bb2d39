from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from outfield.detectors._wrapper import part, scores, state_with
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.types import Outputs, State

Link = Literal["ratio", "log_ratio", "reciprocal"]


@dataclass(frozen=True)
class SCOD(Detector):
    """Plug-in rule for selective classification with OOD detection, by costs; abstain where it is positive [1].

    ``(1 - c_in - c_out) e(x) + c_out r(x) - c_in``, with e the probability of an error, ``1 - max_y P_in(y | x)``, and
    ``r = P_out(x) / P_in(x)``. With the true e and r it is the rule of least risk
    ``(1 - c_in - c_out) P_in(wrong, kept) + c_in P_in(rejected) + c_out P_out(kept)``. With ``c_out = 0`` it is Chow's
    rule: abstain where the error is more probable than ``c_in / (1 - c_in)``.

    The black-box estimator of the paper: e and r come from any two detectors. The other one learns r from an unlabelled
    mixture of ID and OOD inputs, which no fit of a detector has; one that has learned it can stand here as ``ood``.

    Parameters
    ----------
    confidence : Detector
        Its score is taken as e: ``msp``, or ``temp_scale``.
    ood : Detector
        Its score s is turned into r by ``link``.
    link : "ratio", "log_ratio" or "reciprocal"
        ``r = s``; ``r = exp(s)``, for minus log densities such as energies; or ``r = -1 / s``, for minus
        a density, such as the feature norm of the paper.
    scale : float, optional
        What r is multiplied by. By default such that its mean over held-out ID rows is one, as that of a ratio of
        densities is; one where the score is a true ratio.
    c_in : float
        Cost of an ID row that is rejected.
    c_out : float
        Cost of an OOD row that is kept. Together they are at most one.

    Raises
    ------
    UserError
        Costs above one together, an unknown link; by ``fit`` and ``score``, a score that the link cannot take.

    Examples
    --------
    >>> chow = SCOD(c_in=0.2, c_out=0.0, scale=1.0)
    >>> out = Outputs(logits=torch.tensor([[3.0, 0.0], [1.0, 0.0]]), features=torch.ones(2, 1))
    >>> chow.score(out, {}) > 0, chow.confidence.score(out, {}) > 0.25
    (tensor([False,  True]), tensor([False,  True]))

    References
    ----------
    [1] Narasimhan, Menon, Jitkrittum, Kumar. Plugin Estimators for Selective Classification with Out-of-Distribution
        Detection. ICLR 2024.
    """

    confidence: Detector = "msp"  # type: ignore[assignment]  # built
    ood: Detector = "feature_norm"  # type: ignore[assignment]  # built
    link: Link = "reciprocal"
    scale: float | None = None
    c_in: float = 0.2
    c_out: float = 0.2

    needs: ClassVar[frozenset[str]] = frozenset()
    information: ClassVar[str] = "hybrid"
    by_default: ClassVar[bool] = False
    fits_on: ClassVar[frozenset[str]] = frozenset({"val"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"c_out": (0.0, 0.05, 0.2, 0.5)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"c_in": (0, 1), "c_out": (0, 1), "scale": (0, 1e300)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.c_in + self.c_out > 1:
            raise UserError(f"Expected c_in + c_out of at most 1, but got {self.c_in} and {self.c_out}. Lower one.")
        if self.link not in ("ratio", "log_ratio", "reciprocal"):
            raise UserError(f"Expected link 'ratio', 'log_ratio' or 'reciprocal', but got {self.link!r}. Choose one.")

    def fit(self, data: FitData) -> State:
        first, second = self.confidence.fit(data), self.ood.fit(data)
        logs = torch.cat([self._log_ratio(some) for some in scores(self.ood, second, data.val)])
        mean = logs.logsumexp(0) - torch.tensor(float(len(logs)), dtype=torch.float64).log()
        return state_with({"log_scale": -mean.reshape(1)}, confidence=first, ood=second)

    def score(self, out: Outputs, state: State) -> Tensor:
        error = self.confidence.score(out, part("confidence", state)).double()
        logs = self._log_ratio(self.ood.score(out, part("ood", state)))
        ratio = (logs + (state["log_scale"] if self.scale is None else 0.0)).clamp(max=_LARGEST).exp()
        ratio = ratio if self.scale is None else self.scale * ratio
        return (1 - self.c_in - self.c_out) * error + self.c_out * ratio - self.c_in

    def _log_ratio(self, found: Tensor) -> Tensor:
        """Logarithm of the ratio, in float64."""
        if self.link == "log_ratio":
            return found.double()
        positive = found.double() if self.link == "ratio" else -found.double()
        if bool((positive < 0).any()):
            raise UserError(
                f"Expected scores of {self.ood.title} {'below' if self.link == 'reciprocal' else 'above'} zero for the "
                f"link {self.link!r}, but got {float(found[positive < 0][0]):.3g}. Choose link 'log_ratio'."
            )
        logs = positive.clamp(min=1e-30).log()
        return -logs if self.link == "reciprocal" else logs


_LARGEST = 300.0
"""Logarithm of the largest ratio: beyond it, rows are tied."""
