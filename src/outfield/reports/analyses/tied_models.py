from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.errors import UserError
from outfield.reports.analyses import _tied
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.results import Results
from outfield.stats.ties import Ties, ties


@dataclass(frozen=True)
class TiedModels(Analysis):
    """Which models are tied on the ID test set: sets within which no two are told apart.

    Where strategies were trained with several seeds, strategies are compared, paired by seed: what is asked is whether
    another training would give the same order. Else the models themselves are compared, paired by test item: whether
    other items would.

    Parameters
    ----------
    alpha : float
        The chance that any pair is wrongly told apart.
    """

    alpha: float = 0.05

    title: ClassVar[str] = "Which models are tied"
    question: ClassVar[str] = "Which models cannot be told apart?"
    needs: ClassVar[frozenset[str]] = frozenset({"performance"})

    def of(self, results: Results) -> Result:
        seeds = _by_seed(results)
        found, units = self._over_seeds(results, seeds) if seeds.height > 1 else self._over_items(results)
        word = results.measure.word
        what = "strategy" if seeds.height > 1 else "model"
        return Result(_tied.table(found), _tied.said(found, what, word, units), _tied.picture(found, word))

    def _over_seeds(self, results: Results, seeds: pl.DataFrame) -> tuple[Ties, str]:
        names = [name for name in sorted(seeds.columns) if name != "seed"]
        values = seeds.select(names).to_numpy()
        found = ties(
            values,
            names=names,
            alpha=self.alpha,
            higher_is_better=results.higher_is_better,
            level="strategy",
            measures=True,
        )
        return found, f"{seeds.height} seeds"

    def _over_items(self, results: Results) -> tuple[Ties, str]:
        items = results.merits.filter(pl.col("set") == "test")
        wide = items.pivot("model", index="row", values="merit").drop_nulls().sort("row")
        names = sorted(set(wide.columns) - {"row"})
        if len(names) < 2 or wide.height < 2:
            raise UserError(
                f"Expected at least two models with merits of the same ID test items, but got {len(names)} models and "
                f"{wide.height} items. Add a model, or run the study again."
            )
        # a merit is higher where the answer is better, whatever the measure
        found = ties(wide.select(names).to_numpy(), names=names, alpha=self.alpha, level="sample")
        return found, f"{wide.height:,} test items"


def _by_seed(results: Results) -> pl.DataFrame:
    """Performance of every strategy [seeds, strategies] for the seeds that all have."""
    rows = results.metric(results.performance, "id").select("strategy", "seed", "value")
    means = rows.group_by("strategy", "seed").agg(pl.col("value").mean())
    if means["strategy"].n_unique() < 2:
        return pl.DataFrame()
    return means.pivot("strategy", index="seed", values="value").drop_nulls().sort("seed")
