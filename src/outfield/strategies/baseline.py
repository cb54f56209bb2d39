from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class Baseline(PictureStrategy):
    """Cross-entropy, SGD with momentum, shifted pictures: what every other strategy is compared with.

    Examples
    --------
    >>> Baseline().family
    'baseline'
    """

    family: ClassVar[str] = "baseline"
