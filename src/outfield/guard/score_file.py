"""Verdicts of any number of inputs, written a piece at a time: what a killed process wrote stays, and is kept.

Pieces are in a folder beside the output until all are there; then they become one file, and the folder goes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from outfield.data.user_data import dataset, pieces
from outfield.errors import UserError, reading
from outfield.guard.batches import BatchVerdict, verdict_of_counts
from outfield.guard.guarded import Guarded
from outfield.guard.row_log import locked
from outfield.guard.thresholds import Ladder
from outfield.places import home
from outfield.store.spreadsheet import without_formulas
from outfield.store.write import atomically, write_text
from outfield.temporary_files import discard

PIECE = 4096
"""Inputs that are scored and written at a time."""
FORMAT = "outfield.guard.scores/1"


@dataclass(frozen=True)
class Scored:
    """What all inputs say together.

    Parameters
    ----------
    whole : BatchVerdict
    flagged : int
        Inputs above the threshold.
    kept : int
        Inputs that an earlier process had scored.
    """

    whole: BatchVerdict
    flagged: int
    kept: int


def score_file(guard: Guarded, data: Any, output: Path | None = None, *, piece: int = PIECE) -> Scored:
    """Answers to data, however many, as ``.csv`` or ``.parquet``: input, prediction, score, p, verdict.

    A table in Parquet, CSV or TSV is never in memory as a whole. Where a process was killed, the next one with the same
    data, bundle and output goes on after the last piece that was written, and the file is the same to the byte.

    Parameters
    ----------
    data : data, or the path of some, as of ``outfield.data.user_data.dataset``
    output : path, optional
        Without it nothing is written, and nothing kept.
    piece : int
        Inputs that are written at a time.

    Raises
    ------
    UserError
        Another ending; an output that was begun with other data or another bundle, or that another process writes; no
        inputs; what cannot be read or written.

    Examples
    --------
    >>> score_file(outfield.guard(model, "pets.guard"), "today.parquet", "scores.parquet")  # doctest: +SKIP
    """
    if output is None:
        return _added(((_frame(guard, *one), False) for one in pieces(data, piece)), guard.bundle.ladder)
    output = home(output)
    if output.suffix not in (".csv", ".parquet"):
        raise UserError(f"Expected a file of .csv or .parquet, but got {output.name!r}. Choose one of these.")
    with _unfinished(output, _facts(guard, data, piece)) as folder:
        found = _added(_written(guard, data, piece, folder), guard.bundle.ladder)
        _join(sorted(folder.glob("*.parquet")), output)
    discard(folder)
    return found


def _facts(guard: Guarded, data: Any, piece: int) -> dict[str, Any]:
    """What the pieces depend on."""
    return {
        "format": FORMAT, "data": _digest(data), "bundle": guard.bundle.manifest.digest, "piece": piece,
        "batch": guard.batch, "outfield": metadata.version("outfield"),
    }  # fmt: skip


def _digest(data: Any) -> str:
    """Of a file its bytes; of other data their items."""
    if isinstance(data, (str, Path)) and (path := home(data)).is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    return dataset(data).digest()


@contextmanager
def _unfinished(output: Path, facts: dict[str, Any]) -> Iterator[Path]:
    """The folder of pieces, which is this process's own meanwhile."""
    folder = output.with_name(f"{output.name}.part")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        about = folder / "about.json"
        if about.is_file():
            with reading(about, "the facts of unfinished scores", f"Delete {folder} to begin anew."):
                _check_same(json.loads(about.read_text(encoding="utf-8")), facts, folder)
        else:
            for left in folder.glob("*.parquet"):
                left.unlink()
            write_text(json.dumps(facts), about)
        yield folder


def _check_same(begun: dict[str, Any], facts: dict[str, Any], folder: Path) -> None:
    if other := [name for name in facts if begun.get(name) != facts[name]]:
        raise UserError(
            f"Expected to go on with the scores that were begun in {folder}, but they are of another "
            f"{' and another '.join(other)}. Delete that folder to begin anew, or write to another file."
        )


def _written(guard: Guarded, data: Any, piece: int, folder: Path) -> Iterator[tuple[pl.DataFrame, bool]]:
    """Each piece, and whether it was there before; what cannot be read is told before the first is scored."""
    if not any(folder.glob("*.parquet")):
        for _ in pieces(data, piece):
            pass
    for number, (names, part) in enumerate(pieces(data, piece)):
        path = folder / f"{number:09d}.parquet"
        if path.is_file():
            with reading(path, "a piece of unfinished scores", f"Delete {folder} to begin anew."):
                yield pl.read_parquet(path, glob=False), True
            continue
        table = _frame(guard, names, part)
        with atomically(path) as temporary:
            table.write_parquet(temporary)
        yield table, False


def _frame(guard: Guarded, names: list[str], part: Any) -> pl.DataFrame:
    return guard.answers(part).frame().insert_column(0, pl.Series("input", names))


def _added(tables: Iterator[tuple[pl.DataFrame, bool]], ladder: Ladder) -> Scored:
    """What the tables say together."""
    counts, n, unscored, flagged, kept = np.zeros(len(ladder.rates), dtype=int), 0, 0, 0, 0
    for table, was_there in tables:
        scores = table["score"].to_numpy()
        known = scores[~np.isnan(scores)]
        counts += ladder.flags(known).sum(axis=0)
        n, unscored = n + len(known), unscored + len(scores) - len(known)
        flagged += int((table["verdict"] == "ood").sum())
        kept += len(table) * was_there
    return Scored(verdict_of_counts(counts, n, ladder, unscored=unscored), flagged, kept)


def _join(parts: list[Path], output: Path) -> None:
    """All pieces as one file."""
    with atomically(output) as temporary:
        if output.suffix == ".parquet":
            schema = pq.read_schema(parts[0])
            with pq.ParquetWriter(temporary, schema, compression="zstd") as target:
                for path in parts:
                    target.write_table(pq.ParquetFile(path).read().cast(schema))
            return
        with temporary.open("wb") as content:
            for number, path in enumerate(parts):
                without_formulas(pl.read_parquet(path, glob=False)).write_csv(content, include_header=not number)
