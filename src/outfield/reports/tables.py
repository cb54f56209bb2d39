"""Anyone's table of results as measures of models: wide (a column a measure) or long (outfield's rows)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from outfield.errors import UserError, plural
from outfield.places import is_remote, place
from outfield.stats.base import Array
from outfield.stats.frames import as_frame, require, select_rows
from outfield.stats.relate import as_share
from outfield.store import peers, query
from outfield.store.settings import told_apart

MEAN = "mean AUROC"


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of independent units.

    Parameters
    ----------
    units : frame
        A row a unit (model, or strategy averaged over seeds): ``unit``, ``family``, and a column a measure, as shares.
    id : str
        The ID measure's column.
    ood : tuple of str
        The OOD measures' columns.
    level : ``model`` or ``strategy``
    detection : bool
        Whether the OOD measures are AUROCs (else accuracies).
    ece : str or None
        The calibration error's column.
    baseline : str or None
        The unit that is the baseline.
    rows : frame or None
        The long rows, where the table was one.
    items : mapping
        Items of each test set, where known.
    tuned_on : tuple of str
        OOD sets on which detectors were tuned.
    duplicates : tuple of str
        Columns on which near-duplicates are looked for.
    notes : tuple of str
        What was dropped, averaged or guessed on the way.
    """

    units: pl.DataFrame
    id: str
    ood: tuple[str, ...]
    level: str = "model"
    detection: bool = False
    ece: str | None = None
    baseline: str | None = None
    rows: pl.DataFrame | None = None
    items: Mapping[str, int] = field(default_factory=dict)
    duplicates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    repeated: int = 0
    tuned_on: tuple[str, ...] = ()

    def column(self, name: str) -> Array:
        return self.units[name].to_numpy().astype(float)

    @property
    def names(self) -> list[str]:
        return [str(each) for each in self.units["unit"]]

    @property
    def families(self) -> list[str]:
        return [str(each) for each in self.units["family"]]

    @property
    def has_families(self) -> bool:
        return self.units["family"].n_unique() > 1


def measures(
    data: Any, *, model: str = "model", family: str | None = None, id: str | None = None, ood: Sequence[str] = (),
    ece: str | None = None, baseline: str | None = None, strategy: str | None = None, study: str | None = None,
    items: Mapping[str, int] | None = None, duplicates: Sequence[str] = (), kind: str | None = None,
) -> Measures:  # fmt: skip
    """Measures of a table: outfield's (or a peer's) long rows, or a wide table whose columns are named.

    Parameters
    ----------
    data : path or frame
    model, family, strategy : columns of names; seeds of one strategy are averaged
    id, ood, ece : columns of measures of a wide table, shares or percent (guessed for the table as a whole, and noted)
    baseline : name of the baseline model
    study : value of the column ``study`` to keep
    kind : ``accuracy`` or ``auroc``: what the OOD columns hold; guessed from their names

    Raises
    ------
    UserError
        Columns are missing, values are no shares, or fewer than four units are left.

    Examples
    --------
    >>> table = pl.DataFrame({"net": list("abcd"), "top1": [70.0, 71, 72, 73], "sketch": [20.0, 22, 21, 25]})
    >>> found = measures(table, model="net", id="top1", ood=["sketch"])
    >>> found.level, found.column("top1").round(3).tolist()
    ('model', [0.7, 0.71, 0.72, 0.73])
    """
    frame = _frame(data)
    if study is not None:
        require(frame, ["study"])
        frame = frame.filter(pl.col("study") == study)
    if study is None and id is None and "study" in frame.columns and frame["study"].n_unique() > 1:
        known = ", ".join(map(str, frame["study"].unique(maintain_order=True)))
        raise UserError(f"Expected the rows of one study, but the table has {known}. Choose one with --study.")
    if id is None and {"metric", "value"} <= set(frame.columns):
        return _long(frame, baseline, model)
    if id is None or not ood:
        raise UserError("Expected the ID and OOD columns of a wide table. Name them: --id COLUMN --ood COLUMN COLUMN.")
    names = {"model": model, "family": family, "strategy": strategy, "ece": ece}
    require(frame, [name for name in (*names.values(), id, *ood) if name])
    frame, notes = _deduplicated(frame)
    frame, said = _shares(frame, [id, *ood], [ece] if ece else [])
    units, level, averaged = _units(frame, names, [id, *ood, *([ece] if ece else []), *duplicates])
    detection = kind == "auroc" if kind else any("auroc" in name.lower() for name in ood)
    return Measures(
        units, id, tuple(ood), level, detection, ece, baseline, None, dict(items or {}), tuple(duplicates),
        (*notes, *said, *averaged), frame.height if level == "strategy" else 0,
    )  # fmt: skip


def _frame(data: Any) -> pl.DataFrame:
    if not isinstance(data, str | Path):
        return as_frame(data)
    if is_remote(place(data)) or Path(data).is_dir():
        return told_apart(query.rows(data))
    found = peers.read(data)
    return as_frame(data) if found is None else found


def _deduplicated(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    kept = frame.unique(maintain_order=True)
    lost = frame.height - kept.height
    return kept, (f"Dropped {lost} duplicate rows.",) if lost else ()


def _shares(frame: pl.DataFrame, columns: Sequence[str], alone: Sequence[str]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Measures as shares; the scale is guessed for all accuracies together, so that a low one is not misread."""
    notes: list[str] = []
    for group in (columns, alone):
        if not group:
            continue
        table = frame.select(pl.col(group).cast(pl.Float64))
        known = table.to_numpy()[np.isfinite(table.to_numpy())]
        _, said = as_share(known, "the measures" if len(group) > 1 else group[0])
        if said:
            small = [name for name in group if float(table[name].drop_nulls().max() or 0) <= 1]  # type: ignore[arg-type]  # a column of numbers
            notes += [*said, *(f"{name} is at most 1 among percentages: read as percent too." for name in small)]
            frame = frame.with_columns(pl.col(group).cast(pl.Float64) / 100)
    return frame, tuple(notes)


def _units(
    frame: pl.DataFrame, names: Mapping[str, str | None], columns: Sequence[str]
) -> tuple[pl.DataFrame, str, tuple[str, ...]]:
    unit = names["strategy"] or names["model"] or "model"
    family = pl.col(names["family"]).cast(pl.String) if names["family"] else pl.lit("")
    columns = list(dict.fromkeys(columns))
    tidy = frame.select(pl.col(unit).cast(pl.String).alias("unit"), family.fill_null("none").alias("family"), *columns)
    gaps = tidy.filter(pl.any_horizontal(pl.col(columns).is_null() | pl.col(columns).cast(pl.Float64).is_nan()))
    tidy = tidy.join(gaps.select("unit").unique(), on="unit", how="anti") if gaps.height else tidy
    which = ", ".join(gaps["unit"].head(5))
    notes: tuple[str, ...] = (f"Left out {gaps.height} rows that miss a measure: {which}.",) if gaps.height else ()
    repeated = tidy["unit"].n_unique() < tidy.height
    if repeated:
        notes += (
            f"Averaged {tidy.height} rows over {tidy['unit'].n_unique()} {plural(unit)}: "
            "rows of one are not independent.",
        )
        tidy = tidy.group_by("unit", maintain_order=True).agg(pl.col("family").first(), pl.col(columns).mean())
    if tidy.height < 4:
        raise UserError(f"Expected at least four {plural(unit)} with all measures, but got {tidy.height}. Add rows.")
    return tidy, "strategy" if repeated else "model", notes


def _long(frame: pl.DataFrame, baseline: str | None, model: str) -> Measures:
    """Measures of outfield's rows: ID accuracy, ECE, mean AUROC (over detectors) of every OOD set."""
    tested, notes = _deduplicated(select_rows(frame))
    rows = _named(tested, model)
    aurocs = _of(rows, "auroc", "ood")
    if aurocs.is_empty():
        raise UserError(
            "Expected AUROC rows of OOD sets, but there are none. Name the columns of a wide table instead."
        )
    sets = tuple(str(each) for each in aurocs["ood"].unique(maintain_order=True))
    base = rows.group_by("unit", maintain_order=True).agg(pl.col("family").first())
    for column in ("accuracy", "ece"):
        base = base.join(_mean(_of(rows, column, "id"), []).rename({"value": column}), on="unit", how="left")
    cells = _mean(aurocs, ["ood"]).pivot("ood", index="unit", values="value")
    units, ece, said = _complete(base.join(cells, on="unit", how="left"))
    seeds = rows.select("unit", "model").unique().height
    repeated = seeds > rows["unit"].n_unique()
    units = units.with_columns(pl.mean_horizontal(sets).alias(MEAN))
    return Measures(
        units, "accuracy", (MEAN, *sets), "strategy" if repeated else "model", True, ece, baseline, rows,
        _items(aurocs), ("accuracy", *sets), (*notes, *said), seeds if repeated else 0, _tuned_on(frame),
    )  # fmt: skip


def _named(frame: pl.DataFrame, model: str) -> pl.DataFrame:
    """Rows with the columns unit (strategy, else model), model, family and set_kind, and a finite value."""
    require(frame, [model])
    unit = pl.coalesce([name for name in ("strategy", model) if name in frame.columns]).cast(pl.String)
    family = pl.col("family").fill_null("none") if "family" in frame.columns else pl.lit("")
    kind = pl.col("set_kind") if "set_kind" in frame.columns else pl.lit(None, pl.String)
    guess = pl.when(pl.col("metric").is_in(["accuracy", "ece"])).then(pl.lit("id")).otherwise(pl.lit("ood"))
    named = frame.with_columns(
        unit=unit, model=pl.col(model).cast(pl.String), family=family, set_kind=kind.fill_null(guess)
    )
    return named.with_columns(pl.col("value").cast(pl.Float64)).filter(pl.col("value").is_finite())


def _of(rows: pl.DataFrame, metric: str, kind: str) -> pl.DataFrame:
    return rows.filter(pl.col("metric") == metric, pl.col("set_kind") == kind)


def _mean(rows: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Mean over detectors, then over the models of a unit."""
    each = rows.group_by("unit", "model", *by, maintain_order=True).agg(pl.col("value").mean())
    return each.group_by("unit", *by, maintain_order=True).agg(pl.col("value").mean())


def _complete(base: pl.DataFrame) -> tuple[pl.DataFrame, str | None, tuple[str, ...]]:
    if base["accuracy"].null_count() == base.height:
        raise UserError(
            "Expected ID accuracies beside the AUROCs, but there are none. Add rows of the metric accuracy."
        )
    ece = "ece" if base["ece"].null_count() == 0 else None
    kept = base.drop([] if ece else ["ece"]).drop_nulls()
    lost = base.filter(~pl.col("unit").is_in(kept["unit"].to_list()))["unit"].to_list()
    notes = [f"Left out {len(lost)} of {base.height} units that miss a cell: {', '.join(lost[:5])}."] if lost else []
    if kept.height < 4:
        raise UserError(
            f"Expected at least four units with accuracy and every OOD set, but got {kept.height}. Add models."
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
