from __future__ import annotations

from torch import Tensor, nn

from outfield_sequences.mazes.tokens import vocabulary


class MazeTransformer(nn.Module):
    """A small transformer that reads mazes as tokens and answers at the last one.

    A convolution over eleven tokens binds the two cells of a passage, and origin and target to the last token. The
    attention after it knows no places, so that longer lists of passages are read as short ones are.

    Parameters
    ----------
    classes : int
    side : int
        Cells of an edge of the largest mazes that it can read.
    width, heads, depth : int
        Of the transformer.

    Examples
    --------
    >>> import torch
    >>> MazeTransformer(classes=4, side=5)(torch.tensor([[0.0, 11, 9, 12, 10, 8]])).shape
    torch.Size([1, 4])
    """

    def __init__(self, classes: int, side: int = 12, width: int = 64, heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary(side), width, padding_idx=0)
        self.near = nn.Conv1d(width, width, 11, padding=5)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.long()
        embedded = self.embedding(tokens)
        bound = embedded + self.near(embedded.transpose(1, 2)).transpose(1, 2)
        read = self.layers(bound, src_key_padding_mask=tokens == 0)
        answer: Tensor = self.head(self.norm(read[:, -1]))
        return answer
