from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset, fits_float32
from outfield.data.labels import MISSING
from outfield.data.sources._files import Broken, existing
from outfield.data.sources._rows import (
    column,
    ending,
    header,
    kept,
    labelled,
    other_separator,
    records,
    separator,
    utf8,
)
from outfield.errors import UserError, listed, reading
from outfield.places import home

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Table(Source):
    """Rows of numbers [n, D] of a table: ``.csv``, ``.tsv``, ``.parquet``, ``.jsonl`` or ``.json``.

    True and false count as 1 and 0. Labels are what ``outfield.data.labels.names`` makes of their column: an empty cell
    is no label, whole numbers are called alike (1.0 is 1), numbers come in the order of their size. ``NA`` is no label
    where the other labels are numbers, and a class of that name where they are words.

    Parameters
    ----------
    path : str
    label : str, optional
        The column of the labels; integers or names.
    columns : tuple of str, optional
        The columns of the inputs, in the model's order; by default all but the label.
    values : tuple of str, optional
        The label values that are kept, in the order of the classes 0, 1, ...; by default all, sorted: give
        them where several files must agree. Rows of other values are left out and counted in ``left_out``.
    broken : {"refuse", "leave out"}
        What to do with rows that have no number in a column (nothing, NA, NaN, infinity, a text), or no label where
        others have one.

    Raises
    ------
    UserError
        No such file or column, a column that is not numeric, rows without a number.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "iris.csv").write_text("width,length,kind\\n1.0,2,rose\\n3.5,4,iris\\n")
    ...     data = Table(folder + "/iris.csv", label="kind").load()
    ...     data.read(slice(None)).tolist(), data.labels.tolist(), data.classes
    ([[1.0, 2.0], [3.5, 4.0]], [1, 0], ('iris', 'rose'))
    """

    path: str
    label: str | None = None
    columns: tuple[str, ...] | None = None
    values: tuple[str, ...] | None = None
    broken: Broken = "refuse"

    def files(self) -> tuple[Path, ...]:
        return (home(self.path),)

    def load(self) -> Dataset:
        header, frame = self._read()
        label = None if self.label is None else column(header, self.label, self.path)
        named = [column(header, name, self.path) for name in self.columns or () if name != label]
        numbers, odd = _numbers(frame, named or [name for name in frame.columns if name != label], self.path)
        sound = np.asarray(fits_float32(numbers).all(axis=1))
        where, left_out = kept(sound, self.broken, self.path, f"a number in every column{odd}")
        if label is None:
            return ArrayDataset(numbers[where], left_out=left_out)
        found = labelled(frame[label].to_list(), self.values, self.broken, self.path)
        here = sound[found.rows]
        labels = None if found.numbers is None else found.numbers[here]
        return ArrayDataset(numbers[found.rows[here]], labels, found.classes, left_out=[*left_out, *found.left_out])

    def _read(self) -> tuple[Counter[str], pl.DataFrame]:
        """How often each column is named, and the rows: of texts where the file states no types."""
        file = existing(self.path, "file")
        with reading(file, "a table", f"Mend it: {_FORM}"):
            header, frame = _parsed(utf8(file))
        if frame.is_empty():
            raise UserError(f"Expected rows in {file}, but it has none. Point it to a table that holds rows.")
        return Counter(header), frame


_FORM = "UTF-8, as many cells in a line as the header names, separated by commas in .csv and by tabs in .tsv."


def _parsed(file: Path) -> tuple[Sequence[str], pl.DataFrame]:
    """The names of the columns as the file has them, and its rows."""
    import polars as pl

    if ending(file) in (".parquet", ".jsonl", ".json"):
        frame = pl.read_parquet(file) if ending(file) == ".parquet" else _of_records(file)
        return frame.columns, frame
    return header(file), pl.read_csv(file, separator=separator(file), infer_schema=False)


def _of_records(file: Path) -> pl.DataFrame:
    import polars as pl

    rows = records(file)
    if not all(isinstance(row, dict) for row in rows):
        odd = next(row for row in rows if not isinstance(row, dict))
        raise UserError(
            f"Expected rows in {file} that name their columns, as {{'a': 1}}, but got {odd!r:.60}. Mend it."
        )
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


def _numbers(frame: pl.DataFrame, names: Sequence[str], path: str) -> tuple[NDArray[np.float64], str]:
    """The columns as numbers [n, D], NaN where a cell holds none, and the first text among them, in words."""
    import polars as pl

    types = frame.schema
    odd = [name for name in names if not _may_hold_numbers(types[name])]
    if odd or not names:
        raise _not_numeric(odd, path)
    texts = [name for name in names if types[name] == pl.String]
    cells = frame[list(names)].with_columns(pl.col(pl.String).str.strip_chars())
    values = cells.cast(pl.Float64, strict=False).to_numpy(writable=True)
    said = ""
    for place in np.flatnonzero(np.isnan(values).any(axis=0)).tolist() if texts else ():
        values[:, place], words = _with_truth(cells[:, place], values[:, place])
        if len(words) and not np.isfinite(values[:, place]).any():
            odd.append(names[place])
        elif len(words):
            said = said or f" (row {words[0]} has {cells[:, place][int(words[0])]!r:.40} as {names[place]!r})"
    if odd:
        raise _not_numeric(odd, path)
    return values, said


def _with_truth(cells: pl.Series, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A column of texts with true and false as 1 and 0, and the rows whose text is none of it."""
    import polars as pl

    if cells.dtype != pl.String:
        return values, np.array([], dtype=np.int64)
    lower = cells.str.to_lowercase()
    for word, number in (("true", 1.0), ("false", 0.0)):
        values = np.where((lower == word).fill_null(False), number, values)
    gap = cells.is_null() | cells.is_in(["", *sorted(MISSING)])
    return values, np.flatnonzero(np.isnan(values) & ~gap.to_numpy())


def _may_hold_numbers(kind: pl.DataType) -> bool:
    import polars as pl

    return kind.is_numeric() or kind in (pl.Boolean, pl.String, pl.Null)


def _not_numeric(odd: Sequence[str], path: str) -> UserError:
    return UserError(
        f"Expected numeric columns in {path}, but {listed(odd) or 'there is no column'} "
        f"is not.{other_separator(odd)} Name the numeric ones with `columns`, or encode it as numbers."
    )
