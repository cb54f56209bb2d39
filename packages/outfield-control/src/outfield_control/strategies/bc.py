from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield_control.strategies.offline import OfflineStrategy


@dataclass(frozen=True, kw_only=True)
class BC(OfflineStrategy):
    """Behaviour cloning: the policy does what the logs did, on average [1].

    Examples
    --------
    >>> BC(epochs=2, updates=50).total_steps(256)
    100

    References
    ----------
    [1] Pomerleau. ALVINN: An Autonomous Land Vehicle in a Neural Network. NIPS 1988.
    """

    family: ClassVar[str] = "baseline"
