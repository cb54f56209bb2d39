"""What every covariate shift keeps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from outfield.data import views
from outfield.data.base import Dataset, Shift
from outfield.data.datasets import ArrayDataset
from outfield.data.pictures import as_float
from outfield.data.sources.photos import Photos
from outfield.testing._expect import all_of, carries_tags, comes_back_from_json, expect, is_found_by_its_name, refused

SIDES = (8, 16, 32, 64)


def check_shift(shift: Shift) -> None:
    """The contract of a covariate shift, on cuts of a photograph, grey and in colour, of 8 to 64 pixels a side.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.data.shifts.rotation import Rotation
    >>> check_shift(Rotation())
    """
    all_of(CHECKS, shift)


def pictures(side: int, channels: int, n: int = 12) -> ArrayDataset:
    """Round cuts of a photograph on black: something that every shift changes."""
    cuts = values(Photos("flower", n=n, side=side, channels=channels, region="left", seed=1).load())
    down, along = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.hypot(down, along) < side / 2
    return ArrayDataset(cuts * inside[:, :, None], labels=np.arange(n) % 3, classes=["a", "b", "c"])


def values(data: Dataset) -> NDArray[np.uint8]:
    """All pictures of a set."""
    read = data.read(slice(None))
    expect(isinstance(read, np.ndarray), "pictures of one size", type(read))
    return np.asarray(read)


def fields(shift: Shift) -> None:
    """It is found by its name, and comes back from JSON."""
    is_found_by_its_name("shifts", shift)
    comes_back_from_json("shifts", shift)
    carries_tags("shifts", type(shift))


def shape_range_and_labels(shift: Shift) -> None:
    """Shape, range and labels stay, at every severity."""
    for side, channels in product(SIDES, (1, 3)):
        data = pictures(side, channels)
        for severity in shift.severities:
            moved = views.shifted(data, shift, severity)
            found = values(moved)
            expect(found.shape == (12, side, side, channels), f"pictures [12, {side}, {side}, {channels}]", found.shape)
            expect(found.dtype == np.uint8, "pictures as uint8", found.dtype)
            same = np.array_equal(np.asarray(moved.labels), np.asarray(data.labels)) and moved.classes == data.classes
            expect(same, "labels and classes as they were", "others")
            one = shift.apply(as_float(data.items[0]), severity, np.random.default_rng(0))
            inside = one.dtype == np.float32 and one.min() >= 0 and one.max() <= 1
            expect(inside, "float32 in [0, 1]", f"{one.dtype} from {one.min():g} to {one.max():g}")


def severity(shift: Shift) -> None:
    """A higher severity is further from the original."""
    for side, channels in product(SIDES, (1, 3)):
        data = pictures(side, channels, n=24)
        original = values(data).astype(float)
        far = [np.square(values(views.shifted(data, shift, s)) - original).mean() for s in shift.severities]
        expect(far[0] > 0, "pictures that change at the lowest severity", "the same")
        rising = all(nearer < further for nearer, further in pairwise(far))
        expect(rising, f"distances that rise with the severity, {channels} x {side} x {side}", far)


def chance(shift: Shift) -> None:
    """The same again with a seed; each row has chance of its own, or there is none."""
    data = pictures(16, 1)
    middle = shift.severities[len(shift.severities) // 2]
    once, again, other = (values(views.shifted(data, shift, middle, seed)) for seed in (0, 0, 1))
    expect(np.array_equal(once, again), "the same pictures again with the same seed")
    twins = values(views.shifted(ArrayDataset(np.stack([data.items[0]] * 6)), shift, middle))
    looks, least = len({picture.tobytes() for picture in twins}), 1 if np.array_equal(once, other) else 2
    expect((looks >= least) and (least > 1 or looks == 1), "chance that comes from `rng`, row by row", f"{looks} looks")


def batch_and_order(shift: Shift) -> None:
    """A picture is the same in any batch and order."""
    moved = views.shifted(pictures(16, 3), shift, shift.severities[-2:][0])
    whole = values(moved)
    order = np.random.default_rng(0).permutation(len(moved))
    expect(np.array_equal(np.asarray(moved.read(order)), whole[order]), "the same pictures in another order")
    single = np.concatenate([np.asarray(moved.read(slice(row, row + 1))) for row in range(len(moved))])
    expect(np.array_equal(single, whole), "the same pictures one by one")


def original_untouched(shift: Shift) -> None:
    """The picture that it is given stays as it was."""
    picture = as_float(pictures(16, 1).items[0])
    before = picture.copy()
    shift.apply(picture, shift.severities[-1], np.random.default_rng(0))
    expect(np.array_equal(picture, before), "the picture that it was given left as it was: copy it first", "another")


def any_size(shift: Shift) -> None:
    """A picture of one pixel, and one that is no square."""
    for shape in ((1, 1, 1), (9, 17, 3)):
        found = shift.apply(np.full(shape, 0.5, np.float32), shift.severities[-1], np.random.default_rng(0)).shape
        expect(found == shape, f"a picture {shape}", found)


def content_keys(shift: Shift) -> None:
    """Content keys tell severity and seed apart, and are the same again."""
    data, severities = pictures(8, 1), shift.severities[:2]
    made = [views.shifted(data, shift, severity, seed) for severity in severities for seed in (0, 1)]
    keys = {moved.digest() for moved in [data, *made]}
    expect(len(keys) == 1 + len(made), f"{1 + len(made)} content keys", len(keys))
    again = views.shifted(pictures(8, 1), shift, severities[0]).digest()
    expect(again == made[0].digest(), "the same content key again", again)


def unknown_severity(shift: Shift) -> None:
    """A severity that it does not have is refused."""
    with refused("a severity that there is not", "severity of"):
        views.shifted(pictures(8, 1), shift, max(shift.severities) + 1)


CHECKS: tuple[Callable[[Shift], None], ...] = (
    fields, shape_range_and_labels, severity, chance, batch_and_order, original_untouched, any_size, content_keys,
    unknown_severity,
)  # fmt: skip
