"""Long rows, a row a value, as measures of units: the mean AUROC of every OOD set over detectors that all have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from outfield.errors import UserError, listed
from outfield.stats.frames import require, select_rows
from outfield.stats.relate import as_share
from outfield.store.performance import Performance, performance
from outfield.tables.base import FAMILY, NO_FAMILY, OWN, Measures
from outfield.tables.cells import names, numbers, without_name
from outfield.tables.kin import ROW, Kin, clusters
from outfield.tables.sets import SETS
from outfield.tables.summary_rows import summary_of, summary_rows
from outfield.tables.text import Ignored, Sheet
from outfield.tables.wide import deduplicated, ignored_frame, torn
from outfield.types import Array

MEAN = "mean AUROC"
SHARES = ("accuracy", "auroc", "ece")
"""Metrics of long rows that are shares, each on a scale of its own."""
TEXT = ("ood", "ood_category", "detector")
"""Columns of names that rows may lack."""
LEAST = 4
"""Units that statistics need."""


def long(table: Sheet, baseline: str | None, columns: Mapping[str, str | None], unit: str | None = None) -> Measures:
    """Measures of outfield's rows: ID performance, ECE, mean AUROC of every OOD set over the detectors that all have.

    Parameters
    ----------
    table : rows with ``model``, ``metric`` and ``value``; ``ood``, ``detector``, ``set_kind``, ``strategy`` where known
    baseline : name of a unit
    columns : ``model``, ``strategy`` and ``family`` to the columns that hold them, or None
    unit : what units are kin to, see :func:`outfield.tables.measures.measures`

    Raises
    ------
    UserError
        There are no AUROCs of OOD sets, no ID performance beside them, or fewer than four units that have all.

    Examples
    --------
    >>> rows = [{"model": m, "metric": "accuracy", "value": 0.8} for m in "abcd"]
    >>> rows += [{"model": m, "metric": "auroc", "ood": "svhn", "value": 0.9} for m in "abcd"]
    >>> long(Sheet(pl.DataFrame(rows)), None, {"model": "model"}).ood
    ('mean AUROC', 'svhn')
    """
    frame = _with_ood(table.frame)
    require(frame, [name for name in columns.values() if name])
    good = performance(frame)
    tested, notes = deduplicated(select_rows(_texts(frame)))
    rows, nameless = _named(tested, columns, good)
    rows, summaries = _without_summaries(rows)
    every = _of(rows, "auroc", "ood")
    if every.is_empty():
        has = listed(sorted(map(str, rows["metric"].drop_nulls().unique()))) or "none"
        raise UserError(
            f"Expected AUROC rows of OOD sets (metric auroc, and the set in ood), but there are none: the metrics are "
            f"{has}. Name the columns of a wide table instead. {' '.join(nameless)}"
        )
    sets = tuple(str(each) for each in every["ood"].unique(maintain_order=True))
    if taken := [name for name in sets if name in (*OWN, good.metric, "ece", MEAN)]:
        raise UserError(f"Expected another name than {taken[0]} for an OOD set, for the tables use it. Rename it.")
    base = rows.group_by("unit", maintain_order=True).agg(FAMILY)
    for column in dict.fromkeys((good.metric, "ece")):
        base = base.join(_mean(_of(rows, column, "id"), []).rename({"value": column}), on="unit", how="left")
    aurocs, shared = _of_shared_detectors(every)
    cells = _mean(aurocs, ["ood"]).pivot("ood", index="unit", values="value")
    whole = base.join(cells, on="unit", how="left")
    units, ece, said = _complete(whole, good)
    gaps = [("row", str(unit), "misses a measure") for unit in whole["unit"] if unit not in set(units["unit"])]
    seeds = rows.select("unit", "model").unique().height
    repeated = seeds > rows["unit"].n_unique()
    units, kin = units.with_columns(pl.mean_horizontal(sets).alias(MEAN)), _kin(rows, units["unit"].to_list(), unit)
    return Measures(
        units, good.metric, (MEAN, *sets), "strategy" if repeated else "model", True, ece,
        baseline, rows, _items(every), (good.metric, *sets),
        (*table.notes, *notes, *nameless, *shared, *said, *torn(rows), *_repeated(rows)),
        seeds if repeated else 0, _tuned_on(frame), dict.fromkeys((MEAN, *sets), True), good,
        clusters=kin.clusters, clustering=kin.sentence, kinship=kin.level if kin.clusters else "cluster",
        ignored=ignored_frame((*table.ignored, *summaries, *gaps)),
    )  # fmt: skip


def _kin(rows: pl.DataFrame, names: list[str], unit: str | None) -> Kin:
    """What units are kin to, where it is said: detectors and seeds of one are averaged already."""
    if unit in (None, ROW):
        return Kin((), "")
    first = pl.DataFrame({"unit": names}).join(rows.unique("unit", keep="first"), on="unit", maintain_order="left")
    return clusters(first, names, unit=unit)


def _with_ood(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows whose sets stand in the column ood, whatever it is called."""
    sets = [name for name in SETS if name in frame.columns]
    return frame.rename({sets[0]: "ood"}) if sets and "ood" not in sets else frame


def _without_summaries(rows: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Ignored, ...]]:
    """The rows of models and sets; sets that are a mean over sets by their name, models also by their values."""
    sets = [str(name) for name in rows["ood"].drop_nulls().unique(maintain_order=True) if summary_of(str(name))]
    kept = rows.filter(~pl.col("ood").is_in(sets).fill_null(value=False))
    models = _summaries_of_models(kept)
    ignored = [("row", name, "a summary over sets by its name") for name in sets]
    ignored += [("row", name, why) for name, why in models.items()]
    return kept.filter(~pl.col("model").is_in(list(models))), tuple(ignored)


def _summaries_of_models(rows: pl.DataFrame) -> dict[str, str]:
    """Models whose values are the summary of the others, and of which."""
    if not any(map(summary_of, rows["model"].unique())):
        return {}
    cell = ("metric", "set_kind", "ood", "detector")
    table = rows.pivot(cell, index="model", values="value", aggregate_function="mean", maintain_order=True)
    values = table.drop("model").to_dict(as_series=False)
    found, _ = summary_rows(table["model"].to_list(), {name: np.array(each, float) for name, each in values.items()})
    return {str(table["model"][row]): why for row, why in found.items()}


def _of_shared_detectors(aurocs: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The AUROCs on each set by the detectors that all models there have, and a sentence where these are not all.

    Where no detector is of all models, those models are compared that have the one which most have.
    """
    kept = [_shared(of_set) for of_set in aurocs.partition_by("ood", maintain_order=True)]
    if any(each["model"].n_unique() < LEAST for each in kept) and len(aurocs) > len(pl.concat(kept)):
        return aurocs, (
            "The mean AUROC compares models by different detectors, for no detector is of four models or more.",
        )  # fmt: skip
    whole = pl.concat(kept)
    if len(whole) == len(aurocs):
        return aurocs, ()
    left = aurocs.join(whole, on=["model", "ood", "detector"], how="anti", nulls_equal=True)
    used = [str(each) for each in whole["detector"].unique(maintain_order=True)]
    also = " Models without these are left out." if whole["model"].n_unique() < aurocs["model"].n_unique() else ""
    return whole, (
        f"The mean AUROC is over detectors that all compared models have on a set ({listed(used)}): left out "
        f"{left.height} of {aurocs.height} AUROCs by others, which only some models have.{also}",
    )  # fmt: skip


def _shared(aurocs: pl.DataFrame) -> pl.DataFrame:
    """The rows of the models that have the most common detector, by the detectors that they all have."""
    counts = aurocs.group_by("detector", maintain_order=True).agg(pl.col("model").n_unique().alias("n"))
    common = counts.filter(pl.col("n") == pl.col("n").max())["detector"][0]
    having = aurocs.filter(pl.col("detector").eq_missing(pl.lit(common)))["model"].unique()
    compared = aurocs.filter(pl.col("model").is_in(having.to_list()))
    by_all = pl.col("model").n_unique().over("detector") == len(having)
    return compared.filter(by_all)


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Long rows whose columns of names hold text or null."""
    named = ("role", "part", "set_kind", "metric", "ood", "ood_category", "detector")
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in TEXT if name not in frame.columns)
    made = frame.with_columns([names(frame, name) for name in named if name in frame.columns])
    made = made.filter(pl.col("metric").is_not_null())
    return made.with_columns(pl.col("role").fill_null("test")) if "role" in made.columns else made


def _named(
    frame: pl.DataFrame, columns: Mapping[str, str | None], good: Performance
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Rows with the columns unit (strategy, else model), model, family and set_kind, and a value; what was left out."""
    strategy = columns.get("strategy") or ("strategy" if "strategy" in frame.columns else None)
    family = columns.get("family") or ("family" if "family" in frame.columns else None)
    none = pl.Series([None] * frame.height, dtype=pl.String)
    named = frame.with_columns(
        model=names(frame, str(columns["model"])),
        strategy=names(frame, strategy) if strategy else none,
        family=names(frame, family).fill_null(NO_FAMILY) if family else pl.lit(""),
    )
    named, notes = without_name(named, ["model"])
    if named["strategy"].null_count() < named.height:
        whole = pl.coalesce("strategy", pl.col("strategy").drop_nulls().first().over("model"))
        named, said = without_name(named.with_columns(strategy=whole), ["strategy"])
        notes += said
    kind = pl.col("set_kind") if "set_kind" in frame.columns else pl.lit(None, pl.String)
    named = named.with_columns(unit=pl.coalesce("strategy", "model"), set_kind=kind.fill_null(_kind(named, good)))
    valued, said = _valued(named)
    return valued, (*notes, *said)


def _kind(rows: pl.DataFrame, good: Performance) -> pl.Expr:
    """Whether a row is of ID data: a performance or a calibration error, that names no set where others do not."""
    of_id = pl.col("metric").is_in([good.metric, "ece"])
    if rows.filter(of_id & pl.col("ood").is_null()).is_empty():
        return pl.when(of_id).then(pl.lit("id")).otherwise(pl.lit("ood"))
    shifted = pl.when(of_id).then(pl.lit("shift")).otherwise(pl.lit("ood"))
    return pl.when(of_id & pl.col("ood").is_null()).then(pl.lit("id")).otherwise(shifted)


def _valued(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Rows with a finite value, shares where the metric is one; and what was left out or guessed."""
    read = numbers(frame, "value")
    frame = frame.with_columns(read.values / 100 if read.percent else read.values)
    gaps = frame.filter(pl.col("value").is_null())
    kept, notes = frame.filter(pl.col("value").is_not_null()), list(read.notes)
    if gaps.height:
        lost = ", ".join(gaps["model"].unique(maintain_order=True).head(5))
        notes.append(f"Left out {gaps.height} of {frame.height} rows whose value is empty or infinite: {lost}.")
    for metric in SHARES:
        of = pl.col("metric") == metric
        known = kept.filter(of)["value"].to_numpy()
        said = as_share(known, metric)[1] if known.size else ()
        if said and metric != "ece":
            _one_scale(known, metric)
        if said:
            kept = kept.with_columns(pl.when(of).then(pl.col("value") / 100).otherwise("value").alias("value"))
        notes += said
    return kept, tuple(notes)


def _one_scale(values: Array, metric: str) -> None:
    """``UserError`` where values that would be read as percent are shares for the greater part, or AUROCs of both."""
    small = int(np.sum((values > 0) & (values <= 1)))
    if 2 * small > len(values) or (small and metric == "auroc"):
        raise UserError(
            f"Expected the values of {metric} on one scale, but {small} of {len(values)} lie between 0 and 1, and the "
            f"largest is {values.max():g}. Write all as shares, or all in percent."
        )


def _repeated(rows: pl.DataFrame) -> tuple[str, ...]:
    """A sentence on cells that have several values."""
    cell = [name for name in ("model", "metric", "set_kind", "ood", "detector") if name in rows.columns]
    measured = rows.filter(pl.col("metric").is_in(SHARES), pl.col("set_kind") != "shift")
    several = measured.group_by(cell, maintain_order=True).len().filter(pl.col("len") > 1)
    if several.is_empty():
        return ()
    row = several.row(0, named=True)
    first = ", ".join(str(row[name]) for name in cell if row[name] is not None and name != "set_kind")
    return (
        f"Averaged the values of {several.height} cells that have duplicate rows of other values (first: {first}).",
    )


def _of(rows: pl.DataFrame, metric: str, kind: str) -> pl.DataFrame:
    return rows.filter(pl.col("metric") == metric, pl.col("set_kind") == kind)


def _mean(rows: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Mean over detectors, then over the models of a unit."""
    each = rows.group_by("unit", "model", *by, maintain_order=True).agg(pl.col("value").mean())
    return each.group_by("unit", *by, maintain_order=True).agg(pl.col("value").mean())


def _complete(base: pl.DataFrame, good: Performance) -> tuple[pl.DataFrame, str | None, tuple[str, ...]]:
    if base[good.metric].null_count() == base.height:
        raise UserError(
            f"Expected the {good.word} of ID data beside the AUROCs, but there is none. Add rows of {good.metric}."
        )
    ece = "ece" if base["ece"].null_count() == 0 and good.metric != "ece" else None
    kept = base.drop([] if ece or good.metric == "ece" else ["ece"]).drop_nulls()
    lost = base.filter(~pl.col("unit").is_in(kept["unit"].to_list()))["unit"].to_list()
    notes = [f"Left out {len(lost)} of {base.height} units that miss a cell: {listed(lost)}."] if lost else []
    if kept.height < 4:
        raise UserError(
            f"Expected at least four units with {good.word} and every OOD set, but got {kept.height}. Add models."
        )
    return kept, ece, tuple(notes)


def _tuned_on(frame: pl.DataFrame) -> tuple[str, ...]:
    """OOD sets of the curves that tuning drew."""
    if not {"role", "ood"} <= set(frame.columns):
        return ()
    return tuple(map(str, frame.filter(pl.col("role") == "curve")["ood"].drop_nulls().unique(maintain_order=True)))


def _items(aurocs: pl.DataFrame) -> dict[str, int]:
    if "n_ood" not in aurocs.columns:
        return {}
    known = aurocs.drop_nulls("n_ood").group_by("ood").agg(pl.col("n_ood").min())
    return {str(ood): int(n) for ood, n in known.iter_rows()}
