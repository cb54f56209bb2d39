"""The files of a published table, read as its profile says: joined, filtered, named; cells stay as written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from outfield.errors import UnknownName, UserError, listed, plural, reading
from outfield.stats.frames import require
from outfield.tables.base import Measures
from outfield.tables.kin import ROW
from outfield.tables.profile import Errors, Part, Profile, Reading, Where, examples, load, names
from outfield.tables.text import sheet

ENDS = (".csv", ".csv.gz")
ERROR = "standard error"
"""What stands after a measure's name in the name of the column of its errors."""
AS_PERCENT = re.compile(r"Read .+ as percent \(largest")
"""What is said of a guessed scale: a profile that states it needs no guess."""
IGNORED = {"what": pl.String, "name": pl.String, "why": pl.String}


@dataclass(frozen=True, eq=False)
class Published:
    """A published table, read.

    Parameters
    ----------
    frame : frame
        A row a model (or checkpoint): the file's columns as text, names (``model``, ``family``, ``kin``, ``run``,
        ``step``, those that the profile has) and measures under the profile's names.
    reading : Reading
        How it was read.
    ood : tuple of str
        The OOD measures.
    errors : mapping
        Measures to the columns of their standard errors.
    notes : tuple of str
        Where the table is from, its licence, and what was left out.
    ignored : frame
        What was left out: ``what``, ``name``, ``why``.
    """

    frame: pl.DataFrame
    profile: Profile
    reading: Reading
    study: str
    ood: tuple[str, ...]
    errors: Mapping[str, str]
    notes: tuple[str, ...]
    ignored: pl.DataFrame

    @property
    def id(self) -> str:
        """The ID measure."""
        return next(iter(self.reading.id))

    @property
    def options(self) -> dict[str, Any]:
        """What :func:`outfield.tables.measures.measures` is told of the frame."""
        how = self.reading
        return {
            "model": "run" if how.run and how.step else "model", "family": "family" if how.family else None,
            "unit": ROW if how.independent else "kin" if how.kin else None, "step": how.step and "step",
            "id": self.id, "ood": list(self.ood), "error": f"{{}} {ERROR}" if self.errors else None,
            "runs": how.runs, "ece": how.ece, "baseline": how.baseline, "items": how.items,
            "duplicates": how.duplicates, "kind": how.kind, "higher": how.higher, "lower": how.lower,
        }  # fmt: skip

    def told(self, read: Measures) -> Measures:
        """Measures of the frame with what is known of the table: whose it is, what was left out, who is kin."""
        ignored = [each for each in (self.ignored, read.ignored) if each is not None and each.height]
        says = f"the profile {self.profile.name}"
        by_profile = "the column kin" in read.clustering
        kin = read.clustering.replace("the column kin, as asked", says).replace("the column kin", says)
        word = self.reading.kinship if by_profile else read.kinship
        kin = kin.replace(" units", f" {plural(word)}") if by_profile and word != "cluster" else kin
        if self.reading.independent and not read.clusters:
            kin = kin.replace("as asked", f"as {says} says")
        whole = pl.concat(ignored, how="diagonal_relaxed") if ignored else None
        items = read.items or self.reading.items
        known = [note for note in read.notes if not (self.reading.scale and AS_PERCENT.match(note))]
        return replace(read, notes=(*self.notes, *known), ignored=whole, clustering=kin, items=items, kinship=word)


def known(
    data: Any, example: str | None, profile: str | Path | None, study: str | None, *, chosen: bool
) -> Published | None:
    """The published table that is meant; None of a table that no profile knows, or whose columns the user chose.

    Raises
    ------
    UserError
        There is no such example or profile, or it does not fit the table.
    """
    if example is not None:
        if profile is not None:
            raise UserError("Expected an example or a profile, but got both. An example is read by its own profile.")
        return read(_example(example), study=study or "")
    if profile is not None:
        if not isinstance(data, str | Path):
            raise UserError("Expected the path of a table beside a profile, but got a table in memory. Write it first.")
        return read(load(profile), data, study or "")
    found = None if chosen or not isinstance(data, str | Path) else recognised(data)
    if found is None:
        return None
    read_so = read(found, data, study or "")
    said = f"Known as {found.name}: read by its profile. Name columns after --id and --ood to read it otherwise."
    return replace(read_so, notes=(said, *read_so.notes))


def read(profile: Profile, path: Path | str | None = None, study: str = "") -> Published:
    """A published table of a folder or file, or the extract that ships.

    Raises
    ------
    UserError
        Nothing ships and no path is given; a file, column or study is not there; rows of one key repeat.

    Examples
    --------
    >>> found = read(load("boards"), study="cifar10")
    >>> found.frame.height, found.ood, found.frame["model"][0]
    (61, ('near', 'far'), 'CrossEntropy + OpenMax (ResNet18)')
    """
    place = _shipped(profile) if path is None else Path(path)
    study, said = _study(profile, place, study)
    how = profile.reading(study)
    tables = [(part, _table(place, part)) for part in how.files or (Part(file=place.name),)]
    whole, lost, torn = _joined(tables, how)
    read = whole.height
    whole, left = _kept(whole, how)
    measured = measured_columns(whole, how)
    whole, errors, silent = _with_errors(whole, place, how, measured)
    frame, ood = _measures(whole, measured), tuple(name for name in measured if name not in (*how.id, how.ece))
    frame = _names(whole, how, frame)
    if frame.is_empty():
        why = " ".join(torn) or f"The profile's keep and leave_out take all of its {read} rows: mend them."
        raise UserError(f"Expected rows of {profile.title} at {place}, but none is left. {why}")
    _on_scale(frame, [*how.id, *ood], how)
    notes = (profile.cited, *_note(profile, path), *said, *how.notes, *torn, *silent, *_told(left))
    ignored = pl.DataFrame([*lost, *left], schema=IGNORED, orient="row")
    return Published(frame, profile, how, study, ood, errors, notes, ignored)


def _shipped(profile: Profile) -> Path:
    if not profile.shipped.is_dir():
        raise UserError(
            f"Expected the files of {profile.title}, for none ship with the profile {profile.name}. Get them from "
            f"{profile.url or profile.source}, and name their folder."
        )
    return profile.shipped


def _note(profile: Profile, path: Path | str | None) -> tuple[str, ...]:
    if path is None:
        return (profile.extract_note,) if profile.extract_note else ()
    return (f"The profile was written for commit {profile.commit}; these files may be of another.",) * bool(
        profile.commit
    )


def _study(profile: Profile, place: Path, asked: str) -> tuple[str, tuple[str, ...]]:
    """The study that is asked for, else the one whose files are there, else the profile's own choice, with a note."""
    if asked or not profile.studies:
        profile.reading(asked)
        return asked, ()
    there = [study for study in profile.studies if _there(place, profile.reading(study))]
    if not there and place.is_dir():
        raise UserError(
            f"Expected files of {profile.title} in {place}, such as {_named_files(profile)}. Name their folder."
        )
    chosen = profile.study if profile.study in (there or [profile.study]) else there[0]
    others = [study for study in there or profile.studies if study != chosen]
    return chosen, (f"This is the study {chosen}. Others: {listed(others, 8)}; choose with --study.",) if others else ()


def _named_files(profile: Profile) -> str:
    every = [part.file for study in ("", *profile.studies) for part in profile.reading(study).files]
    return listed(list(dict.fromkeys(every)))


def _there(place: Path, how: Reading) -> bool:
    """Whether the files of a reading are in a folder, or a file is one of them."""
    if place.is_dir():
        return bool(how.files) and all(_file(place, part.file) for part in how.files)
    return place.name.removesuffix(".gz") in {part.file for part in how.files}


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _table(place: Path, part: Part) -> pl.DataFrame:
    """A file as text cells; a file that is named itself may have another name than the published one."""
    folder = place if place.is_dir() else place.parent
    found = _file(folder, part.file) or (place if place.is_file() else None)
    if found is None:
        raise UserError(f"Expected the file {part.file} in {folder}, but it is not there. Name the folder that has it.")
    frame = cells(found)
    require(frame, list(part.columns))
    return frame.rename(part.columns)


def cells(path: Path) -> pl.DataFrame:
    """The cells of a file as they are written; of a file that is no plain CSV, as any table is read.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    with suppress(UserError), reading(path, "a table"):
        if path.name.endswith(ENDS) and (frame := pl.read_csv(path, infer_schema=False)).width > 1:
            return frame
    with reading(path, "a table"):
        return sheet(path).frame.select(pl.all().cast(pl.String))


def _joined(
    tables: Sequence[tuple[Part, pl.DataFrame]], how: Reading
) -> tuple[pl.DataFrame, list[tuple[str, str, str]], tuple[str, ...]]:
    """One table of several on their keys; the rows that some of them lack are left out, and named."""
    (_, whole), *others = tables
    if not others:
        return whole, [], ()
    keys = list(how.keys)
    for part, table in tables:
        _once(table, keys, part.file)
    every = pl.concat([table.select(keys) for _, table in tables]).unique(maintain_order=True)
    for part, table in others:
        own = [name for name in table.columns if name in part.columns.values() or name not in whole.columns]
        whole = whole.join(table.select(*keys, *[name for name in own if name not in keys]), on=keys, how="inner")
    torn = every.join(whole, on=keys, how="anti")
    named = [" ".join(map(str, row)) for row in torn.iter_rows()]
    why = f"not in all {len(tables)} files"
    said = (f"Not read are {len(named)} rows that are {why}: {listed(named)}.",) if named else ()
    return whole, [("row", name, why) for name in named], said


def _once(table: pl.DataFrame, keys: Sequence[str], file: str) -> None:
    require(table, keys)
    twice = table.filter(table.select(keys).is_duplicated()).select(keys)
    if twice.height:
        first = " ".join(map(str, twice.row(0)))
        raise UserError(
            f"Expected one row for each {', '.join(keys)} in {file}, but {first} has several. Add a key that tells "
            "them apart, or keep one of them."
        )


def _matching(frame: pl.DataFrame, where: Where) -> pl.Series:
    """Whether each row has, in every one of the columns, one of the cells."""
    require(frame, list(where))
    found = pl.Series([True] * frame.height, dtype=pl.Boolean)
    for column, wanted in where.items():
        found &= _one_of(frame[column], wanted)
    return found


def _one_of(cells: pl.Series, wanted: Sequence[str | None]) -> pl.Series:
    patterns = [one[1:-1] for one in wanted if one and len(one) > 2 and one[0] == one[-1] == "/"]
    known = cells.drop_nulls().unique()
    exact = set(wanted) | {cell for cell in known for pattern in patterns if re.search(pattern, cell)}
    empty = cells.is_null() | (cells == "").fill_null(False)
    return cells.is_in([one for one in exact if one]).fill_null(False) | (empty if None in exact else False & empty)


def _kept(frame: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, list[tuple[str, str, str]]]:
    """The rows to keep; those that are left out with a reason are named."""
    kept = frame.filter(_matching(frame, how.keep)) if how.keep else frame
    left: list[tuple[str, str, str]] = []
    for each in how.leave_out:
        out = _matching(kept, each.where)
        left += [("row", name, each.why) for name in _row_names(kept.filter(out), how)]
        kept = kept.filter(~out)
    return kept, left


def _row_names(rows: pl.DataFrame, how: Reading) -> Iterator[str]:
    """What each row is called; where a part of its name is empty, what there is of it."""
    parts = rows.select(list(dict.fromkeys(how.model.columns))).iter_rows()
    for name, cells_of in zip(how.model.column(rows), parts, strict=True):
        yield name or " ".join(filter(None, cells_of)) or f"(no {' or '.join(how.model.columns)})"


def _told(left: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    for why in dict.fromkeys(why for _, _, why in left):
        rows = [name for _, name, reason in left if reason == why]
        some = f"are {len(rows)} rows" if len(rows) > 1 else "is a row"
        yield f"Not read {some} ({why}): {listed(list(dict.fromkeys(rows)), 3)}."


def _with_errors(
    frame: pl.DataFrame, place: Path, how: Reading, measured: Mapping[str, str]
) -> tuple[pl.DataFrame, dict[str, str], tuple[str, ...]]:
    """The table with a column of standard errors for each measure that has one."""
    if how.errors is None:
        return frame, {}, ()
    source = frame if not how.errors.file else _errors(frame, place, how, how.errors)
    if source is None:
        return frame, {}, (f"Standard errors are left out: {how.errors.file} is not beside the table.",)
    columns = {name: how.errors.column.replace("{}", column) for name, column in measured.items()}
    there = {name: source[column] for name, column in columns.items() if column in source.columns}
    found = {name: f"{name} {ERROR}" for name in there}
    return frame.with_columns([values.alias(found[name]) for name, values in there.items()]), found, ()


def _errors(frame: pl.DataFrame, place: Path, how: Reading, errors: Errors) -> pl.DataFrame | None:
    """The rows of the file of errors that belong to the rows of the table."""
    found = _file(place if place.is_dir() else place.parent, errors.file)
    if found is None:
        return None
    table = cells(found)
    require(table, [*how.keys, *how.keep])
    kept = table.filter(_matching(table, how.keep)) if how.keep else table
    _once(kept, how.keys, errors.file)
    _once(frame, how.keys, "the table")
    return frame.select(how.keys).join(kept, on=list(how.keys), how="left", maintain_order="left")


def measured_columns(frame: pl.DataFrame, how: Reading) -> dict[str, str]:
    """Measures to their columns, with those that the pattern finds; a group of the pattern is the measure's name."""
    named = how.measured
    if how.ood_pattern is None:
        return named
    found = {column: re.search(how.ood_pattern, column) for column in frame.columns if column not in named.values()}
    more = {" ".join(filter(None, match.groups())) or column: column for column, match in found.items() if match}
    if not more:
        raise UserError(f"Expected columns in which {how.ood_pattern} is found, but there is none. Mend ood_pattern.")
    return {**named, **more}


def _measures(frame: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    require(frame, list(columns.values()))
    if taken := [name for name, column in columns.items() if name in frame.columns and name != column]:
        raise UserError(f"Expected a free name for a measure, but the table has a column {taken[0]}. Choose another.")
    return frame.with_columns([pl.col(column).alias(name) for name, column in columns.items()])


def _names(frame: pl.DataFrame, how: Reading, measured: pl.DataFrame) -> pl.DataFrame:
    """The measures with the names of each row, which are made of the columns as they stand in the file."""
    used = [column for name in how.names.values() for column in name.columns]
    require(frame, [*used, *([how.step] if how.step else [])])
    made = [name.column(frame).alias(column) for column, name in how.names.items()]
    return measured.with_columns(*made, *([frame[how.step].alias("step")] if how.step else []))


def _on_scale(frame: pl.DataFrame, measured: Sequence[str], how: Reading) -> None:
    """``UserError`` where the cells are not on the scale that the profile says."""
    first = pl.col(measured).str.extract(r"(\d*\.?\d+)").cast(pl.Float64)
    largest = frame.select(pl.max_horizontal(first.max())).item()
    if how.scale and largest is not None and (how.scale == "percent") != (largest > 1):
        wanted = "percentages" if how.scale == "percent" else "shares between 0 and 1"
        raise UserError(
            f"Expected {wanted}, as the profile says, but the largest value is {largest:g}. Mend its scale."
        )


def recognised(path: Path | str) -> Profile | None:
    """The profile that ships for a folder or file of a known table; None where no one knows it.

    A folder is known by its files, a file by its name and columns, or by the columns that the profile says.

    Examples
    --------
    >>> recognised("no such folder") is None
    True
    """
    place = Path(path)
    if not place.is_dir() and not (place.is_file() and place.name.endswith(ENDS)):
        return None
    return next((profile for profile in map(load, names()) if _knows(profile, place)), None)


def _knows(profile: Profile, place: Path) -> bool:
    readings = [profile.reading(study) for study in profile.studies or ("",)]
    if place.is_file() and profile.columns and set(profile.columns) <= _header(place):
        return True
    return any(_there(place, how) and _has_columns(place, how) for how in readings)


def _has_columns(place: Path, how: Reading) -> bool:
    folder = place if place.is_dir() else place.parent
    for part in how.files:
        found = _file(folder, part.file)
        if found is None or not {*part.columns, *how.keys} <= _header(found):
            return False
    first = {part.columns.get(name, name) for part in how.files[:1] for name in _header(_file(folder, part.file))}
    renamed = {name for part in how.files for name in part.columns.values()}
    needed = {*how.measured.values(), *(column for name in how.names.values() for column in name.columns)}
    return needed <= first | renamed


def _header(path: Path | None) -> set[str]:
    """The columns of a CSV file; none of a file that is no table."""
    if path is None:
        return set()
    try:
        with reading(path, "a table"):
            return set(pl.read_csv(path, infer_schema=False, n_rows=0).columns)
    except UserError:
        return set()


def _example(name: str) -> Profile:
    if name not in (known := examples()):
        raise UnknownName("examples", name, known)
    return load(name)
