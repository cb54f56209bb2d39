from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class UnderTrained(PictureStrategy):
    """The baseline in a share of its steps, on a schedule as short: low accuracy without any other change.

    Parameters
    ----------
    share : float
        Share of the steps that are taken.

    Examples
    --------
    >>> UnderTrained(share=0.1).length(240)
    24
    """

    share: float = 0.1

    family: ClassVar[str] = "under-trained"
    limits: ClassVar = {"share": (0.0, 1.0)}

    def length(self, full: int) -> int:
        return round(self.share * full)
