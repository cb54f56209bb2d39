from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data import labels
from outfield.data.adapters import ColumnedDataset, FrameDataset
from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.labels import MISSING
from outfield.data.sources._files import Broken, existing
from outfield.data.sources._rows import (
    Labelled,
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
from outfield.data.validation import fits_float32
from outfield.errors import UserError, listed, reading
from outfield.places import home

if TYPE_CHECKING:
    import polars as pl

    _Kept = Callable[[NDArray[np.bool_], str], tuple[NDArray[np.int64], dict[str, Any]]]


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
        The columns of the inputs, in the model's order; by default all but the label, the target and the group, and but
        a column without a name that numbers the rows, as pandas writes it (``left_out`` says so).
    values : tuple of str, optional
        The label values that are kept, in the order of the classes 0, 1, ...; by default all, sorted: give
        them where several files must agree. Rows of other values are left out and counted in ``left_out``.
    broken : {"refuse", "leave out"}
        What to do with rows that have no number in a column (nothing, NA, NaN, infinity, a text), no target, no group,
        or no label where others have one.
    target : str, optional
        The column of the numbers that are to be predicted, where it is no class: instead of ``label``.
    group : str, optional
        The column that names the group of a row (a hospital, a domain, an attribute), by numbers or words. It is no
        input unless ``columns`` names it.

    Raises
    ------
    UserError
        No such file or column, a column that is not numeric, rows without a number; a label and a target.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "iris.csv").write_text("width,length,kind\\n1.0,2,rose\\n3.5,4,iris\\n")
    ...     data = Table(folder + "/iris.csv", label="kind").load()
    ...     data.read(slice(None)).tolist(), data.labels.tolist(), data.classes
    ([[1.0, 2.0], [3.5, 4.0]], [1, 0], ('iris', 'rose'))

    Prices to be predicted, of two towns:

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "flats.csv").write_text("rooms,town,price\\n2,Oslo,9.5\\n3,Bern,8\\n")
    ...     data = Table(folder + "/flats.csv", target="price", group="town").load()
    ...     data.read(slice(None)).tolist(), data.targets, data.groups, data.group_names
    ([[2.0], [3.0]], array([9.5, 8. ]), array([1, 0]), ('Bern', 'Oslo'))
    """

    path: str
    label: str | None = None
    columns: tuple[str, ...] | None = None
    values: tuple[str, ...] | None = None
    broken: Broken = "refuse"
    target: str | None = None
    group: str | None = None

    modality: ClassVar[frozenset[str]] = frozenset({"rows"})

    def __post_init__(self) -> None:
        if self.label is not None and self.target is not None:
            raise UserError(
                f"Expected a label or a target, but got both: {self.label!r} and {self.target!r}. Name classes by "
                "`label`, numbers that are to be predicted by `target`."
            )

    def files(self) -> tuple[Path, ...]:
        return (home(self.path),)

    def load(self) -> Dataset:
        frame, names, beside = self._columns()
        numbers, odd = _numbers(frame, names, self.path)
        sound = np.asarray(fits_float32(numbers).all(axis=1))
        rows, about = self._about(frame, sound, f"a number in every column{odd}", beside)
        return ArrayDataset(numbers[rows], **about)

    def as_fitted(self) -> Dataset:
        """Rows as an estimator takes them, with the names of their columns: gaps stay, and columns of texts do.

        Missing numbers are NaN. A column with a word in it is one of texts, as pandas reads it.

        Raises
        ------
        UserError
            As ``load``, but for what stays.
        """
        frame, names, beside = self._columns()
        numeric = self._numeric(frame, names)

        def about(sound: NDArray[np.bool_], what: str) -> tuple[NDArray[np.int64], dict[str, Any]]:
            return self._about(frame, sound, what, beside)

        return self._fitted(frame, names, numeric, about)

    def pieces(self, rows: int) -> Iterator[Dataset]:
        """The inputs as ``as_fitted`` reads them, so many rows at a time; labels, targets and groups are left out.

        Which columns hold numbers, and not texts, is known at the end of the file only: it is read twice.

        Parameters
        ----------
        rows : int
            Of every piece but the last.

        Raises
        ------
        UserError
            As ``as_fitted``.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "ages.csv").write_text("age\\n30\\n40\\n50\\n")
        ...     [part.read(slice(None)).tolist() for part in Table(folder + "/ages.csv").pieces(2)]
        [[[30.0], [40.0]], [[50.0]]]
        """
        names = self._names_of_inputs()
        kinds = [set(self._numeric(frame, names)) for frame in self._frames(rows)]
        numeric = [name for name in names if all(name in kind for kind in kinds)]
        start = 0
        for frame in self._frames(rows):
            numbers = np.arange(start, start + len(frame))

            def about(
                sound: NDArray[np.bool_], what: str, numbers: NDArray[np.int64] = numbers
            ) -> tuple[NDArray[np.int64], dict[str, Any]]:
                where, left_out = kept(sound, self.broken, self.path, what, numbers)
                return where, {"left_out": left_out}

            yield self._fitted(frame, names, numeric, about)
            start += len(frame)

    def _names_of_inputs(self) -> list[str]:
        """What ``_columns`` finds, with no more than a column that may number the rows in memory."""
        file = existing(self.path, "file")
        with reading(file, "a table", f"Mend it: {_FORM}"):
            lazy = _scanned(utf8(file))
            header = lazy.collect_schema().names()
            index = lazy.select(one for one in header if one in INDEX).collect()
        beside = {one for one in (self.label, self.target, self.group) if one is not None}
        names = list(self.columns or [name for name in header if name not in beside])
        return [one for one in names if self.columns or one not in INDEX or not _numbers_rows(index[one], names)]

    def _frames(self, rows: int) -> Iterator[pl.DataFrame]:
        """The rows in pieces."""
        import polars as pl

        file, held = existing(self.path, "file"), None
        with reading(file, "a table", f"Mend it: {_FORM}"):
            for frame in _streamed(file, rows):
                held = frame if held is None else pl.concat([held, frame])
                while len(held) >= rows:
                    yield held[:rows]
                    held = held[rows:]
        if held is None:
            raise UserError(f"Expected rows in {file}, but it has none. Point it to a table that holds rows.")
        if len(held):
            yield held

    def _numeric(self, frame: pl.DataFrame, names: Sequence[str]) -> list[str]:
        """The columns of numbers among the inputs."""
        nested = [name for name, kind in frame.schema.items() if name in names and kind.is_nested()]
        if nested or not names:
            raise _not_numeric(nested, self.path)
        return [name for name in names if _is_numeric(frame[name])]

    def _fitted(self, frame: pl.DataFrame, names: Sequence[str], numeric: Sequence[str], kept_of: _Kept) -> Dataset:
        """Rows as an estimator takes them; ``kept_of`` says which are kept, and what is said of them."""
        numbers, odd = _numbers(frame, numeric, self.path) if numeric else (np.zeros((len(frame), 0)), "")
        sound = np.asarray((fits_float32(numbers) | _gaps(frame, numeric)).all(axis=1))
        rows, about = kept_of(sound, f"a finite number in every column{odd}")
        if list(numeric) == list(names):
            of = ArrayDataset(numbers[rows], **about, missing=True)
            return ColumnedDataset(of, names)
        cells = {name: _texts(frame[name]) for name in names if name not in numeric}
        cells |= dict(zip(numeric, numbers.T, strict=True))
        columns = {name: cells[name][rows] for name in names}
        return FrameDataset(_framed(columns), **about)

    def _columns(self) -> tuple[pl.DataFrame, list[str], list[str]]:
        """The rows, the columns of the inputs, and what is to be said of a column that only numbers the rows."""
        header, frame = self._read()
        answers = {column(header, name, self.path) for name in (self.label, self.target) if name is not None}
        groups = {column(header, name, self.path) for name in (self.group,) if name is not None}
        if self.columns:
            return frame, [column(header, name, self.path) for name in self.columns if name not in answers], []
        names = [name for name in frame.columns if name not in answers | groups]
        index = [name for name in names if _numbers_rows(frame[name], names)]
        beside = [f"{self.path}: the column {name!r}, which only numbers the rows" for name in index]
        return frame, [name for name in names if name not in index], beside

    def _about(
        self, frame: pl.DataFrame, sound: NDArray[np.bool_], what: str, beside: Sequence[str]
    ) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """The rows that are kept, and all that is said of them beside the inputs, as arguments of ``Rows``."""
        found = self._labelled(frame, sound, what)
        targets, targeted, without_target = self._targets(frame)
        groups, group_names, grouped, without_group = self._groups(frame)
        here = (targeted & grouped)[found.rows]
        rows = found.rows[here]
        return rows, {
            "labels": None if found.numbers is None else found.numbers[here],
            "classes": found.classes,
            "targets": None if targets is None else targets[rows],
            "groups": None if groups is None else groups[rows],
            "group_names": group_names,
            "left_out": [*beside, *found.left_out, *without_target, *without_group],
        }

    def _targets(self, frame: pl.DataFrame) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_], list[str]]:
        """The target of each row, which rows have one, and what is to be said of the others."""
        if self.target is None:
            return None, np.ones(len(frame), dtype=bool), []
        values, odd = _numbers(
            frame, [self.target], self.path, "Name a numeric one with `target`; classes are `label`."
        )
        sound = np.isfinite(values[:, 0])
        return values[:, 0], sound, kept(sound, self.broken, self.path, f"a finite number as target{odd}")[1]

    def _groups(
        self, frame: pl.DataFrame
    ) -> tuple[NDArray[np.int64] | None, tuple[str, ...] | None, NDArray[np.bool_], list[str]]:
        """The group of each row, the names of the groups, which rows have one, and what is to be said of the others."""
        if self.group is None:
            return None, None, np.ones(len(frame), dtype=bool), []
        found = labels.names(frame[self.group].to_list())
        sound = np.array([one is not None for one in found])
        left_out = kept(sound, self.broken, self.path, f"a group in {self.group!r}")[1]
        names = labels.ordered(one for one in found if one is not None)
        number = {one: place for place, one in enumerate(names)}
        return np.array([-1 if one is None else number[one] for one in found]), names, sound, left_out

    def _labelled(self, frame: pl.DataFrame, sound: NDArray[np.bool_], what: str) -> Labelled:
        """The sound rows that are kept for their labels."""
        where, left_out = kept(sound, self.broken, self.path, what)
        if self.label is None:
            return Labelled(where, None, None, left_out)
        found = labelled(frame[self.label].to_list(), self.values, self.broken, self.path)
        here = sound[found.rows]
        numbers = None if found.numbers is None else found.numbers[here]
        return Labelled(found.rows[here], numbers, found.classes, [*left_out, *found.left_out])

    def _read(self) -> tuple[Counter[str], pl.DataFrame]:
        """How often each column is named, and the rows: of texts where the file states no types."""
        file = existing(self.path, "file")
        with reading(file, "a table", f"Mend it: {_FORM}"):
            header, frame = _parsed(utf8(file))
        if frame.is_empty():
            raise UserError(f"Expected rows in {file}, but it has none. Point it to a table that holds rows.")
        return Counter(header), frame


_OTHER_COLUMNS = "Name the numeric ones with `columns`, or encode it as numbers."
_FORM = "UTF-8, as many cells in a line as the header names, separated by commas in .csv and by tabs in .tsv."


def _parsed(file: Path) -> tuple[Sequence[str], pl.DataFrame]:
    """The names of the columns as the file has them, and its rows."""
    import polars as pl

    if ending(file) in (".parquet", ".jsonl", ".json"):
        frame = pl.read_parquet(file) if ending(file) == ".parquet" else _of_records(file)
        return frame.columns, frame
    return header(file), pl.read_csv(file, separator=separator(file), infer_schema=False)


def _scanned(file: Path) -> pl.LazyFrame:
    """The rows of a file that need not be read whole."""
    import polars as pl

    if ending(file) == ".parquet":
        return pl.scan_parquet(file, glob=False)
    if ending(file) in (".jsonl", ".json"):
        return _of_records(file).lazy()
    return pl.scan_csv(file, separator=separator(file), infer_schema=False, glob=False)


def _streamed(file: Path, rows: int) -> Iterator[pl.DataFrame]:
    """The rows of a file, about so many at a time; polars would have several groups of a Parquet file in memory."""
    import polars as pl

    if ending(file) == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(file) as found:
            for batch in found.iter_batches(rows):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield frame
    else:
        yield from _scanned(file).collect_batches(chunk_size=rows, maintain_order=True)


def _of_records(file: Path) -> pl.DataFrame:
    import polars as pl

    rows = records(file)
    if not all(isinstance(row, dict) for row in rows):
        odd = next(row for row in rows if not isinstance(row, dict))
        raise UserError(
            f"Expected rows in {file} that name their columns, as {{'a': 1}}, but got {odd!r:.60}. Mend it."
        )
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


def _numbers(
    frame: pl.DataFrame, names: Sequence[str], path: str, otherwise: str = _OTHER_COLUMNS
) -> tuple[NDArray[np.float64], str]:
    """The columns as numbers [n, D], NaN where a cell holds none, and the first text among them, in words."""
    import polars as pl

    types = frame.schema
    odd = [name for name in names if not _may_hold_numbers(types[name])]
    if odd or not names:
        raise _not_numeric(odd, path, otherwise)
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
        raise _not_numeric(odd, path, otherwise)
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


def _is_numeric(cells: pl.Series) -> bool:
    """Whether a column holds numbers, true and false, and gaps alone."""
    import polars as pl

    if cells.dtype != pl.String:
        return _may_hold_numbers(cells.dtype)
    stripped = cells.str.strip_chars()
    values = stripped.cast(pl.Float64, strict=False).to_numpy(writable=True)
    return not len(_with_truth(stripped, values)[1])


def _gaps(frame: pl.DataFrame, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which cells of the columns are missing numbers, [n, D]."""
    import polars as pl

    missing = ["", *sorted(MISSING)]
    gaps = [
        cells.is_null() | (cells.str.strip_chars().is_in(missing) if cells.dtype == pl.String else _is_nan(cells))
        for cells in (frame[name] for name in names)
    ]
    found = [gap.fill_null(True).to_numpy() for gap in gaps]
    return np.stack(found, axis=1) if found else np.zeros((len(frame), 0), dtype=bool)


def _is_nan(cells: pl.Series) -> pl.Series:
    import polars as pl

    return cells.cast(pl.Float64, strict=False).is_nan()


def _texts(cells: pl.Series) -> NDArray[Any]:
    """A column of texts as pandas reads it: NaN where a cell is missing."""
    gaps = {None, "", *MISSING}
    return np.array([np.nan if value in gaps else value for value in cells.to_list()], dtype=object)


def _framed(columns: Mapping[str, NDArray[Any]]) -> Any:
    """Columns as a frame: of pandas where it is installed, which most pipelines were fitted on."""
    import narwhals as nw

    try:
        import pandas as pd
    except ImportError:
        import polars as pl

        return nw.from_native(pl.DataFrame({name: cells.tolist() for name, cells in columns.items()}, strict=False))
    return nw.from_native(pd.DataFrame(columns))


INDEX = ("", "Unnamed: 0", "__index_level_0__")
"""What pandas calls the numbers of the rows, or what is read of them, where it writes them beside the columns."""


def _numbers_rows(cells: pl.Series, names: Sequence[str]) -> bool:
    """Whether a column is pandas' index: without a name, first or last, different whole numbers."""
    import polars as pl

    if cells.name not in INDEX or len(names) < 2 or cells.name not in (names[0], names[-1]):
        return False
    if not _may_hold_numbers(cells.dtype):
        return False
    numbers = cells.cast(pl.Int64, strict=False)
    return not numbers.has_nulls() and numbers.n_unique() == len(numbers)


def _may_hold_numbers(kind: pl.DataType) -> bool:
    import polars as pl

    return kind.is_numeric() or kind in (pl.Boolean, pl.String, pl.Null)


def _not_numeric(odd: Sequence[str], path: str, otherwise: str = _OTHER_COLUMNS) -> UserError:
    return UserError(
        f"Expected numeric columns in {path}, but {listed(odd) or 'there is no column'} "
        f"is not.{other_separator(odd)} {otherwise}"
    )
