from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.probes.base import Probe
from outfield.features.probes.rankfeat import WithoutRankOne
from outfield.types import Outputs, State


@dataclass(frozen=True)
class RankFeat(Detector):
    """Energy of logits from feature maps that have lost their largest singular component, ``-logsumexp(z')`` [1].

    ``z'`` is the mean over the last ``blocks`` of the logits of a forward pass that goes on from
    ``A - s_1 u_1 v_1^T``, A [C, H W] the block's map; the probe ``rankfeat`` gives them.

    Parameters
    ----------
    layers : names of layers
        Empty for the last ``blocks`` that give maps.
    blocks : int
        Two in the paper, each a forward pass; as many as there are, if fewer.

    Examples
    --------
    >>> rankfeat = RankFeat()
    >>> (probe,) = rankfeat.probes()
    >>> layers = {f"{probe.key}/block{i}": torch.tensor([[float(i), 0.0]]) for i in (3, 5)}
    >>> rankfeat.score(Outputs(layers=layers), {})
    tensor([-4.0181])

    References
    ----------
    [1] Song, Sebe, Wang. RankFeat: Rank-1 Feature Removal for Out-of-distribution Detection. NeurIPS 2022.
    """

    layers: tuple[str, ...] = ()
    blocks: int = 2

    needs: ClassVar[frozenset[str]] = frozenset({"rankfeat"})
    information: ClassVar[str] = "layers"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"blocks": (1, 2)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"blocks": (1, 100)}

    def probes(self) -> tuple[Probe, ...]:
        return (WithoutRankOne(self.layers, self.blocks),)

    def score(self, out: Outputs, state: State) -> Tensor:
        (probe,) = self.probes()
        logits = torch.stack([*probe.values(out).values()]).mean(0)
        return -torch.logsumexp(logits, dim=1)
