"""Rows that hold NaN or infinity: found cheaply, counted, and told with their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outfield.errors import UserError
from outfield.features.rows import Rows
from outfield.types import Head, Outputs

if TYPE_CHECKING:
    from outfield.features.fit_data import Chunks, Stored

SHOWN = 5
"""Rows that are named."""
_JUDGED = ("logits", "features", "predictions", "inputs")


def not_finite(values: Tensor) -> Tensor | None:
    """Which rows hold NaN or infinity, [n]; None where no row does.

    Examples
    --------
    >>> not_finite(torch.tensor([[1.0, 2.0], [float("nan"), 0.0]]))
    tensor([False,  True])
    >>> not_finite(torch.ones(2, 3))
    """
    if not values.is_floating_point() or not values.numel() or torch.isfinite(values.sum(dtype=torch.float64)):
        return None
    bad = ~torch.isfinite(values.flatten(1) if values.ndim > 1 else values[:, None]).all(dim=1)
    return bad if bool(bad.any()) else None


def check_finite(values: Mapping[str, Tensor], about: str, do: str, first: int = 0) -> None:
    """``UserError`` where rows of any of the named values hold NaN or infinity.

    Parameters
    ----------
    about : str
        Who gave the values.
    do : str
        What to do about it.
    first : int
        The number of the first row.

    Examples
    --------
    >>> check_finite({"features": torch.tensor([[0.0], [torch.inf]])}, "the model", "Look at it.", first=10)
    Traceback (most recent call last):
    outfield.errors.UserError: Expected finite features, but the model gave NaN or infinity for 1 of 2 inputs ...
    """
    for name, rows in values.items():
        if (bad := not_finite(rows)) is not None:
            numbers = (torch.nonzero(bad).flatten() + first).tolist()
            raise UserError(
                f"Expected finite {name}, but {about} gave NaN or infinity for {len(numbers):,} of {len(rows):,} "
                f"inputs ({_named(numbers)}). {do}"
            )


def _named(numbers: list[int]) -> str:
    shown = ", ".join(f"{number:,}" for number in numbers[:SHOWN])
    more = ", ..." if len(numbers) > SHOWN else ""
    return f"row{'s' * (len(numbers) > 1)} {shown}{more}"


def rows_of(out: Outputs) -> dict[str, Tensor]:
    """What is computed on or scored by: all but labels and targets, as far as it is there.

    Examples
    --------
    >>> list(rows_of(Outputs(logits=torch.zeros(2, 3), labels=torch.zeros(2))))
    ['logits']
    """
    return {name: getattr(out, name) for name in _JUDGED if name in out.present} | dict(out.layers)


LEAVE = "Leave these rows out of the fit set, or look at what made them."


def check_fit(out: Outputs, first: int = 0) -> Outputs:
    """Outputs to learn from, as they came; ``UserError`` where they are not finite, or labels name no class.

    Examples
    --------
    >>> check_fit(Outputs(features=torch.tensor([[0.0], [torch.nan]])))
    Traceback (most recent call last):
    outfield.errors.UserError: Expected finite features, but the outputs to fit on gave NaN or infinity ...
    """
    check_finite(rows_of(out), "the outputs to fit on", LEAVE, first)
    if out.has("head"):
        check_head(out.head, "the outputs to fit on")
    if out.has("labels") and out.has("logits") and len(out):
        check_classes(out.labels, out.logits.shape[1])
    return out


def check_head(head: Head, about: str) -> None:
    """``UserError`` where the head's weight or bias holds NaN or infinity; ``about`` is whose head it is.

    Examples
    --------
    >>> check_head(Head(torch.tensor([[1.0], [torch.inf]]), torch.zeros(2)), "the model 'net'")
    Traceback (most recent call last):
    outfield.errors.UserError: Expected a finite head, but the weight of the model 'net' holds NaN or ...
    """
    for name, value in (("weight", head.weight), ("bias", head.bias)):
        if (bad := not_finite(value)) is not None:
            raise UserError(
                f"Expected a finite head, but the {name} of {about} holds NaN or infinity in {int(bad.sum())} of "
                f"{len(bad)} classes. Look at the weights."
            )


def check_classes(labels: Tensor, classes: int) -> None:
    """``UserError`` where labels are outside the classes of the logits.

    Examples
    --------
    >>> check_classes(torch.tensor([0, 3]), classes=3)
    Traceback (most recent call last):
    outfield.errors.UserError: Expected labels from 0 to 2, one of the head's 3 classes, but got labels ...
    """
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise UserError(
            f"Expected labels from 0 to {classes - 1}, one of the head's {classes} classes, but got labels from "
            f"{low} to {high}. Map the labels of the fit data to the head's classes."
        )


@dataclass(frozen=True)
class Checked:
    """Chunks that are looked at as they are read: what is not finite, or has labels without a class, is refused."""

    chunks: Chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[Outputs]:
        first = 0
        for chunk in self.chunks:
            yield check_fit(chunk, first)
            first += len(chunk)


@dataclass(frozen=True)
class CheckedStored(Checked):
    """The same of arrays on disk, which give single rows and fields too."""

    chunks: Stored

    def keeping(self, names: tuple[str, ...]) -> Checked:
        """The same rows with the named fields alone."""
        return Checked(self.chunks.keeping(names))

    def at(self, rows: NDArray[np.int64], names: tuple[str, ...]) -> Rows:
        """Rows by number, in the precision that they are stored in."""
        found = self.chunks.at(rows, names)
        check_finite(found.arrays, "the outputs to fit on", LEAVE)
        return found
