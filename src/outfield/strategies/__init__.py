"""Training strategies, one file each, and ``train``, the loop that runs any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outfield.strategies._loop import Moment, train
    from outfield.strategies._processes import Processes
    from outfield.strategies.base import FAMILIES, Optimizers, PictureStrategy, Strategy

__all__ = ["FAMILIES", "Moment", "Optimizers", "PictureStrategy", "Processes", "Strategy", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from outfield.strategies import _loop, _processes, base

    homes = {"Moment": _loop, "train": _loop, "Processes": _processes}
    return getattr(homes.get(name, base), name)
