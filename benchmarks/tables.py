"""Two published tables analysed, beside the usual loops of pandas, SciPy and statsmodels over the same quantities.

timm: 1,555 models, five sets, 239 families, as ``outfield analyse --example timm`` prints it. The loops are of a few
quantities alone: Spearman's rho of the ID with each OOD measure and partial correlations of each pair, leaving out each
family; slopes of a quadratic without each family; and bootstrap bands of LOWESS, which outfield draws for its page. A
ladder: 98 runs of 112 checkpoints with 21 measures, as large as OLMo's; the loop leaves out ranks, tests and windows.
Loops are done in part and their time is multiplied: such lines say of how many.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from time import process_time
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from outfield.reports import analysis_page
from outfield.reports.analysis import Analysis, analyse
from outfield.tables.runs import read
from outfield.trajectory.analysis import Trajectories

RUNS, STEPS, SETS = 98, 112, 20
NAMES = [f"set{i}" for i in range(SETS)]
FEW = 8
"""Families, draws or pairs that a loop does before its time is multiplied."""


@dataclass(frozen=True)
class Loop:
    """What a loop over a few of many does, and how many there are."""

    name: str
    work: Callable[[int], Any]
    many: int

    def seconds(self) -> float:
        done = min(FEW, self.many)
        return timed(lambda: self.work(done))[1] * self.many / done


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What ``work`` returns, and the processor's seconds for it."""
    began = process_time()
    made = work()
    return made, process_time() - began


def peak() -> float:
    """Most memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def printed() -> Analysis:
    """All that a terminal shows of timm."""
    found = analyse(example="timm")
    analysis_page.stated(found)
    analysis_page.displays(found)
    return found


def loops_of_timm(found: Analysis) -> list[Loop]:
    import pandas
    import statsmodels.api as sm

    table = found.measures
    frame = pandas.DataFrame({name: table.column(name) for name in (table.id, *table.ood)})
    kin = np.array(table.clusters)
    families, pairs = sorted(set(kin)), list(combinations(table.ood, 2))
    rng = np.random.default_rng(0)

    def rho(families_left_out: int) -> None:
        for family in families[:families_left_out]:
            for ood in table.ood:
                part = frame[kin != family]
                stats.spearmanr(part[table.id], part[ood])

    def partial(families_left_out: int) -> None:
        for family in families[:families_left_out]:
            part = frame[kin != family]
            known = sm.add_constant(part[table.id])
            for pair in pairs:
                np.corrcoef(*(sm.OLS(part[name], known).fit().resid for name in pair))

    def quadratic(families_left_out: int) -> None:
        for family in families[:families_left_out]:
            part = frame[kin != family]
            design = sm.add_constant(np.column_stack([part[table.id], part[table.id] ** 2]))
            sm.OLS(part[table.ood[0]].to_numpy(), design).fit(cov_type="HC3").cov_params()

    def band(draws: int) -> None:
        grid = np.linspace(frame[table.id].min(), frame[table.id].max(), 60)
        for _ in range(draws):
            part = frame.sample(frac=1, replace=True, random_state=int(rng.integers(2**31)))
            sm.nonparametric.lowess(part[table.ood[0]], part[table.id], it=1, xvals=grid)

    return [
        Loop("Spearman by cluster", rho, len(families)), Loop("partial by cluster", partial, len(families)),
        Loop("quadratic without each family", quadratic, len(families)),
        Loop("LOWESS bands", band, 200 * len(table.ood)),
    ]  # fmt: skip


def ladder() -> pl.DataFrame:
    """Runs that all rise along one curve, each measure with noise of its own."""
    rng = np.random.default_rng(0)
    rise = np.tile(np.log1p(np.arange(STEPS)) / 6, RUNS)
    names = {"run": np.repeat([f"run{i}" for i in range(RUNS)], STEPS), "step": np.tile(np.arange(1, STEPS + 1), RUNS)}
    return pl.DataFrame(names | {name: rise + rng.normal(0, 0.01, len(rise)) for name in ("val", *NAMES)})


def along(table: pl.DataFrame) -> pl.DataFrame:
    found = Trajectories.of_table(read(table, run="run", step="step", id="val", ood=NAMES))
    found.window_frame()
    return found.pairs.filter(smoother="linear")


def regressions(table: pl.DataFrame, pairs: int) -> list[float]:
    """The estimates of some pairs: a regression each pair and run."""
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


def main() -> None:
    found, own = timed(printed)
    print(f"timm, all that is printed: outfield {own:.1f} s of the processor, {peak():.0f} MiB")
    drawn, bands = timed(lambda: [each.chart for each in analysis_page.displays(found)["ID against OOD"][0].figures])
    loops = {loop.name: loop.seconds() for loop in loops_of_timm(found)}
    for name, seconds in loops.items():
        print(f"  {name}: a loop {seconds:.1f} s (from {FEW})")
    print(
        f"  {len(drawn)} charts with LOWESS bands: {bands:.1f} s, a loop {loops['LOWESS bands'] / bands:.0f} times that"
    )
    rest = sum(loops.values()) - loops["LOWESS bands"]
    print(f"  the other loops {rest:.1f} s: {rest / own:.1f} times the whole that outfield prints")
    table, pairs = ladder(), SETS * (SETS - 1) // 2
    ours, own = timed(lambda: along(table))
    print(f"ladder, {pairs} pairs with ranks, tests and windows: outfield {own:.1f} s, {peak():.0f} MiB")
    some, loop = timed(lambda: regressions(table, FEW))
    assert np.allclose(ours["value"].head(FEW), some), "the estimates differ"
    loop *= pairs / FEW
    print(f"  a regression each pair and run: {loop:.0f} s (from {FEW} pairs): {loop / own:.0f} times as long")


if __name__ == "__main__":
    main()
