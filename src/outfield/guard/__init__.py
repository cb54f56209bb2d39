"""A detector in production: thresholds that keep a promise, verdicts on inputs, and a watch over the stream.

``outfield.guard(model, "pets.guard")`` is :func:`outfield.guard.guarded.guarded`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """This package, which can be called too."""

    def __call__(self, model: Any, bundle: Any, **options: Any) -> Any:
        from outfield.guard.guarded import guarded

        return guarded(model, bundle, **options)


sys.modules[__name__].__class__ = _Callable
