"""Which detector to take: recommendations, cards, boards with gaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import polars as pl
from scipy import stats as theory

from outfield import stats
from outfield.card.recommendation import choose

from .case import COVERS, WIDE, Rng, case, inside

CHOSEN = ("stats.recommend._half_width", "stats.recommend._worst_ends", "stats.recommend._recommendation")
FIELDS: dict[str, tuple[float, Sequence[float], float]] = {
    "a close race": (0.0, (0.0, 0.0, 0.0, 0.0), 0.0),
    "some apart": (0.3, (0.3, -0.2, 0.4, 0.0), 0.3),
    "far apart": (1.5, (0.5, -0.5, 0.0, 0.9), 0.3),
}
"""Distance between detectors, of which each set takes away a share, and the detectors' wave over sets."""


def field(rng: Rng, n: int, name: str) -> np.ndarray:
    """Values [n, 4 sets, 5 detectors], which units change as a whole."""
    gap, taken, wave = FIELDS[name]
    truth = gap * np.arange(5)[::-1] * (1 - np.array(taken)[:, None])
    truth = truth + wave * np.sin(np.arange(4)[:, None] * 2.0 + np.arange(5) * 1.7)
    return truth + rng.normal(size=(n, 4, 5)) + 0.7 * rng.normal(size=(n, 1, 5))


@cache
def true_field(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean ranks and values [sets, detectors] that many units tend to."""
    rng = np.random.default_rng(0)
    drawn = [field(rng, 1000, name) for _ in range(40)]
    return (
        np.mean([stats.ranks(each).mean(axis=0) for each in drawn], axis=0),
        np.mean([each.mean(axis=0) for each in drawn], axis=0),
    )


def recommended(rng: Rng, n: int, name: str) -> stats.Recommendation:
    places = [str(i) for i in range(5)]
    return stats.recommend(field(rng, n, name), detectors=places, sets=places[:4], draws=2)


def _recommended(n: int, name: str) -> None:
    def enter(what: str, holds: Callable[[stats.Recommendation, np.ndarray, np.ndarray], bool]) -> None:
        @case(f"{what}, {n} units, {name}", "coverage", WIDE, covers=CHOSEN)
        def run(rng: Rng) -> bool:
            return holds(recommended(rng, n, name), *true_field(name))

    def picks(found: stats.Recommendation, means: np.ndarray) -> float:
        """Mean over sets of what was chosen without each, ties shared alike."""
        chosen = [[int(name) for name in found.chosen[str(s)].split(" and ")] for s in range(4)]
        return float(np.mean([means[s, picked].mean() for s, picked in enumerate(chosen)]))

    enter(
        "worst mean rank of the safest detector",
        lambda found, rank, _: inside(found.worst_rank[found.best], rank[:, int(found.best)].max()),
    )
    enter("worst mean rank of a detector", lambda found, rank, _: inside(found.worst_rank["1"], rank[:, 1].max()))
    enter("mean value of a detector", lambda found, _, value: inside(found.mean_value["1"], value[:, 1].mean()))
    enter("rank on sets left out", lambda found, rank, _: inside(found.held_out, picks(found, rank)))
    enter("value on sets left out", lambda found, _, value: inside(found.held_out_value, picks(found, value)))
    enter(
        "optimism of choosing and judging on the same sets",
        lambda found, rank, _: inside(found.optimism, picks(found, rank) - rank[:, int(found.best)].mean()),
    )


for _n in (6, 12):
    for _name in FIELDS:
        _recommended(_n, _name)


# --- gaps ---


def board(rng: Rng) -> np.ndarray:
    """Values of 24 models x 4 sets x 5 detectors; models differ, and with detectors and with sets."""
    both = 0.4 * rng.normal(size=(24, 1, 5)) + 0.3 * rng.normal(size=(24, 4, 1))
    fixed = 0.3 * np.arange(5)[::-1] + 0.5 * np.arange(4)[:, None]
    return fixed + 0.8 * rng.normal(size=(24, 1, 1)) + both + 0.4 * rng.normal(size=(24, 4, 5))


def with_gaps(values: np.ndarray, gone: np.ndarray) -> stats.Panel:
    """The panel of a long table without those cells."""

    at = np.nonzero(~gone)
    columns = {
        key: np.char.add(key, place.astype(str)) for key, place in zip(("model", "ood", "detector"), at, strict=True)
    }
    rows = pl.DataFrame({**columns, "metric": "auroc", "value": values[at]})
    return stats.panel(rows, ("ood", "detector"))


@cache
def true_board_ranks() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(np.mean([stats.ranks(board(rng)).mean(axis=(0, 1)) for _ in range(1000)], axis=0))


def _unless_refused(found: stats.Panel, holds: Callable[[stats.Panel], bool]) -> bool | None:
    """None where gaps are not at random, or so many that the detector is left out."""
    return None if found.biased or "detector2" not in found.axes["detector"] else holds(found)


def _gaps(share: float) -> None:
    @case(
        f"mean rank, {share:.0%} of cells missing at random",
        "coverage",
        COVERS,
        covers=("stats.ranks._jackknife_ends",),
    )
    def rank(rng: Rng) -> bool | None:
        def holds(found: stats.Panel) -> bool:
            ranked = stats.mean_ranks(found)
            return inside(ranked.estimates[ranked.names.index("detector2")], true_board_ranks()[2])

        return _unless_refused(with_gaps(board(rng), rng.random((24, 4, 5)) < share), holds)

    @case(f"mean value, {share:.0%} of cells missing at random", "coverage", COVERS, covers=CHOSEN[:1])
    def value(rng: Rng) -> bool | None:
        def holds(found: stats.Panel) -> bool:
            return inside(stats.recommend(found, draws=1).mean_value["detector2"], 1.35)

        return _unless_refused(with_gaps(board(rng), rng.random((24, 4, 5)) < share), holds)


for _part in (0.02, 0.1):
    _gaps(_part)


@case("gaps at random are refused", "size", (0.0, 0.04), "share of refusals, 5% of cells missing")
def _(rng: Rng) -> bool:
    return bool(with_gaps(board(rng), rng.random((24, 4, 5)) < 0.05).biased)


@case("gaps where values are lowest are refused", "size", (0.8, 1.0), "share of refusals, 5% of cells missing")
def _(rng: Rng) -> bool:
    values = board(rng)
    return bool(with_gaps(values, values < np.quantile(values, 0.05)).biased)


@case("a mean where the lowest 5% of cells are missing: refused, or covered", "coverage", (0.93, 1.0))
def _(rng: Rng) -> bool:
    values = board(rng)
    found = with_gaps(values, values < np.quantile(values, 0.05))
    return bool(found.biased) or inside(stats.recommend(found, draws=1).mean_value["detector2"], 1.35)


def two_detectors(rng: Rng) -> dict[str, dict[str, np.ndarray]]:
    """Scores of the same 150 ID and 150 OOD inputs of two sets; AUROCs .80 and .77."""
    base = {name: rng.normal(shift, 1, 150) for name, shift in (("test", 0.0), ("near", 1.4), ("far", 1.4))}
    return {
        name: {kind: values + noise * rng.normal(size=150) for kind, values in base.items()}
        for name, noise in (("a", 0.6), ("b", 0.85))
    }


TRUE_AUROCS = {
    name: float(theory.norm.cdf(1.4 / np.sqrt(2 * (1 + noise**2)))) for name, noise in (("a", 0.6), ("b", 0.85))
}


@case("AUROC of the detector that a card takes", "coverage", (0.92, 0.985), covers=("card.recommendation._rows",))
def _(rng: Rng) -> bool:
    row = choose(two_detectors(rng), {"near": "near", "far": "far"}).table.row(0, named=True)
    return bool(row["low"] <= TRUE_AUROCS[row["detector"]] <= row["high"])


@case("difference of detectors on a card", "coverage", (0.92, 0.985), covers=("card.recommendation._rows",))
def _(rng: Rng) -> bool:
    found = choose(two_detectors(rng), {"near": "near", "far": "far"})
    row = found.table.row(1, named=True)
    return bool(
        row["low_difference"] <= TRUE_AUROCS[row["detector"]] - TRUE_AUROCS[found.best] <= row["high_difference"]
    )


@case("AUROC on sets left out, of a card", "coverage", (0.92, 0.985), covers=("card.recommendation._held_out",))
def _(rng: Rng) -> bool:
    found = choose(two_detectors(rng), {"near": "near", "far": "far"})
    return inside(found.held_out, float(np.mean([TRUE_AUROCS[name] for name, _ in found.without.values()])))
