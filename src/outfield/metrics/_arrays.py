"""Whatever holds numbers (lists, arrays, tensors, series) as a plain array; what does not is refused with its name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield.errors import UserError

LARGEST = 2.0**53
"""Below it every whole number is a float64."""


def numbers(values: ArrayLike, what: str) -> NDArray[Any]:
    """Numbers or truth values in the precision that they have; bfloat16 as float32, masked and missing ones as NaN.

    Raises
    ------
    UserError
        Text, dates, complex numbers, rows of unequal length, or anything else that is no number.

    Examples
    --------
    >>> numbers([1, None, 2.5], "scores")
    array([1. , nan, 2.5])
    """
    try:
        array = _plain(values)
        if array.dtype.kind in "OV" and array.dtype.names is None and not _texts(array):
            array = array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_numbers(what, f"values that cannot be read as such ({str(error).splitlines()[0][:120]})") from error
    if array.dtype.kind not in "biuf":
        raise _no_numbers(what, f"values of type {'text' if array.dtype.kind in 'OUST' else array.dtype}")
    return array


def _no_numbers(what: str, got: str) -> UserError:
    return UserError(
        f"Expected {what} as numbers, but got {got}. Pass a list, array, tensor or series of numbers; turn names of "
        "classes into their numbers first."
    )


def _plain(values: Any) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(values), np.nan, values.data)
    if not hasattr(values, "detach"):
        return np.asarray(values)
    tensor = values.detach().cpu()
    narrow = tensor.is_floating_point() and tensor.element_size() < 4
    return np.asarray((tensor.float() if narrow else tensor).numpy())


def _texts(array: NDArray[Any]) -> bool:
    return any(isinstance(value, str | bytes) for value in array.ravel())


def classes(values: ArrayLike, what: str = "labels") -> NDArray[np.int64]:
    """Class numbers as integers, from any type whose values are whole.

    Raises
    ------
    UserError
        No numbers, or some that are not whole.

    Examples
    --------
    >>> classes([0.0, 2.0])
    array([0, 2])
    """
    array = numbers(values, what)
    array = array.astype(np.float64) if array.dtype.kind == "f" else array
    if array.dtype.kind == "f" and (bad := int(np.sum(~((np.abs(array) < LARGEST) & (array == np.floor(array)))))):
        raise UserError(
            f"Expected {what} as whole numbers, one class for each row, but {bad} of {array.size} are not whole. "
            "Pass the number of the class; of rows without one, leave the row out."
        )
    return array.astype(np.int64, copy=False)


def truths(values: ArrayLike, n: int) -> NDArray[np.bool_]:
    """Which of n predictions are right: truth values, or the numbers 0 and 1.

    Raises
    ------
    UserError
        Another length, NaN, or any number beside 0 and 1.
    """
    array = numbers(values, "`correct`")
    if array.shape != (n,):
        raise UserError(
            f"Expected `correct` with {n} entries, one for each ID score, but got {list(array.shape)}. "
            "Pass (predicted == labels) of the samples that were scored."
        )
    if array.dtype.kind != "b" and (odd := array[(array != 0) & (array != 1)]).size:
        raise UserError(
            f"Expected `correct` as true or false, 1 or 0, but got {odd[0]:g} ({odd.size} of {n} entries are neither). "
            "Pass (predicted == labels); leave samples out whose label is not known."
        )
    return array.astype(bool, copy=False)
