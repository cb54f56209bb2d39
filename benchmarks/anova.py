"""Time and memory of the analysis of variance: a table of 56 x 21 x 8 rows, and 10,000 resamples of its shares.

``python benchmarks/anova.py`` prints both; the promise is under 1 s and 200 MB, and under 20 s.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import polars as pl

from outfield import stats

CATEGORY = ["near", "near", "far", "far", "far", "extreme", "extreme", "synthetic"]
FACTORS = ("model", "detector", "category")


def table(models: int = 56, detectors: int = 21) -> pl.DataFrame:
    """Rows of a study of the size of the published one: eight OOD sets in four categories."""
    rng = np.random.default_rng(0)
    value = (
        rng.normal(size=(models, 1, 1)) + rng.normal(size=(1, detectors, 1)) + rng.normal(size=(models, detectors, 8))
    )
    model, detector, ood = np.indices(value.shape).reshape(3, -1)
    return pl.DataFrame({
        "model": [f"m{i}" for i in model], "detector": [f"d{i}" for i in detector],
        "ood": ood, "category": [CATEGORY[i] for i in ood], "value": value.ravel(),
    })  # fmt: skip


def measured(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and peak MB allocated by Python and numpy, of a call."""
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return seconds, peak


def main() -> None:
    """Print the table."""
    rows = table()
    stats.anova(rows.head(168 * 2), FACTORS)
    print(f"{rows.height:,} rows\n\n| what | seconds | peak MB |\n|---|---|---|")
    cases: dict[str, Callable[[], object]] = {
        "three-way ANOVA, jackknife intervals": lambda: stats.anova(rows, FACTORS),
        "three-way ANOVA, no intervals": lambda: stats.anova(rows, FACTORS, interval="none"),
        "10,000 resamples over models": lambda: stats.anova(rows, FACTORS, interval="bc", draws=10_000),
    }
    for name, run in cases.items():
        seconds, peak = measured(run)
        print(f"| {name} | {seconds:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
