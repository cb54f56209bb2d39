"""Right and wrong predictions: finding errors is not finding the unknown."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _boxes
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.results import Results

NAMES = {
    "auroc_correct_vs_incorrect": "errors",
    "auroc_correct_vs_ood": "correct_vs_ood",
    "auroc_incorrect_vs_ood": "incorrect_vs_ood",
}
ACROSS = {
    "errors": "finding its errors against finding the unknown",
    "incorrect_vs_ood": "the unknown, from right and from wrong predictions",
}
"""What is drawn against ``correct_vs_ood``, and the title of the figure."""


def correct_and_incorrect(results: Results) -> Display:
    """Three AUROCs of each detector: right against wrong, right against OOD, wrong against OOD."""
    rows = results.test.filter(pl.col("metric").is_in(list(NAMES)))
    means = rows.group_by("detector", "metric").agg(pl.col("value").mean(), pl.col("model").n_unique().alias("models"))
    table = means.pivot("metric", index="detector", values="value").rename(NAMES, strict=False)
    absent = [pl.lit(None, pl.Float64).alias(name) for name in NAMES.values() if name not in table.columns]
    information = pl.col("detector").replace_strict(results.information, default="other").alias("information")
    table = table.with_columns(*absent, information).select("detector", *NAMES.values(), "information")
    table = table.sort("errors", "detector", descending=[True, False], nulls_last=True)
    figures = tuple(
        Figure(_chart(known, across, "correct_vs_ood"), title, 300)
        for across, title in ACROSS.items()
        if (known := table.drop_nulls([across, "correct_vs_ood"])).height
    )
    if not figures:
        raise UserError("This study has no diagnostics: no model has both right and wrong ID predictions.")
    caption = (
        f"Mean AUROC of each detector over OOD sets and up to {means['models'].max()!s} models that have errors. "
        "Left, across: wrong against right ID predictions (does the score predict the model's errors?); up: OOD "
        "against right ones. Right, across: OOD against wrong ones; below .5 the errors look further out than OOD."
    )
    return Display("errors", "Errors or the unknown?", caption, table, figures, legend="information")


TITLES = {
    "errors": "AUROC correct vs incorrect",
    "correct_vs_ood": "AUROC correct vs OOD",
    "incorrect_vs_ood": "AUROC incorrect vs OOD",
}


def _chart(table: pl.DataFrame, x: str, y: str) -> alt.TopLevelMixin:
    base = alt.Chart(style.rows(table.with_columns(label=style.labels(table, x, y, "detector"))))
    right, up = style.across(x, TITLES[x]), style.up(y, TITLES[y])
    tips = [style.name("detector", "detector"), style.name("information", "information")]
    tips += [style.tip(name, title) for name, title in TITLES.items()]
    colour = style.used(table["information"].to_list())
    points = base.mark_point(filled=True, size=85, opacity=0.95)
    labels = base.mark_text(align="left", dx=8, fontSize=10)
    return alt.layer(
        points.encode(x=right, y=up, color=colour, tooltip=tips),
        labels.encode(x=right, y=up, text="label:N", color=alt.value(style.INK)),
    ).properties(width="container", height=360)


FOUR = {"auroc": "ID against OOD", "auroc_correct_vs_incorrect": "correct against incorrect"} | {
    "auroc_correct_vs_ood": "correct against OOD",
    "auroc_incorrect_vs_ood": "incorrect against OOD",
}
"""Metrics of the four to their titles."""


def four_aurocs(results: Results) -> Display:
    """Four AUROCs of each detector over strategies: ID against OOD, and the three of right and wrong predictions."""
    rows = results.test.filter(pl.col("metric").is_in(list(FOUR)))
    if rows["metric"].n_unique() < 2:
        raise UserError("This study has no diagnostics: no model has both right and wrong ID predictions.")
    means = rows.group_by("metric", "detector", "strategy").agg(pl.col("value").mean())
    place = {name: at for at, name in enumerate(results.detectors)}
    boxes = [
        _boxes.quartiles(means.filter(pl.col("metric") == metric).rename({"detector": "name"})).with_columns(
            measure=pl.lit(title), place=pl.col("name").replace_strict(place, default=len(place))
        )
        for metric, title in FOUR.items()
    ]
    table = pl.concat(boxes).sort("measure", "place").select("measure", "name", *_boxes.FIVE, "n")
    figures = tuple(
        Figure(_boxes.chart(table.filter(pl.col("measure") == title), "AUROC"), title, 225)
        for title in FOUR.values()
        if title in set(table["measure"])
    )
    caption = (
        f"Mean AUROC over OOD sets and seeds, spread over up to {table['n'].max()!s} strategies: line from worst to "
        "best, bar the middle half, tick the median; detectors in the order of their mean AUROC. Models without a "
        "wrong prediction have no part in three of the four."
    )
    return Display("four", "The four AUROCs of each detector", caption, table, figures)
