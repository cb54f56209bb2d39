"""Rows of outputs as they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

from outfield.types import FIELDS, Head, Outputs

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of outputs in the precision that they are stored in: half-precision files give a bank of half the size.

    Parameters
    ----------
    arrays : mapping of name to Tensor, each [n, ...]
        The fields of ``Outputs`` that have rows; every other name is a layer.
    head : Head, optional

    Examples
    --------
    >>> import torch
    >>> rows = Rows({"features": torch.ones(5, 2, dtype=torch.float16)})
    >>> rows["features"].dtype, rows.outputs().features.dtype
    (torch.float16, torch.float32)
    >>> [len(chunk) for chunk in rows.chunks(2)]
    [2, 2, 1]
    """

    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    head: Head | None = None

    @classmethod
    def of(cls, out: Outputs) -> Rows:
        """The rows of outputs."""
        fields = {name: getattr(out, name) for name in out.present}
        head = fields.pop("head", None)
        return cls({**fields, **out.layers}, head)

    def __len__(self) -> int:
        return next((len(values) for values in self.arrays.values()), 0)

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    def outputs(self, rows: slice = slice(None)) -> Outputs:
        """Some of the rows, all by default, widened to float32 where they are stored in less."""
        some = {name: values[rows] for name, values in self.arrays.items()}
        fields = {name: some.pop(name, None) for name in FIELDS}
        return Outputs(**fields, head=self.head, layers=some)

    def keeping(self, names: tuple[str, ...]) -> Rows:
        """The same rows with the named fields alone, and the layers whose names begin with one of ``names``."""
        return Rows(kept(self.arrays, names), self.head if "head" in names else None)

    def chunks(self, size: int = 8192) -> Iterator[Outputs]:
        """Consecutive pieces of at most ``size`` rows, widened one by one."""
        return (self.outputs(slice(start, start + size)) for start in range(0, len(self), size))


def kept(arrays: Mapping[str, T], names: tuple[str, ...]) -> dict[str, T]:
    """The arrays of the named fields, and of the layers whose names begin with one of ``names``.

    Examples
    --------
    >>> kept({"logits": 1, "features": 2, "gram/a": 3}, ("logits", "gram"))
    {'logits': 1, 'gram/a': 3}
    """
    return {
        name: array for name, array in arrays.items() if (name in names if name in FIELDS else name.startswith(names))
    }
