from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.errors import UserError
from outfield.features.probes._maps import chosen
from outfield.features.probes.base import Probe
from outfield.models.base import Changeable, Model
from outfield.types import Outputs


@dataclass(frozen=True)
class WithoutRankOne(Probe):
    """Logits of a forward pass that goes on from a feature map without its largest singular component [1].

    A map [C, H W] loses ``s_1 u_1 v_1^T``, exactly: from the eigenvectors of the smaller of its two Gram matrices. A
    value ``KEY/LAYER`` [n, C] for each layer, each a forward pass of its own.

    Parameters
    ----------
    layers : names of layers
        Empty for the last ``blocks`` that give maps.
    blocks : int

    Raises
    ------
    UserError
        No layer gives maps; a model whose layers cannot be changed.

    Examples
    --------
    >>> WithoutRankOne(blocks=1).key
    'rankfeat(layers=(),blocks=1)'
    >>> without_rank_one(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]))
    tensor([[[0., 0.],
             [0., 1.]]])

    References
    ----------
    [1] Song, Sebe, Wang. RankFeat: Rank-1 Feature Removal for Out-of-distribution Detection. NeurIPS 2022.
    """

    layers: tuple[str, ...] = ()
    blocks: int = 2

    passes: ClassVar[int] = 2
    forwards: ClassVar[int] = 2
    needs_layers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("passes", "forwards"):
            object.__setattr__(self, name, len(self.layers) or self.blocks)

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        if not isinstance(model, Changeable):
            raise UserError(
                f"Expected a model whose feature maps can be changed, but {model.name!r} is a {type(model).__name__}. "
                "Open the network with PyTorch, or leave this detector out."
            )
        names = tuple(chosen(model, first, self.layers, axes=2))
        found = {}
        for name in names if self.layers else names[-self.blocks :]:
            with torch.no_grad(), model.changed(name, without_rank_one):
                found[f"{self.key}/{name}"] = model.forward(x.detach()).logits
        return found


def without_rank_one(maps: Tensor) -> Tensor:
    """Maps [n, C, ...] without the largest singular component of each one's matrix [C, places]."""
    matrix = maps.flatten(2)
    tall = matrix.shape[1] > matrix.shape[2]
    matrix = matrix.transpose(1, 2) if tall else matrix
    _, vectors = torch.linalg.eigh(matrix @ matrix.transpose(1, 2))
    vector = vectors[:, :, -1:]
    rest: Tensor = matrix - vector @ (vector.transpose(1, 2) @ matrix)
    return (rest.transpose(1, 2) if tall else rest).reshape(maps.shape)
