"""A dual encoder small enough to ship: pictures of 24 x 24 pixels, texts of scenes' words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.models.preprocess import Pictures, Preprocess
from outfield.models.towers import TwoTowers

WEIGHTS = Path(__file__).with_name("mini_clip.safetensors")
VOCABULARY = (
    *("circle", "square", "triangle", "cross", "ring", "diamond", "star", "moon"),
    *("red", "green", "blue", "yellow", "purple", "orange", "pink", "cyan"),
    *("plain", "striped", "dotted", "checked"),
    *("middle", "left", "right", "top", "bottom"),
    *("a", "photo", "picture", "drawing", "of", "no", "not", "without", "the", "on", "in", "object"),
)
"""The words that it reads."""
LENGTH, SIDE = 24, 24
"""Most words of a text; pixels of a picture's side."""


class MiniCLIP(TwoTowers):
    """A small convolutional network and a transformer of one layer, trained on rendered scenes with captions.

    ``benchmarks/mini_clip.py`` trained the weights that ship, from a seed.

    Examples
    --------
    >>> towers = trained()
    >>> pictures, regions = towers.seen(torch.rand(2, 3, 24, 24))
    >>> pictures.shape, regions.shape, towers.texts(["a red circle"]).shape
    (torch.Size([2, 64]), torch.Size([2, 36, 64]), torch.Size([1, 64]))
    """

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(_Block(3, 24, 2), _Block(24, 48), _Block(48, 64, 2), _Block(64, 64))
        self.place = nn.Parameter(0.02 * torch.randn(36, 64))
        self.attention = nn.Linear(64, 1)
        self.projection = nn.Linear(64, size, bias=False)
        self.token_embedding = nn.Embedding(len(VOCABULARY), size)
        self.position = nn.Parameter(0.02 * torch.randn(LENGTH, size))
        self.before_attention, self.before_layer = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value, self.mixed = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.layer = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))
        self.text_projection = nn.Linear(size, size, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    @property
    def preprocess(self) -> Preprocess:
        return Pictures(side=SIDE, channels=3)

    @property
    def sides(self) -> tuple[int, int]:
        return SIDE, SIDE

    @property
    def context_start(self) -> int:
        return 0

    def sees(self) -> list[nn.Parameter]:
        return [self.place, *(w for m in (self.convolutions, self.attention, self.projection) for w in m.parameters())]

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        places = self.convolutions(_fitting(x)).flatten(2).transpose(1, 2) + self.place
        shares = self.attention(places).softmax(1)
        whole = self.projection((shares * places).sum(1))
        return functional.normalize(whole, dim=1), functional.normalize(self.projection(places), dim=2)

    def words(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        rows = [numbers_of(text) for text in texts]
        longest = max(map(len, rows))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self.place.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.place.device)
        return self.token_embedding(padded), torch.arange(longest, device=self.place.device) < lengths[:, None]

    def read(self, words: Tensor, there: Tensor) -> Tensor:
        if words.shape[1] > LENGTH:
            raise UserError(f"Expected texts of at most {LENGTH} words, but got {words.shape[1]}. Shorten them.")
        hidden = words + self.position[: words.shape[1]]
        m, length, size = hidden.shape
        parts = self.query_key_value(self.before_attention(hidden)).view(m, length, 3, 4, size // 4)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None])
        hidden = hidden + self.mixed(mixed.transpose(1, 2).reshape(m, length, size))
        hidden = hidden + self.layer(self.before_layer(hidden))
        mean = (hidden * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        return functional.normalize(self.text_projection(mean), dim=1)


def _fitting(x: Tensor) -> Tensor:
    """Pictures [n, 3, 24, 24] of pictures of any size, grey or in colour."""
    x = x.expand(-1, 3, -1, -1)
    return (
        x if x.shape[2:] == (SIDE, SIDE) else functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
    )


class _Block(nn.Sequential):
    def __init__(self, wide_in: int, wide_out: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(wide_in, wide_out, 3, stride=stride, padding=1, bias=False)
        super().__init__(convolution, nn.GroupNorm(4, wide_out))

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm = self
        return functional.relu(norm(convolution(x).contiguous()))


def numbers_of(text: str) -> list[int]:
    """The numbers of a text's words.

    Raises
    ------
    UserError
        Words that it does not read, or none.

    Examples
    --------
    >>> numbers_of("Red circle")
    [8, 0]
    """
    words = text.lower().replace(",", " ").replace(".", " ").split()
    if unknown := sorted(set(words) - set(VOCABULARY)):
        raise UserError(
            f"Expected words that the mini CLIP reads, but got {', '.join(unknown)} in {text!r}. "
            f"It reads {', '.join(VOCABULARY)}. Other words need a CLIP of transformers or open_clip."
        )
    if not words:
        raise UserError("Expected a text of at least one word, but got an empty one. Leave it out.")
    return [VOCABULARY.index(word) for word in words]


def trained() -> MiniCLIP:
    """The mini CLIP with the weights that ship."""
    towers = MiniCLIP()
    towers.load_state_dict(load_file(WEIGHTS))
    return towers.eval()
