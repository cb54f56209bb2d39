from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from outfield.detectors._mass import kept, positive, ratio
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.types import Outputs, State


@dataclass(frozen=True)
class ASH(Detector):
    """Activation shaping, then energy: ``-logsumexp(W f' + b)`` [1].

    ``f'`` keeps the k largest activations of each row, ``k = D - round(D percentile / 100)``, and sets the others to
    zero. Variant "p" leaves the kept ones, "b" sets each to ``sum(f) / k``, "s" multiplies them by
    ``exp(sum(f) / sum(kept))``. The sums read ``relu(f)``; a row without mass is left as it is.

    Parameters
    ----------
    percentile : float
        Share in percent that is cut off, from 0 to 100.
    variant : "s", "b" or "p"

    Raises
    ------
    UserError
        The variant is another.

    Examples
    --------
    >>> from outfield.types import Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> ASH(percentile=50, variant="p").score(Outputs(features=torch.tensor([[3.0, 1.0]]), head=head), {})
    tensor([-3.0486])

    References
    ----------
    [1] Djurisic, Bozanic, Ashok, Liu. Extremely Simple Activation Shaping for Out-of-Distribution Detection. ICLR 2023.
    """

    percentile: float = 90.0
    variant: Literal["s", "b", "p"] = "s"

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head"})
    information: ClassVar[str] = "hybrid"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"percentile": (65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"percentile": (0, 100)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in ("s", "b", "p"):
            raise UserError(f"Expected variant of ASH 's', 'b' or 'p', but got {self.variant!r}. Choose one of them.")

    def score(self, out: Outputs, state: State) -> Tensor:
        return -torch.logsumexp(out.head(self._shaped(out.features)), dim=1)

    def _shaped(self, features: Tensor) -> Tensor:
        k = kept(features.shape[1], self.percentile)
        top = features.topk(k, dim=1)
        return torch.zeros_like(features).scatter_(1, top.indices, self._changed(features, top.values, k))

    def _changed(self, features: Tensor, top: Tensor, k: int) -> Tensor:
        if self.variant == "b":
            return (positive(features).sum(1, keepdim=True) / k).expand_as(top)
        return top * ratio(features, k).exp() if self.variant == "s" else top
