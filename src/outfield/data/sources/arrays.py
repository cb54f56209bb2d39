from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.labels import unless_unlabelled
from outfield.data.sources._rows import labelled
from outfield.errors import NotThere, UserError


@dataclass(frozen=True)
class Arrays(Source):
    """Pictures or feature vectors in a ``.npy`` file (memory-mapped) or in a ``.npz`` archive.

    Parameters
    ----------
    path : str
        The file of the items: [n, H, W], [n, H, W, C] (uint8, or float in [0, 1]) or [n, D].
    items : str, optional
        The name of the items in an archive; needed where it is not the only array beside the labels.
    labels : str, optional
        The name of the labels in the archive, or the path of a ``.npy`` file with them; None for no labels. They are
        numbers of classes or, as texts, their names; where all are -1, there are none.
    classes : tuple of str, optional
        Names of the classes 0, 1, ....

    Raises
    ------
    UserError
        No such file or array, an unreadable file, pickled objects, NaN, labels of another length.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(folder + "/set.npz", images=np.zeros((2, 4, 4), np.uint8), labels=[0, 1])
    ...     len(Arrays(folder + "/set.npz", labels="labels").load())
    2
    """

    path: str
    items: str | None = None
    labels: str | None = None
    classes: tuple[str, ...] | None = None

    def files(self) -> tuple[Path, ...]:
        return tuple(
            Path(name) for name in (self.path, self.labels) if name and (name == self.path or name[-4:] == ".npy")
        )

    def load(self) -> Dataset:
        content = _content(Path(self.path))
        if isinstance(content, np.ndarray):
            return self._labelled(content, None if self.labels is None else _array(Path(self.labels)))
        return self._labelled(self._chosen(content), None if self.labels is None else self._labels(content))

    def _labelled(self, items: NDArray[Any], labels: NDArray[Any] | None) -> Dataset:
        """The items with their labels: numbers of classes, or, as texts, their names; none where all are -1."""
        if labels is None:
            return ArrayDataset(items, None, self.classes)
        if labels.dtype.kind in "US" and labels.ndim == 1 and len(labels) == len(items):
            found = labelled(labels.tolist(), self.classes, "refuse", self.path)
            return ArrayDataset(items[found.rows], found.numbers, found.classes, left_out=found.left_out)
        checked = ArrayDataset(items, labels, self.classes)
        if checked.labels is not None:
            checked.labels = unless_unlabelled(checked.labels)
        return checked

    def _chosen(self, archive: dict[str, NDArray[Any]]) -> NDArray[Any]:
        others = [name for name in archive if name != self.labels]
        name = self.items or (others[0] if len(others) == 1 else "images" if "images" in others else None)
        if name is None or name not in archive:
            raise UserError(
                f"Expected an array {name or 'of items'} in {self.path}, but it has {', '.join(archive)}. "
                "Name the items with `items` and the labels with `labels`."
            )
        return archive[name]

    def _labels(self, archive: dict[str, NDArray[Any]]) -> NDArray[Any]:
        if self.labels in archive:
            return archive[self.labels]
        if self.labels and self.labels.endswith(".npy"):
            return _array(Path(self.labels))
        raise UserError(
            f"Expected labels {self.labels!r} in {self.path}, but it has {', '.join(archive)}. Name one of these."
        )


def _array(path: Path) -> NDArray[Any]:
    content = _content(path)
    if isinstance(content, dict):
        raise UserError(f"Expected a .npy file of labels, but {path} is an archive. Name a .npy file.")
    return content


def _content(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    if not path.is_file():
        raise NotThere(f"Expected a .npy or .npz file at {path}, but there is none. Mend the path.")
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
                return array
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        pickled = "pickle" in str(error).lower() or "Python objects" in str(error)
        raise UserError(
            f"Expected arrays of numbers in {path}, but "
            + ("got pickled objects, which are never loaded. " if pickled else f"could not read it ({error}). ")
            + "Save plain arrays with numpy.save or numpy.savez."
        ) from error
