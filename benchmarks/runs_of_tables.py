"""Partial correlations and windows of a ladder of runs, beside a loop of statsmodels' regressions.

``python benchmarks/runs_of_tables.py`` takes 98 runs of 112 checkpoints with 21 measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from outfield.tables.runs import read
from outfield.trajectory.analysis import Trajectories

RUNS, STEPS, SETS = 98, 112, 20
NAMES = [f"set{i}" for i in range(SETS)]


def ladder() -> pl.DataFrame:
    """Runs that all rise along one curve, each measure with noise of its own."""
    rng = np.random.default_rng(0)
    rise = np.tile(np.log1p(np.arange(STEPS)) / 6, RUNS)
    names = {"run": np.repeat([f"run{i}" for i in range(RUNS)], STEPS), "step": np.tile(np.arange(1, STEPS + 1), RUNS)}
    return pl.DataFrame(names | {name: rise + rng.normal(0, 0.01, len(rise)) for name in ("val", *NAMES)})


def ours(table: pl.DataFrame) -> pl.DataFrame:
    found = Trajectories.of_table(read(table, run="run", step="step", id="val", ood=NAMES))
    found.window_frame()
    return found.pairs.filter(smoother="linear")


def naive(table: pl.DataFrame, pairs: int) -> list[float]:
    """The same estimates of some pairs, without windows, ranks and tests: a regression each pair and run."""
    import statsmodels.api as sm

    runs = table.to_pandas().groupby("run", sort=False)
    found = []
    for first, second in list(combinations(NAMES, 2))[:pairs]:
        z = []
        for _, part in runs:
            known = sm.add_constant(part["val"])
            left, right = (sm.OLS(part[name], known).fit().resid for name in (first, second))
            z.append(np.arctanh(np.corrcoef(left, right)[0, 1]))
        found.append(float(np.tanh(np.mean(z))))
    return found


def timed(build: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    found = build(*arguments)
    return time.perf_counter() - began, found


if __name__ == "__main__":
    table, some = ladder(), 10
    own, found = timed(ours, table)
    loop, same = timed(naive, table, some)
    assert np.allclose(found["value"].head(some), same), "the estimates differ"
    pairs = SETS * (SETS - 1) // 2
    print(f"outfield: {pairs} pairs with ranks, tests and windows: {own:.1f} s")
    print(f"statsmodels, a regression each: {some} pairs {loop:.1f} s, so {pairs} pairs {loop * pairs / some:.0f} s")
