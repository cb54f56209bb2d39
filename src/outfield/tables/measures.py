"""Anyone's table of results as measures of models: wide (a column a measure) or long (outfield's rows)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from outfield.errors import UserError, listed, near, plural, reading, with_and
from outfield.places import is_remote, place
from outfield.stats.frames import as_frame, require, select_rows
from outfield.stats.relate import as_share
from outfield.store import foreign_results, query
from outfield.store.performance import Performance, performance
from outfield.store.settings import told_apart
from outfield.tables.cells import names, numbers, without_name
from outfield.tables.directions import directions, higher_is_better, unknown
from outfield.types import Array

MEAN = "mean AUROC"
SHARES = ("accuracy", "auroc", "ece")
"""Metrics of long rows that are shares, each on a scale of its own."""
OWN = ("unit", "family")
"""Columns of ``Measures.units`` beside the measures."""
NO_FAMILY = "none"
FAMILY = pl.col("family").filter(pl.col("family") != NO_FAMILY).first().fill_null(NO_FAMILY)
"""The family of a unit: the first that its rows name."""


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
    directions : mapping
        OOD measures to whether higher values are better, those of which it is known.
    performance : Performance or None
        What the ID measure is, where the table holds the rows of a study.
    errors : frame or None
        Standard errors of the cells, as shares: the rows of ``units``, a column a measure whose errors are known.
    clusters : tuple of str
        What each unit is kin to: rows of one family or architecture are not independent. Empty where each stands alone.
    clustering : str
        How the clusters were found, in one sentence.
    ignored : frame or None
        What the reading left out: columns ``what`` (row, column), ``name``, ``why``.
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
    directions: Mapping[str, bool] = field(default_factory=dict)
    performance: Performance | None = None
    errors: pl.DataFrame | None = None
    clusters: tuple[str, ...] = ()
    clustering: str = ""
    ignored: pl.DataFrame | None = None

    @property
    def id_word(self) -> str:
        """What the ID measure is called within a sentence."""
        return self.id if self.performance is None else self.performance.word

    def oriented(self, values: Array) -> Array:
        """Values of the ID measure, turned where lower ones are better."""
        return -values if higher_is_better(self.id) is False else values

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
    higher: Sequence[str] = (), lower: Sequence[str] = (),
) -> Measures:  # fmt: skip
    """Measures of a table: outfield's (or a peer's) long rows, or a wide table whose columns are named.

    A row without a name or a measure (an empty cell, NA, NaN, infinite) is left out, and the notes count and name it.

    Parameters
    ----------
    data : path or frame
    model, family, strategy : columns of names; seeds of one strategy are averaged
    id, ood, ece : columns of measures of a wide table, shares or percent (by the sign %, else guessed for the table as
        a whole, and noted)
    baseline : name of the baseline model
    study : value of the column ``study`` to keep
    kind : ``accuracy`` or ``auroc``: what the OOD columns hold; guessed from their names
    higher, lower : OOD columns of which higher, or lower, values are better, where ``kind`` or the name does not tell

    Raises
    ------
    UserError
        Columns are missing, named twice or hold no numbers, values are no shares, or fewer than four units are left.

    Examples
    --------
    >>> table = pl.DataFrame({"net": list("abcd"), "top1": [70.0, 71, 72, 73], "sketch": [20.0, 22, 21, 25]})
    >>> found = measures(table, model="net", id="top1", ood=["sketch"])
    >>> found.level, found.column("top1").round(3).tolist()
    ('model', [0.7, 0.71, 0.72, 0.73])
    """
    if kind not in (None, "accuracy", "auroc"):
        raise UserError(f"Expected the kind accuracy or auroc, but got {kind!r}. Leave it out to have it guessed.")
    with reading(_called(data), "a table of results", "Check its columns, or write it as a plain CSV."):
        frame = _of_study(table(data), study, id)
        if id is None and {"metric", "value"} <= set(frame.columns):
            _unused({"--ood": ood, "--ece": ece, "--higher": higher, "--lower": lower})
            found = _long(frame, baseline, {"model": model, "family": family, "strategy": strategy})
        elif id is None or not ood:
            raise UserError(
                "Expected the ID and OOD columns of a wide table. Name them: --id COLUMN --ood COLUMN COLUMN."
            )
        else:
            columns = {"model": model, "family": family, "strategy": strategy, "ece": ece}
            found = _wide(frame, columns, id, ood, duplicates=duplicates, kind=kind, stated=(higher, lower))
    if baseline is not None and baseline not in found.names:
        raise UserError(
            f"Expected the name of a {found.level} with all measures as the baseline, but got {baseline!r}."
            f"{near(baseline, found.names)} It is one of {found.units.height} in the table."
        )
    return replace(found, baseline=baseline, items=found.items or dict(items or {}))


def _called(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else f"the {type(data).__name__}"


def _unused(given: Mapping[str, Any]) -> None:
    if named := [option for option, value in given.items() if value]:
        raise UserError(
            f"Expected {' and '.join(named)} with --id, for they name columns of a wide table, but this one has a row "
            "a measure (columns metric and value). Leave them out, or name the ID measure's column."
        )


def _of_study(frame: pl.DataFrame, study: str | None, id: str | None) -> pl.DataFrame:
    """The rows of the study that is asked for; several of them are an error where none is."""
    if study is None and (id is not None or "study" not in frame.columns):
        return frame
    require(frame, ["study"])
    values = names(frame, "study")
    known = values.unique(maintain_order=True).drop_nulls().to_list()
    if study is None and len(known) > 1:
        raise UserError(
            f"Expected the rows of one study, but the table has {', '.join(known)}. Choose one with --study."
        )
    if study is not None and study not in known:
        raise UserError(f"Expected rows of the study {study!r}, but the table has {', '.join(known)}. Choose one.")
    return frame if study is None else frame.filter(values == study)


def _wide(
    frame: pl.DataFrame, columns: Mapping[str, str | None], id: str, ood: Sequence[str], *,
    duplicates: Sequence[str], kind: str | None, stated: tuple[Sequence[str], Sequence[str]],
) -> Measures:  # fmt: skip
    ece = columns["ece"]
    asked = [id, *ood, *([ece] if ece else [])]
    labels = [name for name in (columns["model"], columns["strategy"], columns["family"]) if name]
    _distinct(frame, asked, labels)
    require(frame, [*labels, *asked, *duplicates])
    frame, notes = _deduplicated(frame)
    frame = frame.with_columns([names(frame, name) for name in dict.fromkeys(labels)])
    frame, nameless = without_name(frame, [name for name in (columns["strategy"], columns["model"]) if name])
    frame, said = _shares(frame, [id, *ood], [ece] if ece else [])
    others = [name for name in duplicates if name not in asked]
    frame = frame.with_columns([numbers(frame, name)[0] for name in others])
    units, level, averaged = _units(frame, columns, [*asked, *others])
    detection = kind == "auroc" if kind else any("auroc" in name.lower() for name in ood)
    found = directions(ood, *stated, True if kind else None)
    return Measures(
        units, id, tuple(ood), level, detection, ece, duplicates=tuple(duplicates),
        notes=(*notes, *nameless, *said, *averaged, *unknown(ood, found)),
        repeated=frame.height if level == "strategy" else 0, directions=found,
    )  # fmt: skip


def _distinct(frame: pl.DataFrame, asked: Sequence[str], labels: Sequence[str]) -> None:
    """``UserError`` for a column that is named in two places, stands twice, or has a name that we use ourselves."""
    for name in asked:
        if asked.count(name) > 1:
            raise UserError(f"Expected each measure once, but {name} is named {asked.count(name)} times. Name it once.")
        if name in labels:
            raise UserError(f"Expected measures and names in columns of their own, but {name} is named as both.")
        if name in OWN:
            raise UserError(f"Expected another name than {name} for a measure, for the tables use it. Rename it.")
    if twice := [name for name in (*asked, *labels) if f"{name}_duplicated_0" in frame.columns]:
        raise UserError(f"Expected one column of a name, but the table has several {twice[0]}. Rename them.")


def table(data: Any) -> pl.DataFrame:
    """The rows of a table: a path, or a frame.

    Raises
    ------
    UserError
        It cannot be read, or has no rows.

    Examples
    --------
    >>> table(pl.DataFrame({"net": ["a"]})).height
    1
    """
    frame = _loaded(data)
    if frame.is_empty():
        raise UserError(f"Expected a table with rows, but {_called(data)} has none. Add a row a model.")
    return frame


def _loaded(data: Any) -> pl.DataFrame:
    if not isinstance(data, str | Path):
        return as_frame(data)
    if is_remote(place(data)) or Path(data).is_dir():
        return told_apart(query.rows(data))
    found = foreign_results.read(data)
    return as_frame(data) if found is None else found


def _deduplicated(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    kept = frame.unique(maintain_order=True)
    lost = frame.height - kept.height
    return kept, (f"Dropped {lost} duplicate rows.",) if lost else ()


def _shares(frame: pl.DataFrame, columns: Sequence[str], alone: Sequence[str]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Measures as shares; the scale is guessed for all accuracies together, so that a low one is not misread.

    An ID measure (the first) that is at most 1 throughout is a share, whatever the others are.
    """
    notes: list[str] = []
    known = numbers(frame, columns[0])[0]
    together = (columns,) if float(known.max() or 0) > 1 else (columns[:1], columns[1:])  # type: ignore[arg-type]
    for group in filter(None, (*together, alone)):
        read = {name: numbers(frame, name) for name in group}
        empty = [name for name, (values, _) in read.items() if values.null_count() == len(values)]
        if empty and frame.height:
            raise UserError(f"Expected numbers in the column {empty[0]}, but all {frame.height} cells are empty.")
        signed = [values / 100 for values, percent in read.values() if percent]
        plain, said = _scaled([values for values, percent in read.values() if not percent])
        notes += said
        frame = frame.with_columns([*signed, *plain])
        for values in signed:
            as_share(values.drop_nulls().to_numpy(), values.name)
    return frame, tuple(notes)


def _scaled(columns: Sequence[pl.Series]) -> tuple[list[pl.Series], tuple[str, ...]]:
    """Columns of one scale as shares, and what was guessed of them."""
    known = np.concatenate([np.empty(0), *(values.drop_nulls().to_numpy() for values in columns)])
    if not known.size:
        return list(columns), ()
    _, said = as_share(known, "the measures" if len(columns) > 1 else columns[0].name)
    if not said:
        return list(columns), ()
    small = [values.name for values in columns if float(values.max() or 0) <= 1]  # type: ignore[arg-type]  # a column of numbers
    told = [f"{name} is at most 1 among percentages: read as percent too." for name in small]
    return [values / 100 for values in columns], (*said, *told, *_mixed(columns))


def _mixed(columns: Sequence[pl.Series]) -> Iterator[str]:
    """Sentences on columns of percentages some values of which look like shares: far below all the others."""
    for values in columns:
        known = values.drop_nulls()
        small, large = (known.filter(part).to_numpy() for part in ((known > 0) & (known <= 1), known > 1))
        if len(small) and len(large) and 10 * small.max() < large.min():
            yield (
                f"{len(small)} of {len(known)} values of {values.name} are at most {small.max():g} and all others at "
                f"least {large.min():g}: read as percent too. Write them in percent if they are shares."
            )


def _units(
    frame: pl.DataFrame, columns: Mapping[str, str | None], asked: Sequence[str]
) -> tuple[pl.DataFrame, str, tuple[str, ...]]:
    unit = columns["strategy"] or columns["model"] or "model"
    word = "strategy" if columns["strategy"] else "model"
    family = pl.col(columns["family"]).fill_null(NO_FAMILY) if columns["family"] else pl.lit("")
    asked = list(dict.fromkeys(asked))
    tidy = frame.select(pl.col(unit).alias("unit"), family.alias("family"), *asked)
    tidy, notes = _without_gaps(tidy, asked, word)
    repeated = tidy["unit"].n_unique() < tidy.height
    if repeated:
        notes += (
            f"Averaged {tidy.height} rows over {tidy['unit'].n_unique()} {plural(word)}: "
            "rows of one are not independent.",
        )
        notes += _torn(tidy)
        tidy = tidy.group_by("unit", maintain_order=True).agg(FAMILY, pl.col(asked).mean())
    if tidy.height < 4:
        raise UserError(
            f"Expected at least four {plural(word)} with all measures, but got {tidy.height}. Add rows. "
            f"{' '.join(notes)}"
        )
    return tidy, "strategy" if repeated else "model", notes


def _torn(rows: pl.DataFrame) -> tuple[str, ...]:
    """A sentence on the units whose rows name more than one family."""
    named = rows.filter(pl.col("family") != NO_FAMILY).select("unit", "family").unique(maintain_order=True)
    by_unit = named.group_by("unit", maintain_order=True).agg("family").filter(pl.col("family").list.len() > 1)
    if by_unit.is_empty():
        return ()
    each = [f"{unit} ({', '.join(families)})" for unit, families in by_unit.iter_rows()]
    return (f"Several families are named for {with_and(each)}: the first of each is kept.",)


def _without_gaps(tidy: pl.DataFrame, columns: Sequence[str], unit: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The units that have every measure in every row, and a sentence on the others."""
    gaps = tidy.filter(pl.any_horizontal(pl.col(columns).is_null()))
    if gaps.is_empty():
        return tidy, ()
    lost = gaps["unit"].unique(maintain_order=True)
    kept = tidy.filter(~pl.col("unit").is_in(lost.to_list()))
    named = f"{', '.join(lost.head(5))}{', ...' if len(lost) > 5 else ''}"
    also = (
        f"; with all rows of these {plural(unit)}, {tidy.height - kept.height} rows"
        if lost.len() != gaps.height or (tidy.height - kept.height > gaps.height)
        else ""
    )
    return kept, (f"Left out {gaps.height} rows that miss a measure (empty or infinite): {named}{also}.",)


def _long(frame: pl.DataFrame, baseline: str | None, columns: Mapping[str, str | None]) -> Measures:
    """Measures of outfield's rows: ID performance, ECE, mean AUROC (over detectors) of every OOD set."""
    good = performance(frame)
    require(frame, [name for name in columns.values() if name])
    tested, notes = _deduplicated(select_rows(_texts(frame)))
    rows, nameless = _named(tested, columns, good)
    aurocs = _of(rows, "auroc", "ood")
    if aurocs.is_empty():
        raise UserError(
            "Expected AUROC rows of OOD sets, but there are none. Name the columns of a wide table instead. "
            + " ".join(nameless)
        )
    sets = tuple(str(each) for each in aurocs["ood"].unique(maintain_order=True))
    if taken := [name for name in sets if name in (*OWN, good.metric, "ece", MEAN)]:
        raise UserError(f"Expected another name than {taken[0]} for an OOD set, for the tables use it. Rename it.")
    base = rows.group_by("unit", maintain_order=True).agg(FAMILY)
    for column in dict.fromkeys((good.metric, "ece")):
        base = base.join(_mean(_of(rows, column, "id"), []).rename({"value": column}), on="unit", how="left")
    cells = _mean(aurocs, ["ood"]).pivot("ood", index="unit", values="value")
    units, ece, said = _complete(base.join(cells, on="unit", how="left"), good)
    seeds = rows.select("unit", "model").unique().height
    repeated = seeds > rows["unit"].n_unique()
    units = units.with_columns(pl.mean_horizontal(sets).alias(MEAN))
    return Measures(
        units, good.metric, (MEAN, *sets), "strategy" if repeated else "model", True, ece, baseline, rows,
        _items(aurocs), (good.metric, *sets), (*notes, *nameless, *said, *_torn(rows), *_repeated(rows)),
        seeds if repeated else 0, _tuned_on(frame),
        dict.fromkeys((MEAN, *sets), True), good,
    )  # fmt: skip


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Long rows whose columns of names hold text or null."""
    named = ("role", "part", "set_kind", "metric", "ood", "ood_category", "detector")
    made = frame.with_columns([names(frame, name) for name in named if name in frame.columns])
    return made.with_columns(pl.col("role").fill_null("test")) if "role" in made.columns else made


def _named(
    frame: pl.DataFrame, columns: Mapping[str, str | None], good: Performance
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Rows with the columns unit (strategy, else model), model, family and set_kind, and a value; what was left out."""
    strategy = columns["strategy"] or ("strategy" if "strategy" in frame.columns else None)
    family = columns["family"] or ("family" if "family" in frame.columns else None)
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
    guess = pl.when(pl.col("metric").is_in([good.metric, "ece"])).then(pl.lit("id")).otherwise(pl.lit("ood"))
    named = named.with_columns(unit=pl.coalesce("strategy", "model"), set_kind=kind.fill_null(guess))
    valued, said = _valued(named)
    return valued, (*notes, *said)


def _valued(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Rows with a finite value, shares where the metric is one; and what was left out or guessed."""
    values, percent = numbers(frame, "value")
    frame = frame.with_columns(values / 100 if percent else values)
    gaps = frame.filter(pl.col("value").is_null())
    kept, notes = frame.filter(pl.col("value").is_not_null()), []
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
