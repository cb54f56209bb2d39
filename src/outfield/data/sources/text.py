from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ListDataset
from outfield.data.sources._files import Broken, existing
from outfield.data.sources._rows import column, kept, numbered
from outfield.errors import UserError

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


@dataclass(frozen=True)
class Text(Source):
    """Texts, or pairs of texts, of a table: ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.txt`` (tabs), also gzipped.

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
        What to do with rows that have no text.

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

    def files(self) -> tuple[Path, ...]:
        return (Path(self.path).expanduser(),)

    def load(self) -> Dataset:
        rows = self._rows()
        texts = [[self._cell(row, number, name) for name in self.text] for number, row in enumerate(rows)]
        sound = np.array([all(isinstance(cell, str) and cell.strip() for cell in cells) for cells in texts])
        where, left_out = kept(sound, self.broken, self.path, "text")
        labels, classes = None, None
        if self.label is not None:
            known, classes = numbered([self._cell(rows[row], int(row), self.label) for row in where], self.values)
            left_out += self._unlabelled(known)
            where, labels = where[known >= 0], known[known >= 0]
        items = [texts[row][0] if len(self.text) == 1 else tuple(texts[row]) for row in where]
        return ListDataset(items, labels, classes, left_out=left_out)

    def _rows(self) -> list[Mapping[str, Any]]:
        file = existing(self.path, "file")
        try:
            with _opened(file) as lines:
                rows = list(self._parsed(lines, Path(file.name.removesuffix(".gz")).suffix.lower()))
        except (csv.Error, json.JSONDecodeError, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise UserError(
                f"Expected a table of texts in {file}, but could not read it ({error}). Mend it."
            ) from error
        if not rows:
            raise UserError(f"Expected rows in {file}, but found none. Point it to a table that holds rows.")
        return rows

    def _parsed(self, lines: TextIO, suffix: str) -> Iterator[Mapping[str, Any]]:
        if suffix == ".jsonl":
            yield from (_row(json.loads(line)) for line in lines if line.strip())
        elif suffix == ".json":
            yield from map(_row, self._entry(json.load(lines)))
        elif suffix in _SEPARATORS:
            separator = _SEPARATORS[suffix]
            if self.quotes:
                yield from csv.DictReader(lines, delimiter=separator)
            else:
                yield from csv.DictReader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
        else:
            raise UserError(
                f"Expected a .jsonl, .json, .csv, .tsv or .txt file, but got {self.path}. "
                "Save the texts as one of these."
            )

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

    def _unlabelled(self, labels: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
        absent = int((labels < 0).sum())
        if absent == len(labels):
            raise UserError(
                f"Expected rows labelled {', '.join(self.values or ())} in {self.path}, but found none. Mend `values`."
            )
        return [f"{self.path}: {absent} rows with other labels than {', '.join(self.values or ())}"] if absent else []


def _opened(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _row(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    cells = value if isinstance(value, list) else [value]
    return {str(place): cell for place, cell in enumerate(cells)}
