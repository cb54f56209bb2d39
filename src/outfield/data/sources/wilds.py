from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outfield.data import views
from outfield.data.base import Dataset, Source
from outfield.data.datasets import ListDataset
from outfield.data.labels import ordered
from outfield.data.sources._decoding import Decoding
from outfield.data.sources._files import FileDataset, Paths, existing
from outfield.data.sources._rows import column
from outfield.data.sources._wilds import EVERY, LAYOUTS, SPLITS, Layout
from outfield.errors import NotThere, UserError, listed, reading
from outfield.places import home


@dataclass(frozen=True)
class Wilds(Source):
    """One split of a folder in the format of WILDS: a table of metadata beside pictures or texts [1].

    The published folders of camelyon17, waterbirds and civilcomments are known by their columns, with their official
    splits. Any other folder has a ``metadata.csv`` with a column ``split`` that holds the names of the splits, and says
    the rest: ``label``, ``file`` (or ``text``) and ``group``. Groups are kept with the rows, so that a study measures
    each of them: ``worst_group`` reads that.

    Parameters
    ----------
    path : str
        The folder, as it is unpacked (``camelyon17_v1.0``).
    split : {"train", "id_val", "id_test", "val", "test", "all"}
        The first three are of the training domains; ``val`` and ``test`` of others, where the data set has such.
    group : tuple of str, optional
        Columns of the metadata whose values, together, make a group: a hospital, or a background and a label. By
        default the data set's own domains: hospital; background and label; ``black`` and label.
    label, file, text : str, optional
        Columns of a folder that is not known: the class, and the path of the picture below the folder, or the text.
    channels, side
        As in ``folder``.

    Raises
    ------
    UserError
        No such folder or table; a column or a split that it does not have; broken pictures.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as path:
    ...     table = "split,site,y,note\\ntrain,0,ill,cough\\ntrain,1,well,none\\ntest,2,ill,fever\\n"
    ...     _ = Path(path, "metadata.csv").write_text(table)
    ...     data = Wilds(path, "train", group=("site",), label="y", text="note").load()
    ...     data.labels, data.groups, data.group_names, data.read(slice(None))
    (array([0, 1]), array([0, 1]), ('site 0', 'site 1', 'site 2'), ['cough', 'none'])

    References
    ----------
    [1] Koh, Sagawa et al. WILDS: A Benchmark of in-the-Wild Distribution Shifts. ICML 2021.
    """

    path: str
    split: str = "train"
    group: tuple[str, ...] = ()
    label: str | None = None
    file: str | None = None
    text: str | None = None
    channels: int | None = None
    side: int | None = None

    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "tokens"})

    def __post_init__(self) -> None:
        if self.split not in (*SPLITS, EVERY):
            known = ", ".join((*SPLITS, EVERY))
            raise UserError(f"Expected a split among {known}, but got {self.split!r}. Choose one of them.")

    def whole(self) -> Wilds:
        return replace(self, split=EVERY)

    def files(self) -> tuple[Path, ...]:
        return (home(self.path),)

    def load(self) -> Dataset:
        root = existing(self.path, "folder")
        where, table = _metadata(root)
        layout = self._layout(table, where)
        splits = table.with_row_index("row").with_columns(
            _split=layout.split(), _label=_value(layout.label, layout), _item=layout.item()
        )
        classes = ordered(map(str, splits["_label"].drop_nulls().unique()))
        groups, names = _groups(splits, self.group or layout.group, layout, where)
        shown = splits["_split"].is_in(SPLITS) if self.split == EVERY else splits["_split"] == self.split
        rows = np.flatnonzero(shown.fill_null(False).to_numpy())
        if not len(rows):
            there = listed(sorted(splits["_split"].drop_nulls().unique()))
            raise UserError(
                f"Expected rows of the split {self.split!r} in {where}, but it has {there}. Name one of these."
            )
        chosen = splits[rows]
        if unknown := chosen.filter(pl.col("_label").is_null() | pl.col("_item").is_null()).height:
            raise UserError(f"Expected a label and an item in every row of {where}, but {unknown} lack one. Mend them.")
        number = {name: place for place, name in enumerate(classes)}
        labels = [number[one] for one in chosen["_label"].to_list()]
        items = chosen["_item"].to_list()
        texts = ListDataset(items, labels=labels, classes=classes) if layout.text else None
        return views.in_groups(texts or self._pictures(root, items, labels, classes), groups[rows], names)

    def _pictures(self, root: Path, items: list[str], labels: list[int], classes: tuple[str, ...]) -> Dataset:
        files = [root / item for item in items]
        if absent := [str(one) for one in files if not one.is_file()]:
            raise NotThere(
                f"Expected {len(files)} pictures in {root}, but {len(absent)} are not there: {listed(absent)}. "
                "Unpack them there, or mend the path."
            )
        decoding = Decoding(self.channels, self.side)
        return FileDataset(list(map(str, files)), Paths(files), decoding, str(root), labels=labels, classes=classes)

    def _layout(self, table: pl.DataFrame, where: str) -> Layout:
        """The known layout that the table has, or the one that is named."""
        known = next((one for one in LAYOUTS.values() if one.columns <= set(table.columns)), None)
        if known is not None and not (self.label or self.file or self.text):
            return known
        if not self.label or bool(self.file) == bool(self.text):
            raise UserError(
                f"Expected a folder of {', '.join(LAYOUTS)}, but the columns of {where} are {listed(table.columns)}. "
                "Say what they are: label, group, and file or text."
            )
        for name in ("split", self.label, self.file or self.text, *self.group):
            column(table.columns, str(name), where)
        item = str(self.file or self.text)
        group, text = self.group or (self.label,), bool(self.text)
        return Layout("", frozenset(), self.label, lambda: pl.col("split"), lambda: pl.col(item), group, text)


def _metadata(root: Path) -> tuple[str, pl.DataFrame]:
    """The table of a folder, its cells as they stand, and what it is called."""
    for name in dict.fromkeys(["metadata.csv", *(one.metadata for one in LAYOUTS.values())]):
        if (file := root / name).is_file():
            with reading(file, "a table of commas"):
                return str(file), pl.read_csv(file, infer_schema=False)
    raise NotThere(f"Expected the table metadata.csv in {root}, but there is none. Point the path to the data set.")


def _value(name: str, layout: Layout) -> pl.Expr:
    """A cell; 0 or 1 where the cells are shares of raters."""
    if layout.yes_from is None or name not in (layout.label, *layout.identities):
        return pl.col(name)
    return (pl.col(name).cast(pl.Float64, strict=False) >= layout.yes_from).cast(pl.Int64).cast(pl.String)


def _groups(
    table: pl.DataFrame, columns: tuple[str, ...], layout: Layout, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The number of each row's group, and their names: of all splits, so that a group has one number everywhere."""
    for name in columns:
        column(table.columns, name, where)
    named = [pl.format("{} {}", pl.lit(name), _value(name, layout).fill_null("unknown")) for name in columns]
    titles = table.select(pl.concat_str(named, separator=", "))[:, 0].to_list()
    names = ordered(dict.fromkeys(titles))
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[title] for title in titles], dtype=np.int64), tuple(names)
