"""A population of models: ID against OOD performance, a point each, as the analyses of patterns and curves read it."""

from __future__ import annotations

import altair as alt
import numpy as np
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.results import Results

FEW = 6
"""Points from which on a pattern is told."""


def points(results: Results, group: str = "") -> tuple[pl.DataFrame, str]:
    """Columns name, family, x (ID performance), y (on shifted inputs, or of a group), higher better; and what y is.

    Parameters
    ----------
    results : Results
    group : str
        A group of the ID test set: y is the performance on its items, x that on all others' mean.

    Raises
    ------
    UserError
        There is no performance under shift, no such group, or fewer than six strategies (of one strategy: seeds).
    """
    models, what = _of_group(results, group) if group else _of_shifts(results)
    models = models.drop_nulls(["x", "y"])
    strategies = models.group_by("strategy").agg(pl.col("family").first(), pl.col("x", "y").mean())
    several = strategies.height > 1
    found = strategies.rename({"strategy": "name"}) if several else models.rename({"model": "name"})
    if found.height < FEW:
        units = "strategies" if several else "models"
        raise UserError(
            f"Expected at least {FEW} {units} with both performances, but got {found.height}: seeds of one strategy "
            "count as one. Train more of them."
        )
    if found["x"].n_unique() == 1:
        raise UserError(
            f"Expected ID {results.measure.word} that varies over models, but it is {found['x'][0]:.3g} of all. "
            "Add models that differ."
        )
    sign = 1 if results.higher_is_better else -1
    turned = found.select("name", "family", x=sign * pl.col("x"), y=sign * pl.col("y")).sort("name")
    return turned, what


def _of_shifts(results: Results) -> tuple[pl.DataFrame, str]:
    models = results.models
    if models["shifted"].null_count() == models.height:
        raise UserError(
            "Expected performance under shift, but these rows have none. Add `shifts:` to the study's file."
        )
    return models.select("model", "strategy", "family", x=results.performance, y="shifted"), "shifted inputs"


def _of_group(results: Results, group: str) -> tuple[pl.DataFrame, str]:
    rows = results.rows.filter(
        pl.col("role") == "group", pl.col("set_kind") == "id", pl.col("metric") == results.performance
    )
    if group not in rows["group"]:
        known = ", ".join(rows["group"].drop_nulls().unique().sort().to_list()) or "none"
        raise UserError(f"Expected performance on the group {group!r}, but there are {known}. Choose one of them.")
    minority = pl.col("group") == group
    found = rows.group_by("model", "strategy", "family").agg(
        x=pl.col("value").filter(~minority).mean(), y=pl.col("value").filter(minority).mean()
    )
    return found, f"the group {group}"


def picture(found: pl.DataFrame, results: Results, what: str, degree: int) -> alt.TopLevelMixin:
    """A point a model with the line (and the parabola) of least squares."""
    word = results.measure.word
    titles = f"{word} on ID inputs", f"{word} on {what}"
    across = alt.X("x:Q", title=titles[0], scale=alt.Scale(zero=False))
    up = alt.Y("y:Q", title=titles[1], scale=alt.Scale(zero=False))
    tips = [style.name("name", "model"), style.name("family", "family"), style.tip("x", "ID"), style.tip("y", what)]
    dots = alt.Chart(style.rows(found)).mark_point(filled=True, size=60, opacity=0.8)
    layers = [dots.encode(x=across, y=up, tooltip=tips, **style.family(sorted(set(found["family"]))))]
    across_all = found["x"].to_numpy()
    grid = np.linspace(float(across_all.min()), float(across_all.max()), 50)
    for power, dash in ((1, [4, 4]), (2, [1, 0]))[:degree]:
        fit = np.polynomial.Polynomial.fit(found["x"].to_numpy(), found["y"].to_numpy(), power)
        drawn = alt.Chart(style.rows(pl.DataFrame({"x": grid, "y": fit(grid)})))
        layers.append(drawn.mark_line(color=style.INK, strokeDash=dash).encode(x=across, y=up))
    return alt.layer(*layers).properties(width="container", height=320)
