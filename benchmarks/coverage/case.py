"""A simulation, the list of all, and what many of them draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from outfield.types import Estimate

Rng = np.random.Generator
SIMULATE: dict[str, Case] = {}


@dataclass(frozen=True)
class Case:
    """A simulation: ``kind`` is coverage (wanted .95), size (.05) or power (.80); ``claimed`` is what we claim."""

    name: str
    kind: str
    claimed: tuple[float, float] | None
    run: Callable[[Rng], bool | None]
    note: str = ""
    covers: tuple[str, ...] = ()

    def share(self, repetitions: int, seed: int = 1) -> tuple[float, int]:
        """Share of true repetitions, and how many counted (a test that refuses does not)."""
        rng = np.random.default_rng(seed)
        found = [value for _ in range(repetitions) if (value := self.run(rng)) is not None]
        return float(np.mean(found)) if found else float("nan"), len(found)

    def holds(self, share: float, counted: int) -> bool:
        """Whether the share is in the claimed range, give or take three binomial errors."""
        if self.claimed is None or not counted:
            return True
        low, high = self.claimed
        slack = [3 * np.sqrt(max(end * (1 - end), 0.01) / counted) for end in (low, high)]
        return bool(low - slack[0] <= share <= high + slack[1])


def case(
    name: str,
    kind: str,
    claimed: tuple[float, float] | None,
    note: str = "",
    *,
    covers: tuple[str, ...] = (),
) -> Callable[[Callable[[Rng], bool | None]], Callable[[Rng], bool | None]]:
    """Enter a simulation into the table; ``covers`` names the functions that build the interval it checks."""

    def enter(run: Callable[[Rng], bool | None]) -> Callable[[Rng], bool | None]:
        if name in SIMULATE:
            raise ValueError(f"Expected a case of its own, but {name!r} is there already. Name what differs.")
        SIMULATE[name] = Case(name, kind, claimed, run, note, covers)
        return run

    return enter


COVERS, HOLDS = (0.92, 0.975), (0.0, 0.055)
WIDE = (0.93, 1.0)
"""Claimed of intervals that are wider than need be: where few values cannot tell more."""


def inside(estimate: Estimate, truth: float) -> bool:
    """Whether an interval holds the truth."""
    return bool(estimate.low <= truth <= estimate.high)


def normal_pair(rng: Rng, n: int, r: float) -> tuple[np.ndarray, np.ndarray]:
    """Two normal measures [n] that correlate by ``r``."""
    x = rng.normal(size=n)
    return x, r * x + np.sqrt(1 - r**2) * rng.normal(size=n)


def ar(rng: Rng, n: int, phi: float, many: int = 1) -> np.ndarray:
    """Series [many, n] of variance 1, in each of which a value keeps ``phi`` of the one before."""
    steps = rng.normal(size=(many, n + 60))
    for t in range(1, n + 60):
        steps[:, t] = phi * steps[:, t - 1] + np.sqrt(1 - phi**2) * steps[:, t]
    return steps[:, 60:]
