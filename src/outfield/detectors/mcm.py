from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from outfield.detectors._cosines import cosines
from outfield.detectors._softmax import others
from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class MCM(Detector):
    """Maximum concept matching: softmax of cosines to the classes, ``1 - max_c softmax(cos(f, w_c) / T)_c`` [1].

    The weights ``w_c`` are the text embeddings of a CLIP model's classes, or the head's own of any other classifier;
    the bias is left out.

    Parameters
    ----------
    temperature : float
        T, one in the paper.

    Examples
    --------
    >>> import torch
    >>> from outfield.types import Head
    >>> out = Outputs(features=torch.tensor([[2.0, 0.0], [1.0, 1.0]]), head=Head(torch.eye(2), torch.zeros(2)))
    >>> MCM().score(out, {})
    tensor([0.2689, 0.5000], dtype=torch.float64)

    References
    ----------
    [1] Ming, Cai, Gu, Sun, Li, Li. Delving into Out-of-Distribution Detection with Vision-Language Representations.
        NeurIPS 2022.
    """

    temperature: float = 1.0

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head"})
    information: ClassVar[str] = "hybrid"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"temperature": (0.01, 0.1, 1.0, 10.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"temperature": (1e-6, 1e6)}

    def score(self, out: Outputs, state: State) -> Tensor:
        return others(cosines(out).double() / self.temperature)
