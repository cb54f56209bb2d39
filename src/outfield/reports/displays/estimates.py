"""Accuracy as estimators see it without labels, beside the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.results import Results
from outfield.stats import intervals
from outfield.stats.units import Panel, panel
from outfield.types import Array

ESTIMATED = "estimated_accuracy"
"""The metric of rows that estimate an accuracy; their ``params`` name the estimator."""
RANGES = {"error": (0.0, 1.0), "agreement": (-1.0, 1.0)}
"""What each measure of an estimator can be: no interval reaches further."""
COLUMNS = {
    "estimator": "Estimator", "error": "Mean absolute error", "low_error": "Low", "high_error": "High",
    "bias": "Mean error", "excess": "Largest excess", "agreement": "Rank agreement", "low_agreement": "Low",
    "high_agreement": "High", "held": "Intervals that hold",
}  # fmt: skip


def estimated_accuracy(results: Results) -> Display:
    """Estimated against true accuracy of every model under every shift, and how far each estimator is off."""
    pairs = estimates(results.rows)
    table = errors(pairs)
    several, off = int(table["units"].to_numpy().max()), table["error"].to_numpy()
    sets = pairs["ood"].n_unique()
    over = f"with 95% intervals over {several} {_units(pairs)} (Student)"
    unit = over if several > 1 else "without interval: one model"
    caption = (
        f"A point a model and shift ({sets} shifted sets); on the line the estimate is right, above it too high. Mean "
        f"absolute error and rank agreement (Spearman over a model's shifted sets), {unit}. Mean error and largest "
        "excess: the estimate less the truth. Intervals that hold: the share of 95% intervals with the measured "
        "accuracy in them; under a shift that the estimator is not made for they need not hold. None is right under "
        "every shift."
    )
    figures = tuple(
        Figure(chart(of, results.families), str(name), 230)
        for (name,), of in pairs.group_by("estimator", maintain_order=True)
    )
    title = f"Without labels, accuracy under shift is estimated with a mean error of {off.min():.3f} to {off.max():.3f}"
    columns = {name: heading for name, heading in COLUMNS.items() if table[name].is_not_null().any()}
    return Display("estimates", title, caption, table.select(*columns), figures, columns, open=True, legend="family")


def estimates(rows: pl.DataFrame) -> pl.DataFrame:
    """A row an estimate on a shifted set: model, strategy, family, estimator, ood, estimate, low, high, truth.

    Raises
    ------
    UserError
        No row estimates an accuracy under shift.
    """
    shifted = rows.filter(pl.col("set_kind") == "shift", pl.col("role") == "test", pl.col("value").is_not_null())
    keys = [name for name in ("model", "run", "step", "ood") if name in rows.columns]
    truth = shifted.filter(pl.col("metric") == "accuracy").select(*keys, truth="value")
    made = shifted.filter(pl.col("metric") == ESTIMATED)
    if made.is_empty() or truth.is_empty():
        raise UserError(
            "No accuracy under shift was estimated without labels. Name `estimators:` in the study's file, say "
            "average_confidence, beside `shifts:`."
        )
    named = made.with_columns(estimator=pl.col("params").map_elements(_named, pl.String))
    found = named.join(truth, on=keys, nulls_equal=True)
    columns = ("model", "strategy", "family", "estimator", "ood", "low", "high", "truth")
    return found.select(*columns, estimate="value").sort("estimator", "model", "ood", maintain_order=True)


def _named(params: str) -> str:
    """An estimator with its parameters, as text.

    Examples
    --------
    >>> _named('{"estimator":"average_thresholded_confidence","of":"entropy"}')
    'average thresholded confidence (entropy)'
    """
    told = json.loads(params)
    name = str(told.pop("estimator")).replace("_", " ")
    return f"{name} ({', '.join(map(str, told.values()))})" if told else name


def errors(pairs: pl.DataFrame) -> pl.DataFrame:
    """How far each estimator is off, the least mean absolute error first.

    The unit is the strategy where any has several models, else the model: errors are averaged over the shifted sets of
    a model, then over the models of a unit; the interval is Student's over units. Rank agreement is Spearman's
    correlation of estimate and truth over the shifted sets of a model, averaged alike; of fewer than three sets, or
    where all estimates are equal, there is none.

    Parameters
    ----------
    pairs : frame
        As :func:`estimates` gives.

    Examples
    --------
    >>> pairs = pl.DataFrame({"model": ["a", "a", "b", "b"], "strategy": ["a", "a", "b", "b"], "estimator": ["doc"] * 4,
    ...     "ood": ["x", "y"] * 2, "estimate": [0.8, 0.6, 0.9, 0.5], "truth": [0.7, 0.6, 0.9, 0.6],
    ...     "low": [0.75, 0.5, 0.8, 0.4], "high": [0.9, 0.7, 1.0, 0.55]})
    >>> errors(pairs).select(pl.col("error", "bias", "excess").round(3), "held", "units").row(0)
    (0.05, 0.0, 0.1, 0.5, 2)
    """
    over = pl.col("estimate") - pl.col("truth")
    held = pl.col("truth").is_between("low", "high")
    told = pairs.group_by("estimator", maintain_order=True).agg(bias=over.mean(), excess=over.max(), held=held.mean())
    by = ("model", "strategy", "estimator")
    each = pairs.group_by(by, maintain_order=True).agg(
        error=over.abs().mean(),
        agreement=pl.when(pl.len() >= 3).then(pl.corr("estimate", "truth", method="spearman")),
    )
    for measure in ("error", "agreement"):
        told = told.join(_over_units(each, measure), on="estimator", how="left")
    return told.sort("error", "estimator")


def _over_units(each: pl.DataFrame, measure: str) -> pl.DataFrame:
    known = each.filter(pl.col(measure).is_not_nan() & pl.col(measure).is_not_null())
    rows = [
        (name, *_mean(panel(of, ("estimator",), metric=None, value=measure), RANGES[measure]))
        for (name,), of in known.group_by("estimator", maintain_order=True)
    ]
    ends = [f"low_{measure}", f"high_{measure}"]
    units = ["units"] if measure == "error" else ["known"]
    schema = {"estimator": pl.String, **dict.fromkeys([measure, *ends], pl.Float64), **dict.fromkeys(units, pl.Int64)}
    return pl.DataFrame(rows, schema=schema, orient="row").fill_nan(None)


def _mean(found: Panel, within: tuple[float, float]) -> tuple[float, float, float, int]:
    """Mean over units, Student's interval of it, and how many units there are."""
    means: Array = found.means.ravel()
    n = len(means)
    if n < 2:
        return float(means.mean()), float("nan"), float("nan"), n
    low, high = np.clip(intervals.jackknife(means.mean(), (means.sum() - means) / (n - 1)), *within)
    return float(means.mean()), float(low), float(high), n


def _units(pairs: pl.DataFrame) -> str:
    per_strategy = pairs.group_by("strategy").agg(pl.col("model").n_unique())["model"].to_numpy()
    return "models" if per_strategy.max() == 1 else "strategies"


def chart(of: pl.DataFrame, families: Sequence[str]) -> alt.TopLevelMixin:
    """Estimates of one estimator over the truth, with the line on which they are right."""
    scale = alt.Scale(domain=[0, 1])
    tips = [style.name("model", "model"), style.name("ood", "set")]
    tips += [style.tip(field, field) for field in ("truth", "estimate", "low", "high")]
    line = alt.Chart(style.rows(pl.DataFrame({"at": [0.0, 1.0]}))).mark_line(strokeDash=[3, 3], color=style.INK)
    drawn: alt.TopLevelMixin = alt.layer(
        line.encode(x=alt.X("at:Q", scale=scale), y=alt.Y("at:Q", scale=scale)),
        alt.Chart(style.rows(of)).mark_point(filled=True, size=28, opacity=0.7).encode(
            x=alt.X("truth:Q", title="accuracy", scale=scale), y=alt.Y("estimate:Q", title="estimate", scale=scale),
            tooltip=tips, **style.family(families),
        ),
    ).properties(width="container", height=200)  # fmt: skip
    return drawn
