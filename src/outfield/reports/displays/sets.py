"""Detection by OOD category, set and part of the synthetic set."""

from __future__ import annotations

import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.results import Results


def by_category(results: Results) -> Display:
    """Mean AUROC of every detector on every OOD set, sets by category."""
    cells = results.complete.group_by("detector", "ood_category", "ood")
    table = cells.agg(pl.col("value").mean(), pl.col("n_ood").max()).sort("ood_category", "ood", "detector")
    labels = _labels(table, results.categories)
    named = table.select(x=pl.col("ood").replace_strict(labels), y="detector", value="value")
    chart = style.cells(named, list(labels.values()), results.detectors, ("OOD set", ""))
    caption = (
        f"Mean AUROC over {results.complete['model'].n_unique()} models; nearest categories left. "
        f"Samples: {_sizes(table)}; ID {results.auroc['n_id'].max()!s}."
    )
    figure = Figure(chart, min_width=max(340, 120 + 46 * len(labels)))
    return Display("sets", "Detection by OOD category and set", caption, table, (figure,))


def _labels(table: pl.DataFrame, categories: tuple[str, ...]) -> dict[str, str]:
    """OOD sets in the order of their categories, each with its category before its name."""
    sets = sorted(set(table.select("ood", "ood_category").iter_rows()), key=lambda each: (str(each[1]), str(each[0])))
    place = {name: at for at, name in enumerate(categories)}
    nearest = sorted(sets, key=lambda each: place.get(each[1], len(place)))
    return {ood: f"{category or 'other'}: {ood}" for ood, category in nearest}


def _sizes(table: pl.DataFrame) -> str:
    sizes = table.group_by("ood").agg(pl.col("n_ood").max()).sort("ood")
    return ", ".join(f"{ood} {'?' if n is None else n}" for ood, n in sizes.iter_rows())


def synthetic_parts(results: Results) -> Display:
    """Mean AUROC of every detector on every unit test of the pooled synthetic set."""
    parts = results.rows.filter(
        pl.col("role") == "test",
        pl.col("part").is_not_null(),
        pl.col("metric") == "auroc",
        pl.col("value").is_not_null(),
    )
    if parts.is_empty():
        raise UserError("This study has no pooled OOD set with parts. Add the synthetic source to its OOD sets.")
    table = (
        parts.group_by("part", "detector").agg(pl.col("value").mean(), pl.col("n_ood").max()).sort("part", "detector")
    )
    order = table.group_by("part").agg(pl.col("value").mean()).sort("value", "part")["part"].to_list()
    named = table.select(x="part", y="detector", value="value")
    chart = style.cells(named, order, results.detectors, ("unit test", ""))
    constant = " and ".join(part for part in ("black", "white") if part in order)
    note = f" {constant.capitalize()}: one picture many times, so the AUROC is of one comparison." if constant else ""
    caption = (
        f"Mean AUROC over {parts['model'].n_unique()} models, hardest unit test left, at most {table['n_ood'].max()!s} "
        f"pictures a test.{note}"
    )
    figure = Figure(chart, min_width=max(340, 120 + 46 * min(len(order), 20)))
    return Display("parts", "The synthetic unit tests, one by one", caption, table, (figure,))
