"""Which family of architectures a network belongs to, by its modules."""

from __future__ import annotations

from typing import Literal

from torch import nn

Family = Literal["cnn", "transformer", "other"]
_PROJECTIONS = ("qkv", "q_proj", "query", "in_proj", "c_attn", "q_lin", "Wqkv", "query_key_value")
"""What the layer of queries is called in the libraries of the field."""


def family_of(module: nn.Module) -> Family:
    """``transformer`` where it attends to itself, else ``cnn`` where it convolves, else ``other``.

    A transformer of pictures begins with a convolution that cuts patches, so attention goes first. Attention over
    channels (squeeze and excitation) has no queries, and does not count.

    Examples
    --------
    >>> family_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())), family_of(nn.Linear(3, 2))
    ('cnn', 'other')
    >>> family_of(nn.TransformerEncoderLayer(8, 2, batch_first=True))
    'transformer'
    """
    named = list(module.named_modules())
    if any(isinstance(one, nn.MultiheadAttention) or _is_query(name) for name, one in named):
        return "transformer"
    return "cnn" if any(isinstance(one, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) for _, one in named) else "other"


def _is_query(name: str) -> bool:
    return name.rpartition(".")[2] in _PROJECTIONS
