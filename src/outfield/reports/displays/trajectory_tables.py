"""The numbers behind the trajectories: partial beside plain correlations, reliability, agreement across models."""

from __future__ import annotations

import altair as alt
import numpy as np
import polars as pl
from scipy import stats

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.charts import strip
from outfield.reports.displays.trajectory_network import COLOURS, sided
from outfield.trajectory.analysis import Trajectories
from outfield.trajectory.model import Model

MOST_DRAWN = 45
"""Pairs that are drawn; the table has all."""


def partial_correlations(found: Trajectories) -> Display:
    """Every pair by every smoother, the plain correlation beside it."""
    table = _wide(found)
    columns = {"model": "model"} if len(found.models) > 1 else {}
    columns |= {"first": "set", "second": "and set", "plain": "plain", "plain low": "low"}
    columns |= {"plain high": "high"}
    for kind in found.smoothers:
        columns |= {kind: kind, f"{kind} low": "low", f"{kind} high": "high"}
        columns |= {"p": "p", "q": "p, BH", "p_sign": "p, signs"} if kind == "linear" else {}
    columns |= {"positive": "runs positive"} | ({"corrected": "corrected"} if found.has_noise else {})
    if table["apart"].is_not_null().any():
        columns |= {"apart": "apart", "apart_low": "low", "apart_high": "high"}
    columns |= {"note": "note"} if (table["note"] != "").any() else {}
    shared = table.filter(pl.col("shared_id")).height
    caption = (
        f"Correlation within runs, mean over {_units(found)} in Fisher z, Student's 95% interval over them: plain "
        f"(hollow) and once a smooth of ID {found.performance.word} is taken out (filled; drawn: {found.smoother}). p: "
        "run permutation, "
        f"two-sided, given ID {found.performance.word} less its noise, of what is left beyond the curve that all "
        "runs share; p, BH: after Benjamini and Hochberg over the pairs of one model; p, signs: whether the linear one "
        f"is as often positive as negative over units, that curve included (sign test). {_corrected(found)}Pairs whose "
        f"sign depends on the smoother: {found.sign_differs.height}. {_shared(shared)}{_left(table)}"
    )
    figures = tuple(
        Figure(_beside(part, found.smoother), *((str(name), 560) if len(found.models) > 1 else ("", 420)))
        for (name,), part in table.drop_nulls(found.smoother).group_by("model", maintain_order=True)
    )
    return Display("partial", "Partial correlations, the plain one beside each", caption, table, figures, columns)


def _corrected(found: Trajectories) -> str:
    if not found.has_noise:
        return ""
    return f"Corrected: linear, for the sampling noise of the ID set (errors in variables with {found.noise_from}). "


def _units(found: Trajectories) -> str:
    """Over how many runs, and independent units where some are kin, means are taken."""
    runs, units = (max(each) for each in zip(*((len(m.runs), m.units) for m in found.models), strict=True))
    return f"{runs} runs" if runs == units else f"{units} independent units ({runs} runs; kin are averaged first)"


def _wide(found: Trajectories) -> pl.DataFrame:
    """A row a pair: the plain correlation, then each smoother's."""
    keys = ["model", "first", "second"]
    renamed = {"value": "", "low": " low", "high": " high"}
    plain = ["plain", "plain_low", "plain_high", "p", "q", "p_sign", "positive", "runs", "shared_id", "note"]
    linear = found.compared("linear")
    table = linear.select(*keys, *plain).rename({"plain_low": "plain low", "plain_high": "plain high"})
    for kind in found.smoothers:
        part = found.compared(kind)
        named = part.select(*keys, *(pl.col(old).alias(f"{kind}{new}") for old, new in renamed.items()))
        table = table.join(named, on=keys, how="left", maintain_order="left")
    return table.join(
        linear.select(*keys, "corrected", "corrected_runs", "apart", "apart_low", "apart_high"),
        on=keys,
        how="left",
        maintain_order="left",
    )


def _shared(count: int) -> str:
    return (
        f"{count} pairs are of two AUROCs, which share their ID scores: that alone makes them correlate. "
        "Apart: linear, each AUROC on another half of the items, which is noisier and so nearer to 0. "
        if count
        else ""
    )


def _left(table: pl.DataFrame) -> str:
    most = int(table.group_by("model").len()["len"].max())  # type: ignore[arg-type]  # a count
    return f"Drawn: the {MOST_DRAWN} strongest of {most} pairs." if most > MOST_DRAWN else ""


def _beside(table: pl.DataFrame, kind: str) -> alt.TopLevelMixin:
    """The strongest pairs, from the most positive to the most negative: partial with interval, plain as a ring."""
    strongest = table.sort(pl.col(kind).abs(), descending=True).head(MOST_DRAWN).sort(kind, descending=True)
    named = strongest.select(
        name=pl.format("{} ~ {}", "first", "second"), value=kind, low=f"{kind} low", high=f"{kind} high",
        plain="plain", side=sided(f"{kind} low", f"{kind} high"),
    )  # fmt: skip
    order = alt.Y("name:N", sort=named["name"].to_list(), title=None, axis=alt.Axis(labelLimit=300))
    scale, axis = alt.Scale(domain=[-1, 1], clamp=True), alt.Axis(title="correlation within runs", tickCount=8)
    value, low, plain = (alt.X(f"{field}:Q", axis=axis, scale=scale) for field in ("value", "low", "plain"))
    shown = alt.Legend(title=None, orient="top")
    colours = alt.Scale(domain=list(COLOURS), range=list(COLOURS.values()))
    colour = alt.Color("side:N", scale=colours, legend=shown)
    tips = [style.name("name", "pair"), *(style.tip(end, end, ".2f") for end in ("value", "low", "high", "plain"))]
    base = alt.Chart(style.rows(named, 3)).encode(y=order)
    zero = alt.Chart(style.rows(pl.DataFrame({"at": [0.0]}))).mark_rule(strokeDash=[3, 3], color=style.INK)
    whole: alt.TopLevelMixin = alt.layer(
        zero.encode(x=alt.X("at:Q", axis=axis, scale=scale)),
        base.mark_rule(strokeWidth=2).encode(x=low, x2="high:Q", color=colour),
        base.mark_point(size=45, color=style.INK, opacity=1, strokeWidth=1.5).encode(x=plain, tooltip=tips),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=value, color=colour, tooltip=tips),
    ).properties(width="container", height=alt.Step(17))
    return whole


def reliability(found: Trajectories) -> Display:
    """How much of each set's movement is more than sampling noise."""
    table = found.reliability
    if table.is_empty():
        raise UserError(
            "Items were not kept, and no standard errors are known, so that reliability is unknown. Log `correct` as a "
            "vector of each item, or name the columns of standard errors."
        )
    named = table.select(
        name=pl.format("{} ({})", "set", "model") if len(found.models) > 1 else pl.col("set"),
        value="reliability", low=pl.col("lowest run"), high="reliability", n="items",
    )  # fmt: skip
    caption = (
        "Share of the variance of a set's performance along a run that is not sampling noise of its items "
        f"({found.noise_from}), mean over runs; the line reaches to the lowest run; at 0 and below a set "
        "moves no more than by chance. Sets below 200 items: "
        f"{', '.join(sorted(set(table.filter(pl.col('items') < 200)['set']))) or 'none'}."
    )
    figure = Figure(strip(named, "reliability", (0, 1)))
    return Display("reliability", "How reliable each set is along a run", caption, table, (figure,))


def across_models(found: Trajectories) -> Display:
    """Is there one pattern across models: heterogeneity of the partial correlations."""
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
    strongest = named.sort(pl.col("value").abs(), descending=True).head(MOST_DRAWN).sort("value", descending=True)
    left = f" Drawn: the {MOST_DRAWN} strongest of {named.height} pairs." if named.height > MOST_DRAWN else ""
    figure = Figure(strip(strongest, "mean partial correlation", (-1, 1), 0), min_width=420)
    return Display("across-models", "Is there one pattern across models?", caption + left, table, (figure,))


def against_size(found: Trajectories) -> Display:
    """Average correlation against model size: a point a model."""
    sizes = found.rows.filter(pl.col("metric") == "parameters").group_by("strategy").agg(pl.col("value").first())
    if sizes["value"].n_unique() < 2:
        raise UserError("Expected models of at least two known sizes, but there are fewer. Add models to the study.")
    table = pl.DataFrame([_mean_pair(model) for model in found.models])
    table = table.join(sizes.rename({"strategy": "model", "value": "parameters"}), on="model").sort("parameters")
    axis = alt.Axis(labelExpr="replace(format(datum.value, '~s'), 'G', 'B')", labelOverlap="greedy")
    x = alt.X(
        "parameters:Q", title="parameters of the model (log scale)", axis=axis,
        scale=alt.Scale(type="log", nice=False, padding=30),
    )  # fmt: skip
    base = alt.Chart(style.rows(table.fill_nan(None)))
    low, value = (
        alt.Y(f"{field}:Q", title="mean partial correlation", scale=alt.Scale(domain=[-1, 1], clamp=True))
        for field in ("low", "mean")
    )
    tips = [style.name("model", "model"), style.tip("parameters", "parameters", ",d")]
    tips += [style.tip(end, end, ".2f") for end in ("mean", "low", "high")] + [style.tip("runs", "runs", "d")]
    zero = alt.Chart(style.rows(pl.DataFrame({"at": [0.0]}))).mark_rule(strokeDash=[3, 3], color=style.INK)
    chart = alt.layer(
        zero.encode(y="at:Q"),
        base.mark_rule(color=style.BLUE, strokeWidth=2).encode(x=x, y=low, y2="high:Q"),
        base.mark_point(filled=True, size=90, color=style.BLUE, opacity=1).encode(x=x, y=value, tooltip=tips),
        base.mark_text(align="left", dx=9, dy=-8, fontSize=11, color=style.INK).encode(x=x, y=value, text="model:N"),
    ).properties(width="container", height=300)
    caption = (
        "Mean over all pairs of sets of the partial correlation (spline) of each run, then over runs with "
        "Student's 95% interval; a point a model. A pair with a set that never moves in a run is left out of it. "
        "Sizes are those of the models without adapters."
    )
    return Display("size", "Average correlation against model size", caption, table, (Figure(chart, min_width=320),))


def _mean_pair(model: Model) -> dict[str, object]:
    """Each run's mean over pairs, then mean and interval over runs: pairs of one run are not independent.

    A pair counts in the runs in which both of its measures move, and a run where it has such a pair.
    """
    left = {name: model.residuals(name) for name in model.values}
    rows, columns = np.triu_indices(len(left), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_run = [np.corrcoef([series[run] for series in left.values()]) for run in range(len(model.runs))]
    known = [pairs[~np.isnan(pairs)] for pairs in (matrix[rows, columns] for matrix in per_run)]
    means = np.array([pairs.mean() for pairs in known if len(pairs)])
    half = (
        stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5 if len(means) > 1 else float("nan")
    )
    mean = float(means.mean()) if len(means) else float("nan")
    return {"model": model.name, "mean": mean, "low": mean - half, "high": mean + half, "runs": len(means)}
