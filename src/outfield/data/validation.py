"""Whether items, labels, targets and groups are what a data set may hold; what is not is a ``UserError``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield.data.base import CHUNK, Labels, Names
from outfield.errors import UserError

_LARGEST = np.iinfo(np.int64).max
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def fits_float32(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are finite in float32, as which they are read: no NaN, no infinity, nothing beyond 3.4e38.

    Examples
    --------
    >>> fits_float32(np.array([1.0, np.nan, 1e39]))
    array([ True, False, False])
    """
    largest = min(_LARGEST_FLOAT, float(np.finfo(values.dtype).max)) if values.dtype.kind == "f" else _LARGEST_FLOAT
    return np.asarray(np.abs(values) <= largest)


def checked_labels(labels: ArrayLike | None, count: int) -> Labels:
    """Labels as int64 [count]; None stays.

    Raises
    ------
    UserError
        Another length; fractions, NaN, texts, or numbers that int64 cannot hold.

    Examples
    --------
    >>> checked_labels([1.0, 0.0], 2)
    array([1, 0])
    """
    if labels is None:
        return None
    checked = np.asarray(labels)
    if checked.shape != (count,):
        raise UserError(
            f"Expected {count} labels, one for each row, but got shape {checked.shape}. Pass the labels of these rows."
        )
    if checked.dtype.kind == "f" and not (odd := ~(np.abs(checked) < 2**53) | (checked != np.rint(checked))).any():
        return checked.astype(np.int64)
    if checked.dtype.kind == "f":
        raise UserError(
            f"Expected labels that are whole numbers, but {int(odd.sum())} of {count} are not, the first "
            f"{checked[odd][0]} in row {int(np.flatnonzero(odd)[0])}. Mend or leave out these rows."
        )
    if checked.dtype.kind not in "iub" or (checked.dtype.kind == "u" and checked.max() > _LARGEST):
        raise UserError(f"Expected labels that are integers, but got {checked.dtype}. Number the classes 0, 1, ....")
    return checked.astype(np.int64)


def checked_targets(targets: ArrayLike, count: int) -> NDArray[Any]:
    """Numbers [count] or [count, k], of the type float32 where they are that, else of float64.

    Raises
    ------
    UserError
        Another shape; texts; NaN or infinity.

    Examples
    --------
    >>> checked_targets([1, 2], 2)
    array([1., 2.])
    """
    given = np.asarray(targets)
    if given.shape[:1] != (count,) or given.ndim > 2 or 0 in given.shape:
        raise UserError(
            f"Expected targets of shape [{count}] or [{count}, k], one row of numbers for each row, but got "
            f"{list(given.shape)}. Pass the targets of these rows."
        )
    if given.dtype.kind not in "iufb":
        raise UserError(f"Expected targets that are numbers, but got {given.dtype}. Classes belong into `labels`.")
    checked = given if given.dtype == np.float32 else given.astype(np.float64)
    if (odd := ~np.isfinite(checked.reshape(count, -1)).all(axis=1)).any():
        first = int(np.flatnonzero(odd)[0])
        raise UserError(
            f"Expected targets that are finite numbers, but {int(odd.sum())} of {count} are not, the first "
            f"{checked[first]} in row {first}. Mend or leave out these rows."
        )
    return checked


def checked_groups(groups: ArrayLike, count: int, names: Names) -> NDArray[np.int64]:
    """The number of each row's group, as int64 [count]; it has a name where there are names.

    Raises
    ------
    UserError
        Another length; no whole numbers; numbers below 0, or beyond the names.

    Examples
    --------
    >>> checked_groups([1, 0], 2, ("north", "south"))
    array([1, 0])
    """
    given = np.asarray(groups)
    if given.shape != (count,) or given.dtype.kind not in "iub":
        raise UserError(
            f"Expected {count} whole numbers of groups, one for each row, but got {given.dtype} of shape "
            f"{list(given.shape)}. Number the groups 0, 1, ...."
        )
    checked: NDArray[np.int64] = given.astype(np.int64)
    last = _LARGEST if names is None else len(names) - 1
    if (odd := (checked < 0) | (checked > last)).any():
        first = int(np.flatnonzero(odd)[0])
        within = "from 0 on" if names is None else f"from 0 to {last}, as there are {len(names)} names"
        raise UserError(
            f"Expected numbers of groups {within}, but row {first} has {checked[first]}. Number the groups 0, 1, ...."
        )
    return checked


def check_shape(items: NDArray[Any]) -> None:
    """``UserError`` where items are no numbers, or neither pictures [n, H, W(, 1 or 3)] nor rows [n, D].

    Examples
    --------
    >>> check_shape(np.zeros((2, 3, 8, 8)))
    Traceback (most recent call last):
    outfield.errors.UserError: Expected pictures with 1 or 3 channels last, but got shape (2, 3, 8, 8). ...
    """
    if items.dtype.kind not in "uif":
        raise UserError(f"Expected an array of numbers, but got {items.dtype}. Save it as uint8 or float32.")
    if items.ndim not in (2, 3, 4) or 0 in items.shape[1:]:
        raise UserError(
            f"Expected pictures [n, H, W, C] or [n, H, W], or rows [n, D], but got shape {items.shape}. "
            "Reshape the array."
        )
    if 0 in items.shape:
        raise UserError(f"Expected at least one row, but got shape {items.shape}. Leave empty data out.")
    if items.ndim == 4 and items.shape[3] not in (1, 3):
        first = "Move the channels last: np.moveaxis(items, 1, 3)." if items.shape[1] in (1, 3) else "Keep 1 or 3."
        raise UserError(f"Expected pictures with 1 or 3 channels last, but got shape {items.shape}. {first}")


def check_values(items: NDArray[Any], *, missing: bool = False) -> None:
    """``UserError`` where pictures do not lie in [0, 1], or a value does not fit float32; with ``missing``, NaN may be.

    Memory-mapped items are read in chunks.

    Examples
    --------
    >>> check_values(np.full((1, 2, 2, 1), 7.0))
    Traceback (most recent call last):
    outfield.errors.UserError: Expected pictures in [0, 1], but got [7, 7]. Divide by 255, or pass uint8.
    """
    if items.ndim == 4 and items.dtype.kind != "f":
        raise UserError(f"Expected pictures as uint8 or float in [0, 1], but got {items.dtype}. Convert them.")
    for start in range(0, len(items), CHUNK):
        chunk = np.asarray(items[start : start + CHUNK])
        fits = fits_float32(chunk) | np.isnan(chunk) if missing else fits_float32(chunk)
        if not (sound := fits.reshape(len(chunk), -1).all(axis=1)).all():
            row = start + int(np.flatnonzero(~sound)[0])
            raise UserError(
                f"Expected finite values, but row {row} has NaN or infinity, or a number beyond {_LARGEST_FLOAT:.1e}. "
                "Mend or remove that row."
            )
        if items.ndim == 4 and (chunk.min() < 0 or chunk.max() > 1):
            raise UserError(
                f"Expected pictures in [0, 1], but got [{chunk.min():g}, {chunk.max():g}]. "
                "Divide by 255, or pass uint8."
            )
