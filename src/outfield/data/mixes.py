"""Standard groupings: which OOD sets are near, far, extreme or synthetic to which ID data; the standard shifts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from outfield import registry
from outfield.data import datasets
from outfield.data.base import Dataset
from outfield.data.datasets import Rows

CATEGORIES = ("near", "far", "extreme", "synthetic")
"""Categories of OOD sets, from close to ID data to least like it."""

STANDARD_SHIFTS = ("gaussian_noise", "blur", "rotation", "translation", "contrast_inversion", "occlusion")
"""The covariate shifts that ``standard`` stands for."""

GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "digits": {
        "near": ("digit 8", "digit 9"),
        "far": ("photo China", "photo flower", "terrain"),
        "extreme": ("letters", "symbols"),
        "synthetic": ("unit tests",),
    },
    "mnist": {
        "near": ("kmnist", "notmnist"),
        "far": ("fashion_mnist",),
        "extreme": ("cifar10",),
        "synthetic": ("unit tests",),
    },
    "cifar10": {
        "near": ("cifar100", "tiny_imagenet"),
        "far": ("mnist", "svhn", "textures", "places365"),
        "synthetic": ("unit tests",),
    },
    "cifar100": {
        "near": ("cifar10", "tiny_imagenet"),
        "far": ("mnist", "svhn", "textures", "places365"),
        "synthetic": ("unit tests",),
    },
    "imagenet": {
        "near": ("ssb_hard", "ninco"),
        "far": ("inaturalist", "textures", "openimage_o"),
        "extreme": ("mnist", "fashion_mnist"),
        "synthetic": ("unit tests",),
    },
}
"""ID data to category to OOD sets: CIFAR as in OpenOOD 1.5, ImageNet as in its near and far with the extreme and
synthetic sets of "One Model, Many Behaviors" (arXiv 2601.10836), digits and MNIST as in the studies that come with
outfield (Zhang et al. OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection. DMLR 2024)."""


def category(ood: str, *, of: str) -> str | None:
    """The category of an OOD set for an ID set, or None where no grouping names it.

    Examples
    --------
    >>> category("textures", of="imagenet"), category("mnist", of="cifar10"), category("mnist", of="imagenet")
    ('far', 'far', 'extreme')
    """
    groups = GROUPS.get(of, {})
    return next((name for name, members in groups.items() if ood in members), None)


def shift_names(wanted: str | Sequence[str]) -> tuple[str, ...]:
    """Names of shifts: ``"standard"``, one name, or several, each of them known.

    Raises
    ------
    UnknownName
        With the nearest names.

    Examples
    --------
    >>> shift_names("standard")[:2], shift_names("jpeg")
    (('gaussian_noise', 'blur'), ('jpeg',))
    """
    if wanted == "standard":
        return STANDARD_SHIFTS
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for name in names:
        registry.find("shifts", name)
    return names


def covariate(
    dataset: Dataset, wanted: str | Sequence[str] = "standard", seed: int = 0
) -> Iterator[tuple[str, int, Rows]]:
    """Every severity of every shift of a data set: name, severity, shifted rows.

    Examples
    --------
    >>> import numpy as np
    >>> pictures = datasets.ArrayDataset(np.zeros((2, 8, 8), np.uint8), labels=[0, 1])
    >>> [(name, severity) for name, severity, _ in covariate(pictures, "blur")][:2]
    [('blur', 1), ('blur', 2)]
    """
    for name in shift_names(wanted):
        shift = registry.create("shifts", name)
        for severity in shift.severities:
            yield name, severity, datasets.shifted(dataset, shift, severity, seed)
