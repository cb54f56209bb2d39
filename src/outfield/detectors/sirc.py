from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.detectors._wrapper import part, scores, state_with
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.types import Outputs, State


@dataclass(frozen=True)
class SIRC(Detector):
    """Softmax information retaining combination: a confidence, raised where a second score calls a row odd [1].

    ``log s_1 + log(1 + exp((s_2 - mean - 3 sd) / sd))``, with ``s_1`` the first score and mean and sd those of the
    second on held-out ID data; the logarithm of the paper's ``(S_max - S_1)(1 + exp(-b (S_2 - a)))``,
    ``a = mean - 3 sd`` and ``b = 1 / sd`` of the confidence ``S_2 = -s_2``. The first's order
    stands while the second is usual.

    Parameters
    ----------
    confidence : Detector
        Its score is the distance to full confidence, none negative: ``msp`` (``1 - max p``), ``entropy`` or ``doctor``.
    second : Detector
        Any other: in the paper ``feature_norm`` or ``residual``.

    Raises
    ------
    UserError
        By ``fit``, where the first score is negative.

    Examples
    --------
    >>> sirc = SIRC()
    >>> state = {"mean": torch.tensor([-9.0]), "deviation": torch.tensor([1.0])}
    >>> out = Outputs(logits=torch.tensor([[2.0, 0.0]] * 2), features=torch.tensor([[9.0], [1.0]]))
    >>> sirc.score(out, state).round(decimals=2)
    tensor([-2.0800,  2.8800], dtype=torch.float64)

    References
    ----------
    [1] Xia, Bouganis. Augmenting Softmax Information for Selective Classification with Out-of-Distribution Data.
        ACCV 2022.
    """

    confidence: Detector = "msp"  # type: ignore[assignment]  # built
    second: Detector = "feature_norm"  # type: ignore[assignment]  # built

    needs: ClassVar[frozenset[str]] = frozenset()
    information: ClassVar[str] = "hybrid"
    by_default: ClassVar[bool] = False
    fits_on: ClassVar[frozenset[str]] = frozenset({"val"})

    def fit(self, data: FitData) -> State:
        first, second = self.confidence.fit(data), self.second.fit(data)
        lowest = min(float(some.min()) for some in scores(self.confidence, first, data.val))
        if lowest < 0:
            raise UserError(
                f"Expected a confidence whose score is zero at full confidence and never negative, but "
                f"{self.confidence.title} gives {lowest:.3g}. Take msp, entropy or doctor."
            )
        known = torch.cat([*scores(self.second, second, data.val)]).double()
        own = {"mean": known.mean().reshape(1), "deviation": known.std(correction=0).clamp(min=1e-12).reshape(1)}
        return state_with(own, confidence=first, second=second)

    def score(self, out: Outputs, state: State) -> Tensor:
        first = self.confidence.score(out, part("confidence", state)).double()
        second = self.second.score(out, part("second", state)).double()
        odd = (second - state["mean"]) / state["deviation"] - 3
        raised = torch.logsumexp(torch.stack([odd, torch.zeros_like(odd)]), dim=0)
        return first.clamp(min=torch.finfo(first.dtype).tiny).log() + raised
