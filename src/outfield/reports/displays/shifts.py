"""Performance under covariate shift: the same labels, another look."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.charts import scatter
from outfield.reports.results import Results


def under_shift(results: Results) -> Display:
    """Performance of every strategy under every shift, by severity."""
    rows = results.metric(results.performance, "shift")
    if rows.is_empty():
        raise UserError("This study has no covariate shifts. Add `shifts:` to its file, say gaussian_noise and blur.")
    table = (
        rows.group_by("shift", "severity", "strategy", "family")
        .agg(pl.col("value").mean())
        .sort("shift", "severity", "strategy")
    )
    clean = results.strategies.select("strategy", "family", value=results.performance).with_columns(
        severity=pl.lit(0, pl.Int64)
    )
    shifts = table["shift"].unique().sort().to_list()
    figures = tuple(
        Figure(
            _lines(pl.concat([clean, table.filter(pl.col("shift") == shift)], how="diagonal"), results),
            _words(shift),
            210,
        )
        for shift in shifts
    )
    caption = (
        f"{results.performance_label} on the ID test set, mean over seeds; severity 0 is the clean set. A line a "
        f"strategy ({results.strategies.height}), coloured by family; hover for its name. "
        f"n = {rows['n_id'].max()!s} inputs a point."
    )
    return Display(
        "shifts", f"{results.performance_label} under covariate shift", caption, table, figures, legend="family"
    )


def _words(shift: str) -> str:
    return shift.replace("_", " ")


def _lines(table: pl.DataFrame, results: Results) -> alt.TopLevelMixin:
    colour = style.family(results.families)["color"]
    tips = [style.name("strategy", "strategy"), style.name("family", "family")]
    tips += [style.tip("severity", "severity", "d"), style.tip("value", results.measure.word)]
    lines = alt.Chart(style.rows(table.drop_nulls(["value"]))).mark_line(
        point=alt.OverlayMarkDef(size=18), strokeWidth=1.6, opacity=0.8
    )
    drawn: alt.TopLevelMixin = lines.encode(
        x=alt.X("severity:Q", title="severity", axis=alt.Axis(tickMinStep=1, format="d", grid=False)),
        y=alt.Y(
            "value:Q",
            title=results.measure.word,
            scale=alt.Scale(domain=[0, 1]) if results.measure.share else alt.Scale(zero=False),
            axis=alt.Axis(tickCount=5),
        ),
        color=colour,
        detail="strategy:N",
        tooltip=tips,
    ).properties(width="container", height=180)
    return drawn


def generalisation_against_detection(results: Results) -> Display:
    """Performance under shift against mean AUROC: do the two ways of leaving the training distribution agree?"""
    found = results.correlate("shifted", "auroc").whole
    chart = scatter(results, "shifted", "auroc", 340)
    caption = (
        f"The {results.measure.average} over shifts and severities against mean AUROC; small: a model, large: a "
        f"strategy with the range of its seeds. Spearman over strategies {found.estimate}, 95% interval "
        "(Bonett-Wright)."
    )
    table = results.models.select("model", "strategy", "family", "shifted", "auroc")
    return Display(
        "generalisation", "Generalisation against detection", caption, table, (Figure(chart),), legend="family"
    )
