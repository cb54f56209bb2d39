from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, ClassVar, TextIO

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ListDataset
from outfield.data.sources._files import Broken, existing
from outfield.data.sources._rows import column, ending, kept, labelled, opened, utf8
from outfield.errors import UserError, reading
from outfield.places import home

BATCH = 1024
"""Rows of a Parquet file that are read at a time."""
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


@dataclass(frozen=True)
class Text(Source):
    """Texts, or pairs of texts, of a table: ``.jsonl``, ``.json``, ``.csv``, ``.tsv``, ``.txt`` (tabs), ``.parquet``.

    All but the last may be gzipped.

    Parameters
    ----------
    path : str
    text : tuple of str
        The column of the text; two columns give pairs. Rows of JSON that are lists have columns ``0``, ``1``, ....
    label : str, optional
        The column of the labels.
    values : tuple of str, optional
        The label values that are kept, in the order of the classes 0, 1, ...; by default all, sorted: give
        them where several files must agree. Rows of other values are left out and counted in ``left_out``.
    under : str, optional
        The entry of a ``.json`` file that holds the rows.
    quotes : bool
        Whether quotation marks enclose fields; False where they are part of the text.
    broken : {"refuse", "leave out"}
        What to do with rows that have no text, or no label where others have one; see ``Table`` for what is no label.

    Raises
    ------
    UserError
        No such file, column, entry or label value; a file of another form; rows without text.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "nli.tsv").write_text("a\\tb\\tgold\\nIt rains.\\tIt is wet.\\te\\n")
    ...     data = Text(folder + "/nli.tsv", text=("a", "b"), label="gold", values=("e", "c")).load()
    ...     data.read(slice(None)), data.labels
    ([('It rains.', 'It is wet.')], array([0]))
    """

    path: str
    text: tuple[str, ...] = ("text",)
    label: str | None = None
    values: tuple[str, ...] | None = None
    under: str | None = None
    quotes: bool = True
    broken: Broken = "refuse"

    modality: ClassVar[frozenset[str]] = frozenset({"tokens"})

    def files(self) -> tuple[Path, ...]:
        return (home(self.path),)

    def load(self) -> Dataset:
        rows = list(self._rows())
        if not rows:
            raise self._empty()
        texts, where, left_out = self._texts(rows)
        labels, classes = None, None
        if self.label is not None:
            values = [self._cell(rows[row], int(row), self.label) for row in where]
            found = labelled(values, self.values, self.broken, self.path, where)
            where, labels, classes = found.rows, found.numbers, found.classes
            left_out += found.left_out
        return ListDataset(self._items(texts, where), labels, classes, left_out=left_out)

    def pieces(self, rows: int) -> Iterator[Dataset]:
        """The texts, so many rows at a time; labels are left out.

        Parameters
        ----------
        rows : int
            Of every piece but the last.

        Raises
        ------
        UserError
            As ``load``.
        """
        found, start = self._rows(), 0
        while part := list(islice(found, rows)):
            texts, where, left_out = self._texts(part, start)
            yield ListDataset(self._items(texts, where), left_out=left_out)
            start += len(part)
        if not start:
            raise self._empty()

    def _texts(
        self, rows: Sequence[Mapping[str, Any]], start: int = 0
    ) -> tuple[list[list[Any]], NDArray[np.int64], list[str]]:
        """The cells of each row, which rows hold text, and what is to be said of the others."""
        texts = [[self._cell(row, number, name) for name in self.text] for number, row in enumerate(rows, start)]
        sound = np.array([all(isinstance(cell, str) and cell.strip() for cell in cells) for cells in texts])
        return texts, *kept(sound, self.broken, self.path, "text", np.arange(start, start + len(rows)))

    def _items(self, texts: Sequence[list[Any]], where: NDArray[np.int64]) -> list[Any]:
        return [texts[row][0] if len(self.text) == 1 else tuple(texts[row]) for row in where]

    def _empty(self) -> UserError:
        return UserError(f"Expected rows in {self.path}, but found none. Point it to a table that holds rows.")

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        file = existing(self.path, "file")
        suffix = ending(file)
        with reading(file, "a table of texts", "Mend it, or save it as UTF-8."):
            if suffix == ".parquet":
                yield from _of_parquet(file)
            else:
                with opened(utf8(file)) as lines:
                    yield from self._parsed(lines, suffix)

    def _parsed(self, lines: TextIO, suffix: str) -> Iterator[Mapping[str, Any]]:
        if suffix == ".jsonl":
            yield from (_row(json.loads(line)) for line in lines if line.strip())
        elif suffix == ".json":
            yield from map(_row, self._entry(json.load(lines)))
        elif suffix in _SEPARATORS:
            enclosed = csv.reader(lines, delimiter=_SEPARATORS[suffix])
            plain = csv.reader(lines, delimiter=_SEPARATORS[suffix], quoting=csv.QUOTE_NONE)
            yield from self._records(enclosed if self.quotes else plain)
        else:
            raise UserError(
                f"Expected a .jsonl, .json, .csv, .tsv or .txt file, but got {self.path}. "
                "Save the texts as one of these."
            )

    def _records(self, table: Iterator[list[str]]) -> Iterator[Mapping[str, Any]]:
        """Rows by the names of the header; cells that a line lacks are None."""
        header = next((cells for cells in table if cells), [])
        for name in (*self.text, *filter(None, [self.label])):
            column(header, name, self.path)
        for number, cells in enumerate(filter(None, table)):
            if any(map(str.strip, cells[len(header) :])):
                raise UserError(
                    f"Expected {len(header)} cells in every row of {self.path}, as the header has, but row {number} "
                    f"(the first is 0) has {len(cells)}: {cells[-1]!r:.40} is beyond. Enclose texts in quotation "
                    "marks, or, where these are part of the text, set `quotes: false`."
                )
            yield dict(zip_longest(header, cells[: len(header)]))

    def _entry(self, content: Any) -> list[Any]:
        if self.under is not None:
            names = list(content) if isinstance(content, dict) else []
            content = content[column(names, self.under, self.path)]
        if not isinstance(content, list):
            has = f"entries {', '.join(content)}" if isinstance(content, dict) else f"a {type(content).__name__}"
            raise UserError(
                f"Expected a list of rows in {self.path}, but got {has}. Name the entry of the rows with `under`."
            )
        return content

    def _cell(self, row: Mapping[str, Any], number: int, name: str) -> Any:
        if name not in row:
            column([str(known) for known in row], name, f"row {number} of {self.path}")
        return row[name]


def _of_parquet(file: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as found:
        for batch in found.iter_batches(BATCH):
            yield from batch.to_pylist()


def _row(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    cells = value if isinstance(value, list) else [value]
    return {str(place): cell for place, cell in enumerate(cells)}
