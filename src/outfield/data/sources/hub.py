from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ListDataset
from outfield.data.sources._decoding import Decoding
from outfield.data.sources._files import Broken, FileDataset
from outfield.data.sources._rows import Labelled, column, kept, labelled
from outfield.errors import MissingExtra, UserError


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
        The column of the labels; None for no labels. Where all are -1, as in test splits, there are none.
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

    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "tokens"})

    def load(self) -> Dataset:
        rows = self._rows()
        names = list(rows.features)
        inputs = [column(names, name, self.repo) for name in self.inputs or (_first_input(rows, self.repo),)]
        found = self._labels(rows, names)
        read = self._pictures if _is_picture(rows, inputs[0]) else self._texts
        return read(rows, inputs, found)

    def _pictures(self, rows: Any, inputs: list[str], found: Labelled) -> Dataset:
        whole = FileDataset(
            [f"{self.repo}:{self.split}:{row}" for row in found.rows],
            _Encoded(_undecoded(rows, inputs[0]), found.rows),
            Decoding(self.channels, self.side, self.upright),
            self.repo,
            labels=found.numbers,
            classes=found.classes,
            left_out=found.left_out,
        )
        return whole.settled(self.broken)

    def _texts(self, rows: Any, inputs: list[str], found: Labelled) -> Dataset:
        texts = list(zip(*(rows[name] for name in inputs), strict=True))
        has_text = np.array([all(texts[row]) for row in found.rows])
        sound, faults = kept(has_text, self.broken, self.repo, "text", found.rows)
        items = [texts[row] if len(inputs) > 1 else texts[row][0] for row in found.rows[sound]]
        labels = None if found.numbers is None else found.numbers[sound]
        return ListDataset(items, labels, found.classes, left_out=[*found.left_out, *faults])

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

    def _labels(self, rows: Any, names: list[str]) -> Labelled:
        if self.label is None:
            return Labelled(np.arange(len(rows)), None, None, [])
        values, known = rows[column(names, self.label, self.repo)], getattr(rows.features[self.label], "names", None)
        if known is None:
            return labelled(list(values), self.values, self.broken, self.repo)
        named = [None if value is None or value < 0 else known[value] for value in values]
        if not any(named):
            return Labelled(np.arange(len(rows)), None, None, [])
        return labelled(named, self.values or known, self.broken, self.repo)


@dataclass(frozen=True)
class _Encoded:
    """Bytes of the pictures of a column, by number."""

    column: Any
    where: NDArray[np.int64]

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
