from __future__ import annotations

from dataclasses import dataclass

from outfield.strategies.woods import WOODS


@dataclass(frozen=True)
class SCONE(WOODS):
    """WOODS with a margin: shifted ID items among the wild ones may stay ID, and so be answered well [1].

    Wild items count as OOD once their energy is ``margin`` less than what ``woods`` asks of them,
    ``mean sigmoid(-g(E(wild) + margin))``. Without a margin it is ``woods``.

    Parameters
    ----------
    margin : float
        eta of the paper, 1 in its code.

    Examples
    --------
    >>> SCONE(margin=2.0).gap
    2.0

    References
    ----------
    [1] Bai, Canal, Du, Kwon, Nowak, Li. Feed Two Birds with One Scone: Exploiting Wild Data for Both
    Out-of-Distribution Generalization and Detection. ICML 2023.
    """

    margin: float = 1.0

    @property
    def gap(self) -> float:
        return self.margin
