from __future__ import annotations

import torch
from torch import Tensor, nn

from outfield.errors import UserError


class TinyViT(nn.Module):
    """A small vision transformer [1]: patches, their places, layers of attention, the mean of tokens, a linear head.

    Layers are normalised before they are read, and so is the last; there is no class token.

    Parameters
    ----------
    classes : int
        C, the width of the head.
    channels : int
        Channels of the pictures.
    side : int
        Pixels of a picture's side: a multiple of ``patch``.
    patch : int
        Pixels of a patch's side.
    width : int
        Of a token; a multiple of ``heads``.
    depth, heads : int

    Raises
    ------
    UserError
        The sizes do not fit each other; in a forward pass, pictures of another size.

    Examples
    --------
    >>> network = TinyViT(classes=8, side=16, patch=4)
    >>> network.tokens(torch.rand(2, 1, 16, 16)).shape, network(torch.rand(2, 1, 16, 16)).shape
    (torch.Size([2, 16, 64]), torch.Size([2, 8]))

    References
    ----------
    [1] Dosovitskiy et al. An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale. ICLR 2021.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        *,
        side: int = 16,
        patch: int = 4,
        width: int = 64,
        depth: int = 3,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if side % patch or width % heads:
            raise UserError(
                f"Expected a side that is a multiple of patch and a width that is one of heads, but got {side}, "
                f"{patch}, {width} and {heads}. Change one of them."
            )
        self.side, self.patch = side, patch
        self.embedding = nn.Conv2d(channels, width, patch, stride=patch)
        self.places = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2, width))
        self.layers = nn.ModuleList([_layer(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def tokens(self, x: Tensor) -> Tensor:
        """The last token of each patch, row by row, [n, patches, width]."""
        if tuple(x.shape[2:]) != (self.side, self.side):
            raise UserError(
                f"Expected pictures of {self.side} pixels a side for TinyViT, but got {list(x.shape[2:])}. "
                "Set its side."
            )
        tokens = self.embedding(x).flatten(2).transpose(1, 2) + self.places
        for layer in self.layers:
            tokens = layer(tokens)
        found: Tensor = self.norm(tokens)
        return found

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.tokens(x).mean(1))
        return logits


def _layer(width: int, heads: int) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
