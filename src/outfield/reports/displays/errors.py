"""Right and wrong predictions: finding errors is not finding the unknown."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.results import Results

NAMES = {
    "auroc_correct_vs_incorrect": "errors",
    "auroc_correct_vs_ood": "correct_vs_ood",
    "auroc_incorrect_vs_ood": "incorrect_vs_ood",
}


def correct_and_incorrect(results: Results) -> Display:
    """Three AUROCs of each detector: right against wrong, right against OOD, wrong against OOD."""
    rows = results.test.filter(pl.col("metric").is_in(list(NAMES)))
    if rows.is_empty():
        raise UserError("This study has no diagnostics: no model has both right and wrong ID predictions.")
    means = rows.group_by("detector", "metric").agg(pl.col("value").mean(), pl.col("model").n_unique().alias("models"))
    table = means.pivot("metric", index="detector", values="value").rename(NAMES, strict=False)
    absent = [pl.lit(None, pl.Float64).alias(name) for name in NAMES.values() if name not in table.columns]
    information = pl.col("detector").replace_strict(results.information, default="other").alias("information")
    table = table.with_columns(*absent, information).sort("errors", descending=True, nulls_last=True)
    figures = (
        Figure(_chart(table, "errors", "correct_vs_ood"), "finding its errors against finding the unknown", 300),
        Figure(
            _chart(table, "incorrect_vs_ood", "correct_vs_ood"),
            "the unknown, from right and from wrong predictions",
            300,
        ),
    )
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
    known = table.drop_nulls([x, y])
    base = alt.Chart(style.rows(known.with_columns(label=style.labels(known, x, y, "detector"))))
    right, up = style.across(x, TITLES[x]), style.up(y, TITLES[y])
    tips = [style.name("detector", "detector"), style.name("information", "information")]
    tips += [style.tip(name, title) for name, title in TITLES.items()]
    colour = style.used(table["information"].to_list())
    points = base.mark_point(filled=True, size=85, opacity=0.95)
    labels = base.mark_text(align="left", dx=8, fontSize=10)
    return alt.layer(
        points.encode(x=right, y=up, color=colour, tooltip=tips),
        labels.encode(x=right, y=up, text="label:N", color=colour),
    ).properties(width="container", height=360)
