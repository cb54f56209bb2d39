"""A study's rows, asked for the tables that displays are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from outfield import registry
from outfield.errors import UserError
from outfield.places import copies, place
from outfield.stats import Anova, Panel, Recommendation, anova, leave_one_family_out, mean_ranks, panel, recommend
from outfield.stats.ranks import MeanRanks
from outfield.stats.relate import LeftOut
from outfield.store import query, scores
from outfield.store.performance import Performance, performance
from outfield.store.schema import COLUMNS
from outfield.store.settings import told_apart
from outfield.types import Estimate

CATEGORIES = ("near", "far", "extreme", "synthetic")
FAMILIES = (
    *("baseline", "adversarial", "augmentation", "self-supervised", "recipe", "freezing"),
    *("under-trained", "label noise", "small data", "outlier exposure", "normalised logits", "prototypes", "domains"),
    "wild data",
    "vision-language",
)
INFORMATION = ("outputs", "features", "hybrid", "layers", "gradients")
DRAWS = 1000
"""Resamples behind the report's bootstrap intervals."""


@dataclass(frozen=True, eq=False)
class Results:
    """The rows of a study and what they add up to; every table is made once.

    Parameters
    ----------
    rows : frame in the columns of ``outfield.store.schema``
    manifest : mapping
        What ``study.json`` says, empty where the rows come without a folder.
    progress : pair of ints
        How many of its jobs are done, and how many there are.
    folder : path or None
        The study's folder, where the scores of each input are.
    items : frame, optional
        The merit of each model's answer to each item, columns model, set, row, merit; by default the folder's.
    """

    rows: pl.DataFrame
    manifest: dict[str, Any]
    progress: tuple[int, int] = (0, 0)
    folder: Path | None = None
    items: pl.DataFrame | None = None

    @classmethod
    def of(cls, study: Path | str | pl.DataFrame, items: pl.DataFrame | None = None) -> Results:
        """Of a study's folder, of a Parquet file of rows, or of rows; with the merits of items where they are apart.

        Raises
        ------
        UserError
            There are no rows, or they lack columns of the schema.
        """
        if isinstance(study, pl.DataFrame):
            return cls(_complete(study), {}, items=items)
        path = place(study)
        if path.is_file():
            with copies([path]) as (here,):
                return cls(_complete(pl.read_parquet(here, glob=False)), {}, items=items)
        return cls(_complete(query.rows(path)), query.manifest(path), query.progress(path), path, items)

    @cached_property
    def test(self) -> pl.DataFrame:
        """Rows that means, ranks and ANOVA read: role test, no part of a pooled set, with a value."""
        return self.rows.filter(pl.col("role") == "test", pl.col("part").is_null(), pl.col("value").is_not_null())

    @cached_property
    def merits(self) -> pl.DataFrame:
        """The merit of each model's answer to each item: columns model, set (``test`` of ID), row, merit.

        Raises
        ------
        UserError
            The rows came without their items.
        """
        if self.items is not None:
            return self.items
        if self.folder is None:
            raise UserError(
                "Expected the merit of each item, but these rows come without it. Pass the folder of a study that ran."
            )
        return scores.merits(self.folder)

    @cached_property
    def metrics(self) -> frozenset[str]:
        """Metrics that test rows have values of."""
        return frozenset(self.test["metric"].unique().to_list())

    def metric(self, name: str, kind: str) -> pl.DataFrame:
        """Test rows of one metric on one kind of set (id, ood, shift)."""
        return self.test.filter(pl.col("metric") == name, pl.col("set_kind") == kind)

    @cached_property
    def measure(self) -> Performance:
        """What counts as good in these rows: the first measure of their task."""
        return performance(self.rows)

    @property
    def performance(self) -> str:
        """The metric that says how good a model is; a column of ``models`` and ``strategies``."""
        return self.measure.metric

    @property
    def performance_label(self) -> str:
        """Its name in headings."""
        return self.measure.label

    @property
    def higher_is_better(self) -> bool:
        """Whether more of it is better."""
        return self.measure.higher_is_better

    @cached_property
    def questions(self) -> dict[str, dict[str, Any]]:
        """Parameters of analyses, by name, where they are not the defaults: those of the study file, or given later."""
        asked = (self.manifest.get("study") or {}).get("analyses") or ()
        return {one["name"]: {key: value for key, value in one.items() if key != "name"} for one in asked}

    @cached_property
    def answers(self) -> dict[str, Any]:
        """Analyses that were run on these rows, by name."""
        return {}

    @cached_property
    def auroc(self) -> pl.DataFrame:
        """AUROC of every model, detector and OOD set."""
        return self.metric("auroc", "ood")

    @cached_property
    def panel(self) -> Panel:
        """AUROC as a complete array [models, OOD sets, detectors], its few gaps filled."""
        if self.auroc.is_empty():
            raise UserError("Expected AUROCs, but this study has none yet. Run it with detectors and OOD sets.")
        return panel(self.auroc, ("ood", "detector"))

    @cached_property
    def _without_gaps(self) -> Panel:
        return panel(self.auroc, ("ood", "detector"), fill=False) if self.panel.notes else self.panel

    @cached_property
    def complete(self) -> pl.DataFrame:
        """The AUROC rows that the panel holds: every model, OOD set and detector that has all the others."""
        kept = self._without_gaps
        return self.auroc.filter(
            pl.col("model").is_in(kept.models),
            pl.col("ood").is_in(kept.axes["ood"]),
            pl.col("detector").is_in(kept.axes["detector"]),
        )

    @cached_property
    def cells(self) -> pl.DataFrame:
        """AUROC of every strategy and detector: mean over OOD sets and seeds, interval, lowest and highest seed.

        The interval's ends are the means of the ends of DeLong's intervals, as wide as if the errors of sets and seeds
        moved together; where rows have none they are null.
        """
        by = ("strategy", "detector")
        means = self.complete.group_by(by).agg(pl.col("value", "low", "high").mean())
        seeds = self.complete.group_by(*by, "model").agg(pl.col("value").mean().alias("seed"))
        spread = seeds.group_by(by).agg(seed_low=pl.col("seed").min(), seed_high=pl.col("seed").max())
        return means.join(spread, on=by, how="left").sort(by)

    @cached_property
    def cautions(self) -> tuple[str, ...]:
        """What a reader must know of the rows: the study's own notes, jobs that are not done, cells left out."""
        done, total = self.progress
        left = f"{done:,} of {total:,} jobs of this study are done; the figures are of these. Run it again to go on."
        notes = () if self.auroc.is_empty() else dict.fromkeys((*self.panel.notes, *self._without_gaps.notes))
        stated = (self.manifest.get("study") or {}).get("notes", ())
        return (*((left,) if done < total else ()), *stated, *notes)

    @cached_property
    def models(self) -> pl.DataFrame:
        """A row a model: strategy, family, seed, performance and ECE on the ID set, mean AUROC, shifted performance."""
        base = self.rows.select("model", "strategy", "family", "seed").unique(
            "model", keep="first", maintain_order=True
        )
        tables = {
            self.performance: self.metric(self.performance, "id"),
            "ece": self.metric("ece", "id"),
            "shifted": self.metric(self.performance, "shift"),
            "auroc": self.complete if not self.auroc.is_empty() else self.auroc,
        }
        for name, table in tables.items():
            means = table.group_by("model").agg(pl.col("value").mean().alias(name))
            base = base.join(means, on="model", how="left", maintain_order="left")
        return base

    @cached_property
    def strategies(self) -> pl.DataFrame:
        """A row a strategy: means over seeds, and the lowest and highest seed."""
        measures = list(dict.fromkeys((self.performance, "ece", "shifted", "auroc")))
        ends = [pl.col(name).min().name.suffix("_low") for name in measures]
        ends += [pl.col(name).max().name.suffix("_high") for name in measures]
        grouped = self.models.group_by("strategy", maintain_order=True)
        return grouped.agg(
            pl.col("family").first(), pl.col("seed").count().alias("seeds"), pl.col(measures).mean(), *ends
        )

    @cached_property
    def detectors(self) -> tuple[str, ...]:
        """Detectors, best mean AUROC first: over OOD sets and strategies, each counting once; seeds are averaged."""
        if self.auroc.is_empty():
            return ()
        means = self.cells.group_by("detector").agg(pl.col("value").mean())
        known = self.auroc.select("detector").unique().join(means, on="detector", how="left")
        return tuple(known.sort("value", "detector", descending=[True, False], nulls_last=True)["detector"])

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """OOD categories that the study has, nearest first."""
        return in_order(self.auroc["ood_category"].drop_nulls().unique().to_list(), CATEGORIES)

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Families of strategies that the study has."""
        return in_order(self.models["family"].unique().to_list(), FAMILIES)

    @cached_property
    def information(self) -> dict[str, str]:
        """What each detector rests on: outputs, features, hybrid, layers, gradients; ``other`` where unknown."""
        return {name: _information(name) for name in self.detectors}

    @property
    def n_id(self) -> int:
        """Size of the ID test set; 1,000 where the rows do not say."""
        return int(self.rows.select(pl.col("n_id").max()).item() or 1000)

    @property
    def baseline(self) -> str | None:
        """The strategy that others are compared with: the one of the family baseline."""
        found = self.models.filter(pl.col("family") == "baseline")["strategy"]
        return str(found[0]) if len(found) else None

    @cached_property
    def correlation(self) -> LeftOut:
        """Spearman of performance with mean AUROC over strategies, and without each family."""
        return self.correlate(self.performance, "auroc")

    @cached_property
    def turned_by(self) -> tuple[str, ...]:
        """Families without which that correlation's verdict (below, above or not clear of 0) is another."""
        found = self.correlation
        whole = _side(found.whole.estimate)
        return tuple(family for family, one in found.without.items() if _side(one.estimate) != whole)

    def correlate(self, x: str, y: str) -> LeftOut:
        """Spearman of two columns of ``models`` over strategies, and without each family."""
        known = self.models.drop_nulls([x, y])
        groups = known["strategy"].to_list()
        return leave_one_family_out(known[x], known[y], known["family"].to_list(), groups=groups)

    @cached_property
    def variance(self) -> Anova:
        """Shares of the AUROC's variance: strategy x detector x OOD category; jackknife over strategies."""
        return anova(self._named(), ("strategy", "detector", "OOD category"))

    @cached_property
    def variance_on_logit(self) -> Anova:
        """The same on the logit scale, where differences near 1 count for more."""
        sizes = self.auroc.select(trials=pl.col("n_id") * pl.col("n_ood"))["trials"].drop_nulls()
        trials = float(np.median(sizes)) if len(sizes) else None
        return anova(self._named(), ("strategy", "detector", "OOD category"), response="logit", trials=trials)

    def _named(self) -> pl.DataFrame:
        return self.complete.rename({"ood_category": "OOD category"})

    @cached_property
    def ranks(self) -> MeanRanks:
        """Mean rank of every detector over OOD sets and strategies."""
        if self.panel.n_units < 2:
            raise UserError("Expected at least two strategies to average ranks over, but got one. Add a strategy.")
        if len(self.panel.axes["detector"]) < 2:
            raise UserError("Expected at least two detectors to rank, but got one. Add a detector.")
        return mean_ranks(self.panel)

    @cached_property
    def recommendation(self) -> Recommendation:
        """The detector of best worst-case mean rank, judged on OOD sets that it was not chosen on."""
        return recommend(self.panel, draws=DRAWS)


def _side(one: Estimate) -> int:
    """Where an interval lies: below 0 (-1), above (1), or around it."""
    return int(one.low > 0) - int(one.high < 0)


def in_order(found: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names in their known order, others after them in alphabetical order.

    Examples
    --------
    >>> in_order(["text", "far", "near"], CATEGORIES)
    ('near', 'far', 'text')
    """
    return (*(name for name in known if name in found), *sorted(name for name in found if name not in known))


def _complete(rows: pl.DataFrame) -> pl.DataFrame:
    if missing := [name for name in ("model", "metric", "value") if name not in rows.columns]:
        raise UserError(
            f"Expected rows with the columns of a study, but {', '.join(missing)} is not there. "
            "Pass the folder of a study, or rows in its columns (outfield.store.schema)."
        )
    if rows.is_empty():
        raise UserError("Expected the rows of a study, but there is none. Run the study first: outfield run STUDY.")
    defaults = {"role": "test", "set_kind": "ood"}
    absent = [pl.lit(defaults.get(n), kind).alias(n) for n, kind in COLUMNS.items() if n not in rows.columns]
    whole = rows.with_columns(absent).with_columns(
        pl.coalesce("strategy", "model"),
        pl.col("family").fill_null("other"),
        pl.col("seed").fill_null(0),
        pl.col("value").cast(pl.Float64).fill_nan(None),
    )
    return told_apart(whole)


def _information(detector: str) -> str:
    """Of a detector by its name, or by the name of one of its settings."""
    known, plain = registry.names("detectors"), detector.partition(" ")[0]
    return str(registry.find("detectors", plain).information) if plain in known else "other"
