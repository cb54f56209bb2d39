from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ListDataset
from outfield.data.sources._files import Broken, Decoding, FileDataset
from outfield.data.sources._rows import column, kept, numbered
from outfield.errors import MissingExtra, UserError

_Numbers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Hub(Source):
    """A data set of the Hugging Face hub, or a folder in one of its formats: pictures, texts or pairs of texts.

    Parameters
    ----------
    repo : str
        The repository, ``owner/name``, or a local folder.
    split : str
    config : str, optional
        The configuration, where the repository has several.
    inputs : tuple of str, optional
        The column of the pictures or texts; two text columns give pairs. By default the first picture column, or
        the first text column.
    label : str, optional
        The column of the labels; None for no labels.
    values : tuple of str, optional
        The class names that are kept, in the order of the classes 0, 1, ....
    channels, side, upright, broken : see ``Folder``

    Raises
    ------
    MissingExtra
        The package ``datasets`` is not installed.
    UserError
        No such repository, split or column.
    """

    repo: str
    split: str = "test"
    config: str | None = None
    inputs: tuple[str, ...] | None = None
    label: str | None = None
    values: tuple[str, ...] | None = None
    channels: int | None = None
    side: int | None = None
    upright: bool = False
    broken: Broken = "refuse"

    def load(self) -> Dataset:
        rows = self._rows()
        names = list(rows.features)
        inputs = [column(names, name, self.repo) for name in self.inputs or (_first_input(rows, self.repo),)]
        labels, classes = self._labels(rows, names)
        where = np.arange(len(rows)) if labels is None else np.flatnonzero(labels >= 0)
        read = self._pictures if _is_picture(rows, inputs[0]) else self._texts
        return read(rows, inputs, where, None if labels is None else labels[where], classes)

    def _pictures(
        self, rows: Any, inputs: list[str], where: _Numbers, labels: _Numbers | None, classes: Sequence[str] | None
    ) -> Dataset:
        whole = FileDataset(
            [f"{self.repo}:{self.split}:{row}" for row in where],
            _Encoded(_undecoded(rows, inputs[0]), where),
            Decoding(self.channels, self.side, self.upright),
            self.repo,
            labels=labels,
            classes=classes,
            left_out=self._other(rows, where),
        )
        return whole.settled(self.broken)

    def _texts(
        self, rows: Any, inputs: list[str], where: _Numbers, labels: _Numbers | None, classes: Sequence[str] | None
    ) -> Dataset:
        texts = list(zip(*(rows[name] for name in inputs), strict=True))
        sound, faults = kept(np.array([all(texts[row]) for row in where]), self.broken, self.repo, "text")
        items = [texts[row] if len(inputs) > 1 else texts[row][0] for row in where[sound]]
        left_out = [*self._other(rows, where), *faults]
        return ListDataset(items, None if labels is None else labels[sound], classes, left_out=left_out)

    def _other(self, rows: Any, where: _Numbers) -> list[str]:
        absent = len(rows) - len(where)
        return [f"{self.repo}: {absent} rows with other labels"] if absent else []

    def _rows(self) -> Any:
        try:
            import datasets
        except ImportError:
            raise MissingExtra("datasets", extra="text") from None
        try:
            return datasets.load_dataset(self.repo, self.config, split=self.split)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"Expected a data set {self.repo!r} with a split {self.split!r}, but got: {reason}. "
                "Mend `repo`, `config` or `split`."
            ) from error

    def _labels(self, rows: Any, names: list[str]) -> tuple[_Numbers | None, Sequence[str] | None]:
        if self.label is None:
            return None, None
        values, known = rows[column(names, self.label, self.repo)], getattr(rows.features[self.label], "names", None)
        if known is not None:
            values = [known[value] if value >= 0 else "" for value in values]
        return numbered(list(values), self.values or known)


@dataclass(frozen=True)
class _Encoded:
    """Bytes of the pictures of a column, by number."""

    column: Any
    where: _Numbers

    def __call__(self, row: int) -> bytes:
        cell = self.column[int(self.where[row])]
        content: bytes = cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()
        return content


def _is_picture(rows: Any, name: str) -> bool:
    return type(rows.features[name]).__name__ == "Image"


def _first_input(rows: Any, repo: str) -> str:
    pictures = [name for name in rows.features if _is_picture(rows, name)]
    texts = [name for name, kind in rows.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")]
    if not pictures + texts:
        raise UserError(f"Expected a column of pictures or texts in {repo}, but it has {', '.join(rows.features)}.")
    return str((pictures + texts)[0])


def _undecoded(rows: Any, name: str) -> Any:
    import datasets

    return rows.cast_column(name, datasets.Image(decode=False))[name]
