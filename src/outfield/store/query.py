"""Reading results: DuckDB over a study's Parquet files, polars frames out."""

from __future__ import annotations

import json
import reprlib
import warnings
from collections.abc import Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Any, cast

import duckdb
import polars as pl

from outfield import checksums
from outfield.errors import UserError
from outfield.places import copies, listed, place, reaching
from outfield.store.schema import COLUMNS, SCORE_COLUMNS, absent
from outfield.store.write import MANIFEST, ROWS, SCORES, DamagedFileWarning, scores_path, sift

TEST = "role = 'test' AND part IS NULL"
"""The rows that means, ranks and ANOVA read."""


class MissingRowsWarning(UserWarning):
    """Jobs that ``study.json`` names have no file of rows: not done yet, or lost."""


def rows(folder: Path | str, where: str = "true") -> pl.DataFrame:
    """The rows of a study, in the order of ``COLUMNS``; ``where`` is a condition in SQL.

    Rows of the jobs that ``study.json`` names are read, or of every file where there is no such list. A file that is
    not as it was written is left out and named in a ``DamagedFileWarning``: run the study again, and its job is done
    again. Jobs without a file are counted in a ``MissingRowsWarning``.

    Raises
    ------
    UserError
        There is no such folder, or it has no results.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import write
    >>> folder = Path(tempfile.mkdtemp())
    >>> row = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}
    >>> _ = write.rows(folder, "ab12", [row])
    >>> rows(folder, "value > 0.5").select("model", "value").rows()
    [('m', 0.9)]
    """
    return sql(folder, f"SELECT {', '.join(map(quoted, COLUMNS))} FROM rows WHERE {where}")


def sql(folder: Path | str, statement: str) -> pl.DataFrame:
    """What a SQL statement over the table ``rows`` of a study gives.

    Raises
    ------
    UserError
        There are no results, or DuckDB refuses the statement, with its reason.

    Examples
    --------
    >>> sql("results/digits", "SELECT detector, avg(value) FROM rows GROUP BY detector")  # doctest: +SKIP
    """
    files = _files(place(folder))
    with copies(files) as here:
        kept = some(sound(files, here), place(folder))
        try:
            return _ask(kept, statement)
        except (duckdb.Error, pl.exceptions.PolarsError) as error:
            if not sift(kept, kept, ROWS):
                raise UserError(f"Expected SQL over the table rows, but got {statement!r}: {error}") from None
        return _ask(some(sound(files, here, decode=True), place(folder)), statement)


def some(sound: list[Path], folder: Path) -> list[Path]:
    """The same files; a ``UserError`` where none is left."""
    if not sound:
        raise UserError(f"Expected results in {folder}, but every file is damaged. Run the study again.")
    return sound


def sound(files: Sequence[Path], here: Sequence[Path], kind: str = ROWS, *, decode: bool = False) -> list[Path]:
    """The files of a study that are as they were written; damaged ones are named in a ``DamagedFileWarning``.

    Parameters
    ----------
    files : sequence of path
    here : sequence of path
        The same on this machine, which are given back.
    kind : str
        Their folder: ``rows``, ``scores``.
    decode : bool
        Read files of earlier versions through, which bear no seal.
    """
    damaged = sift(files, here, kind, decode=decode)
    if damaged:
        _warn(list(damaged))
    return [copy for path, copy in zip(files, here, strict=True) if path not in damaged]


def _files(folder: Path) -> list[Path]:
    files = {path.stem: path for path in listed(folder / ROWS, "*.parquet")}
    said = manifest(folder)
    jobs = said["jobs"]
    chosen = list(files.values()) if jobs is None else [files[key] for key in jobs if key in files]
    if not chosen:
        raise UserError(
            f"Expected the results of a study in {folder}, but found none. Run it first: outfield run STUDY."
        )
    if absent := wanted(said).difference(files):
        _warn_of_absent(folder, len(absent), len(wanted(said)))
    return chosen


def wanted(manifest: Mapping[str, Any]) -> set[str]:
    """Keys of the jobs that should have rows: of all that ``study.json`` names, those that apply to their model.

    Examples
    --------
    >>> wanted({"jobs": ["a", "b"], "unmeasured": ["b"]}), wanted({"jobs": None})
    ({'a'}, set())
    """
    return set(manifest["jobs"] or ()).difference(manifest.get("unmeasured", ()))


def manifest(folder: Path | str) -> dict[str, Any]:
    """What ``study.json`` says: ``study``, the study as a mapping, and ``jobs``, the keys; None where it is absent.

    Raises
    ------
    UserError
        It is no JSON, not of a study, or not as it was written.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import write
    >>> folder = Path(tempfile.mkdtemp())
    >>> write.begin(folder, ["cd34", "ab12"], '{"name": "demo"}')
    >>> manifest(folder)["jobs"], manifest(folder)["study"]
    (['ab12', 'cd34'], {'name': 'demo'})
    """
    path = place(folder) / MANIFEST
    try:
        with reaching(path):
            content = path.read_bytes()
        sealed = checksums.check(content, "study", "study")
        loaded = json.loads(content)
    except FileNotFoundError:
        return {"study": None, "jobs": None}
    except OSError as error:
        raise UserError(f"Expected to read {path}, but got: {error.strerror or error}.") from None
    except checksums.Broken as error:
        raise UserError(
            f"Expected the study and its jobs in {path}, but the file {error}. Run the study again: it is written anew."
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"Expected JSON in {path}, but got: {error}. Run the study again.") from None
    if not _is_manifest(loaded):
        raise UserError(
            f"Expected a study and its jobs in {path}, but got {reprlib.repr(loaded)}. "
            "Move the file away if another program wrote it, or else run the study again."
        )
    if not sealed:
        checksums.tell_of_earlier(place(folder), f"the file {MANIFEST} bears")
    return cast("dict[str, Any]", loaded)


def _is_manifest(found: Any) -> bool:
    """Whether JSON has the form of ``study.json``.

    Examples
    --------
    >>> _is_manifest({"study": {"name": "s"}, "jobs": ["ab12"]}), _is_manifest({"direction": "minimize"})
    (True, False)
    """
    if not isinstance(found, dict) or not {"study", "jobs"} <= found.keys():
        return False
    study, jobs = found["study"], found["jobs"]
    named = jobs is None or (isinstance(jobs, list) and all(isinstance(job, str) for job in jobs))
    return named and (study is None or isinstance(study, dict))


def progress(folder: Path | str) -> tuple[int, int]:
    """How many of a study's jobs have rows, and how many there are: those that do not apply to their model aside.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import write
    >>> folder = Path(tempfile.mkdtemp())
    >>> write.begin(folder, ["cd34", "ab12"], '{"name": "demo"}')
    >>> row = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}
    >>> _ = write.rows(folder, "ab12", [row])
    >>> progress(folder)
    (1, 2)
    """
    said, found = manifest(folder), listed(place(folder) / ROWS, "*.parquet")
    with copies(found) as here:
        present = {path.stem for path in found} - {path.stem for path in sift(found, here, ROWS, decode=False)}
    if said["jobs"] is None:
        return len(present), len(present)
    return len(present & wanted(said)), len(wanted(said))


def scores(folder: Path | str, model: str, key: str) -> pl.DataFrame:
    """The scores of each sample that one job kept: columns set, part, row, score.

    Raises
    ------
    UserError
        They are not there, or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import write
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = write.scores(folder, "net-0", "ab12", pl.DataFrame({"set": ["test"], "row": [3], "score": [0.5]}))
    >>> scores(folder, "net-0", "ab12").rows(named=True)
    [{'set': 'test', 'part': None, 'row': 3, 'score': 0.5}]
    """
    path = scores_path(place(folder), model, key)
    try:
        with copies([path]) as here:
            check_scores([path], here)
            return _ask(here, f"SELECT {', '.join(SCORE_COLUMNS)} FROM rows")
    except (duckdb.Error, pl.exceptions.PolarsError, FileNotFoundError) as error:
        raise UserError(f"Expected scores in {path}, but got: {error}. Remove its row file and run again.") from None


def merits(folder: Path | str, model: str, key: str) -> pl.DataFrame:
    """How good a model's answer to each item was, as its own job kept it: columns set, row, merit.

    Parameters
    ----------
    folder : path
        A study's folder.
    model : str
    key : str
        Of the model's own job: the name of its file of rows.

    Raises
    ------
    UserError
        They are not there, or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import write
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = write.scores(folder, "net-0", "ab12", pl.DataFrame({"set": ["a", "a"], "row": [0, 1], "score": [1.0, 0.0]}))
    >>> merits(folder, "net-0", "ab12")["merit"].to_list()
    [1.0, 0.0]
    """
    return scores(folder, model, key).select("set", "row", merit="score")


def check_scores(files: Sequence[Path], here: Sequence[Path]) -> None:
    """A ``UserError`` that names a file of scores which is not as it was written.

    Parameters
    ----------
    files : sequence of path
    here : sequence of path
        The same on this machine.
    """
    for path, why in sift(files, here, SCORES, decode=False).items():
        raise UserError(f"Expected scores in {path}, but the file {why}. Run the study again: its job is done again.")


class _Stream:
    """A relation as a bare Arrow stream, all that polars needs of it (and no need of pyarrow)."""

    def __init__(self, relation: duckdb.DuckDBPyRelation) -> None:
        self.relation = relation

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.relation.__arrow_c_stream__()


def _ask(files: Sequence[Path], statement: str) -> pl.DataFrame:
    with duckdb.connect() as connection:
        table = connection.read_parquet(
            [escape(str(path)) for path in files], union_by_name=True, hive_partitioning=False
        )
        whole = table.project(f"*{absent(table.columns)}")
        return framed(whole.query("rows", statement))


def quoted(column: str) -> str:
    """A column's name as SQL takes it, also where it is a word of SQL.

    Examples
    --------
    >>> quoted("group")
    '"group"'
    """
    return f'"{column}"'


def framed(relation: Any) -> pl.DataFrame:
    """What a relation of DuckDB holds, as a frame.

    Examples
    --------
    >>> framed(duckdb.sql("SELECT 1 AS a")).rows()
    [(1,)]
    """
    return pl.DataFrame(_Stream(cast("duckdb.DuckDBPyRelation", relation)))


def _warn(damaged: Sequence[Path]) -> None:
    names = ", ".join(path.name for path in damaged)
    warnings.warn(
        f"{len(damaged)} result file{'s are' if len(damaged) > 1 else ' is'} damaged and left out: {names}. "
        "Run the study again, and those jobs are done again.",
        DamagedFileWarning,
        stacklevel=4,
    )


def _warn_of_absent(folder: Path, absent: int, jobs: int) -> None:
    warnings.warn(
        f"{absent:,} of the {jobs:,} jobs of the study in {folder} have no rows: they are not done yet, they "
        "failed, or their files are lost. Run the study again to do them.",
        MissingRowsWarning,
        stacklevel=4,
    )
