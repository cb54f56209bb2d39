from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import altair as alt
import numpy as np
import polars as pl

from outfield import registry
from outfield.errors import UserError, with_and
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.results import Results
from outfield.stats import shared_failures as counted

MOST_NAMED = 8


@dataclass(frozen=True)
class SharedFailures(Analysis):
    """Which inputs of the ID test set all models get wrong, and how many that would be by chance.

    A model is wrong on an item whose merit is 0. Were the models' errors independent of each other, all of M models
    with error rates e_m would be wrong on ``n e_1 e_2 ... e_M`` of n items. More than that are hard for every model, or
    their labels are wrong: look at them first.

    Parameters
    ----------
    wrong_by : float
        Least share of the models that are wrong on an item of the table; 1 for all.
    """

    wrong_by: float = 1.0

    title: ClassVar[str] = "Inputs that all models get wrong"
    question: ClassVar[str] = "Which inputs do all models fail on, and how many would that be by chance?"
    needs: ClassVar[frozenset[str]] = frozenset({"performance"})

    def of(self, results: Results) -> Result:
        if not 0 < self.wrong_by <= 1:
            raise UserError(f"Expected a share of the models above 0 and up to 1, but got {self.wrong_by:g}. Pass 0.9.")
        wide = _wrong(results)
        found = counted.shared_failures(wide.drop("row").to_numpy().T)
        share = wide.select("row", wrong_by=pl.mean_horizontal(pl.exclude("row")))
        items = _labelled(share.filter(pl.col("wrong_by") >= self.wrong_by), results)
        counts = _counts(found)
        table = (
            items if items.height else _labelled(share.filter(pl.col("wrong_by") == share["wrong_by"].max()), results)
        )
        return Result(
            table.sort("wrong_by", "row", descending=[True, False]), _said(found, table, items.height), _picture(counts)
        )


def _wrong(results: Results) -> pl.DataFrame:
    """Whether each model is wrong on each ID test item that all have, [items, row and models]."""
    items = results.merits.filter(pl.col("set") == "test")
    values = items["merit"].drop_nulls().unique().to_list()
    if not set(values) <= {0.0, 1.0}:
        raise UserError(
            "Expected items that are right or wrong, but their merits are other numbers. Ask this of a classifier."
        )
    wide = items.pivot("model", index="row", values="merit").drop_nulls().sort("row")
    names = sorted(set(wide.columns) - {"row"})
    if len(names) < 2 or not wide.height:
        raise UserError(
            f"Expected at least two models with answers to the same ID test items, but got {len(names)} models and "
            f"{wide.height} items. Add a model, or run the study again."
        )
    return wide.select("row", (pl.col(names) == 0).cast(pl.Int64))


def _labelled(items: pl.DataFrame, results: Results) -> pl.DataFrame:
    """The items with their labels, where the study's data are on this machine."""
    named = _labels(results)
    if named is None or (items.height and items["row"].to_numpy().max() >= len(named)):
        return items.with_columns(label=pl.lit(None, pl.String))
    return items.with_columns(label=pl.Series([named[row] for row in items["row"]], dtype=pl.String))


def _labels(results: Results) -> list[str] | None:
    """Labels of the ID test set as its source has them; None where they cannot be read here."""
    source = (((results.manifest.get("study") or {}).get("id") or {}).get("test")) or None
    if not source:
        return None
    try:
        data: Any = registry.create(
            "sources", source["name"], **{k: v for k, v in source.items() if k != "name"}
        ).load()
    except (UserError, TypeError, ValueError, OSError):
        return None
    if data.labels is None:
        return None
    return [str(number) if data.classes is None else str(data.classes[number]) for number in data.labels]


def _counts(found: counted.SharedFailures) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "models": [*range(len(found.counts))] * 2,
            "items": [*map(float, found.counts), *found.expected_counts],
            "kind": ["found"] * len(found.counts) + ["if errors were independent"] * len(found.counts),
        }
    )


def _said(found: counted.SharedFailures, table: pl.DataFrame, shown: int) -> tuple[str, ...]:
    models, items = found.n_models, f"{found.n_units:,} test items"
    if not found.rows:
        most = int(np.flatnonzero(found.counts)[-1])
        first = f"No input is wrong for all {models} models, of {items}; at most {most} are wrong on the same one."
    else:
        first = f"All {models} models are wrong on {len(found.rows)} of {items}."
    return (
        first,
        f"Were their errors independent, {_number(found.expected)} would be expected.",
        _meaning(found),
        _labels_said(table) if found.rows and shown else "",
        "The bars count items by how many models are wrong on them; dots are what independent errors would give.",
    )


def _meaning(found: counted.SharedFailures) -> str:
    if found.p < 0.05 and found.rows:
        return (
            f"Such an excess is no chance (p {_p(found.p)}, binomial): these inputs are hard for every model or carry "
            "a wrong label. Look at them before the models."
        )
    return f"That is no more than chance would give (p {_p(found.p)}, binomial)." if found.rows else ""


def _labels_said(table: pl.DataFrame) -> str:
    counts = table.drop_nulls("label").group_by("label").len().sort("len", "label", descending=[True, False])
    if counts.is_empty():
        return "Their labels are not on this machine; the table has their rows in the test set."
    named = [f"{label} ({count})" for label, count in counts.head(MOST_NAMED).iter_rows()]
    return f"Their labels are {with_and(named, most=MOST_NAMED)}."


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"of {value:.3f}"


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 0.1 else "fewer than 0.1"


def _picture(counts: pl.DataFrame) -> alt.TopLevelMixin:
    known = counts.filter(pl.col("models") > 0)
    base = alt.Chart(style.rows(known))
    across = alt.X("models:O", title="models that are wrong on an item", axis=alt.Axis(labelAngle=0))
    up = alt.Y("items:Q", title="items")
    tips = [style.tip("models", "models", "d"), style.name("kind", "kind"), style.tip("items", "items", ".1f")]
    bars = base.transform_filter("datum.kind == 'found'").mark_bar(color=style.BLUE)
    dots = base.transform_filter("datum.kind != 'found'").mark_point(
        filled=True, size=50, color=style.ORANGE, opacity=1
    )
    return alt.layer(bars.encode(x=across, y=up, tooltip=tips), dots.encode(x=across, y=up, tooltip=tips)).properties(
        width="container", height=240
    )
