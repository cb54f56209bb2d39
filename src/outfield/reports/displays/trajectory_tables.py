"""The numbers behind the trajectories: partial beside plain correlations, reliability, agreement across models."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.accuracy import strip
from outfield.reports.displays.base import Display, Figure
from outfield.trajectory.analysis import Trajectories

MOST_DRAWN = 30
"""Pairs up to which they are drawn; more are a table."""


def partial_correlations(found: Trajectories) -> Display:
    """Every pair by every smoother, the plain correlation beside it."""
    table = found.pairs
    columns = {
        "model": "model", "first": "set", "second": "set", "smoother": "smoother", "value": "partial", "low": "low",
        "high": "high", "p": "p", "q": "p, BH", "plain": "plain", "corrected": "corrected for noise", "note": "note",
    }  # fmt: skip
    runs = max(len(model.runs) for model in found.models)
    caption = (
        f"Partial and plain correlations within runs, mean over up to {runs} runs in Fisher z, Student's 95% interval "
        "over runs; p: run permutation, two-sided; p, BH: after Benjamini and Hochberg over the pairs of one "
        "model and smoother; "
        "corrected for noise: linear, errors in variables with the item covariance of the ID set. "
        f"Pairs whose sign depends on the smoother: {found.sign_differs.height}. AUROC pairs share their ID "
        "scores, which "
        "alone makes them correlate (shared_id in the file)."
    )
    return Display("partial", "Partial correlations, the plain one beside each", caption, table, (), columns, open=True)


def reliability(found: Trajectories) -> Display:
    """How much of each set's movement is more than sampling noise."""
    table = found.reliability
    if table.is_empty():
        raise UserError("Items were not kept, so that reliability is unknown. Log `correct` as a vector of each item.")
    named = table.select(
        name=pl.format("{} ({})", "set", "model") if len(found.models) > 1 else pl.col("set"),
        value="reliability", low=pl.col("lowest run"), high="reliability", n="items",
    )  # fmt: skip
    caption = (
        "Share of the variance of a set's accuracies along a run that is not sampling noise of its items (item "
        "covariance), "
        "mean over runs; the line reaches to the lowest run. Sets below 200 items: "
        f"{', '.join(sorted(set(table.filter(pl.col('items') < 200)['set']))) or 'none'}."
    )
    figure = Figure(strip(named, "reliability", (0, 1)))
    return Display("reliability", "How reliable each set is along a run", caption, table, (figure,))


def across_models(found: Trajectories) -> Display:
    """Is it one pattern? Heterogeneity of the partial correlations over models."""
    shared = found.agreement
    table = shared.frame()
    caption = (
        f"Linear partial correlations of {shared.n_units} models: mean off-diagonal {shared.mean}, share of "
        "positive pairs "
        f"{shared.positive}. A pair's mean over models with the random-effects 95% interval; Q and I2 say whether "
        "models "
        f"differ by more than chance, p after {shared.correction}."
    )
    named = table.select(name=pl.format("{} ~ {}", "first", "second"), value="mean", low="low", high="high")
    drawn = (Figure(strip(named, "mean partial correlation", (-1, 1), 0)),) if named.height <= MOST_DRAWN else ()
    return Display("across-models", "Is there one pattern across models?", caption, table, drawn, open=not drawn)


def against_size(found: Trajectories) -> Display:
    """Average partial correlation against the size of the model."""
    sizes = found.rows.filter(pl.col("metric") == "parameters").group_by("strategy").agg(pl.col("value").first())
    if sizes.height < 2:
        raise UserError("Expected at least two models of known size, but there are fewer. Add models to the study.")
    means = (
        found.pairs.filter(pl.col("smoother") == "spline")
        .group_by("model")
        .agg(pl.col("value").fill_nan(None).mean().alias("mean"), pl.col("value").fill_nan(None).std().alias("sd"))
    )
    table = means.join(sizes.rename({"strategy": "model", "value": "parameters"}), on="model").sort("parameters")
    x = alt.X("parameters:Q", scale=alt.Scale(type="log"), title="parameters", axis=alt.Axis(format="~s"))
    base = alt.Chart(
        style.rows(table.with_columns(low=pl.col("mean") - pl.col("sd"), high=pl.col("mean") + pl.col("sd")))
    )
    chart = alt.layer(
        base.mark_rule(color=style.BLUE).encode(x=x, y=alt.Y("low:Q", title="mean partial correlation"), y2="high:Q"),
        base.mark_point(filled=True, size=90, color=style.BLUE, opacity=1).encode(x=x, y="mean:Q", tooltip=["model:N"]),
    ).properties(width="container", height=280)
    caption = (
        "Mean over pairs of the partial correlation (spline) of each model; bars: one standard deviation over pairs."
    )
    return Display("size", "Average correlation against model size", caption, table, (Figure(chart),))
