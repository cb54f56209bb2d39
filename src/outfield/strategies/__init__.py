"""Training strategies, one file each, and ``train``, the loop that runs any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outfield.strategies._loop import Moment, train
    from outfield.strategies.base import FAMILIES, Strategy

__all__ = ["FAMILIES", "Moment", "Strategy", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from outfield.strategies import _loop, base

    return getattr(_loop if name in ("Moment", "train") else base, name)
