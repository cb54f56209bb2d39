"""What a user calls data becomes a data set: a path, arrays, texts, a source or a data set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args
from zipfile import ZipFile

import numpy as np

from outfield import registry
from outfield.data import adapters, labels
from outfield.data.base import Dataset, Source
from outfield.data.datasets import name_of, targets_of
from outfield.data.folder_tree import Tree
from outfield.data.member import Category, Member
from outfield.data.sampling import split
from outfield.data.sources._names import is_foreign, is_picture
from outfield.data.sources._rows import ending, header, records
from outfield.data.sources.arrays import names_in
from outfield.data.sources.table import Table
from outfield.data.sources.text import Text
from outfield.data.views import in_order, relabelled, subset, with_targets
from outfield.errors import UserError, listed, reading
from outfield.places import home

CATEGORIES: tuple[str, ...] = get_args(Category)
SHARES = {"train": 0.5, "val": 0.1, "test": 0.4}
"""How one ID set is shared out where no training data are given."""


def dataset(what: Any, target: str | None = None, *, numbers: bool = False) -> Dataset:
    """A data set from a path, a source, ``(items, labels)``, an array, a tensor, a frame, a list or a torch data set.

    A folder holds pictures by class; files are read by their ending: ``.zip`` (pictures), ``.npy`` and ``.npz``
    (arrays, labels of the name ``labels``), ``.tar`` (a shard of WebDataset), ``.jsonl``, ``.json``, ``.csv``,
    ``.tsv``, ``.parquet`` (texts where there is a column ``text``, else columns of numbers and of texts; labels in the
    column ``label``). Everything else, with labels or without, is what ``outfield.data.adapters.dataset_of`` takes.

    Parameters
    ----------
    what : data
    target : str, optional
        Column of a table that holds a number to be predicted, in the place of a label.
    numbers : bool
        What stands beside the items are targets, ``(items, targets)``, and no labels.

    Raises
    ------
    UserError
        None of these, or it cannot be read.

    Examples
    --------
    >>> len(dataset((np.zeros((3, 2)), [0, 1, 1]))), len(dataset(["a text"]))
    (3, 1)
    """
    if isinstance(what, (str, Path)):
        return _loaded(Path(what), target)
    if isinstance(what, Source):
        return what.load()
    if isinstance(what, Dataset):
        return what
    items, named = what if isinstance(what, tuple) and len(what) == 2 else (what, None)
    several = isinstance(what, tuple) and len(what) > 2 and any(hasattr(one, "shape") for one in what)
    if adapters.is_data(items) and not several:
        if numbers and named is not None:
            return with_targets(adapters.dataset_of(items, None), named)
        return adapters.dataset_of(items, named)
    raise UserError(
        "Expected data as a path, a source, a data set, an array, a tensor, a frame, a list, a torch data set, or "
        f"(items, labels), but got {_called(what)}."
    )


def pieces(what: Any, rows: int) -> Iterator[tuple[list[str], Dataset]]:
    """Any data without labels, so many rows at a time, with what each row is called.

    Of tables in ``.parquet``, ``.csv`` and ``.tsv``, and of texts in these and ``.jsonl``, no more than that is in
    memory.

    Parameters
    ----------
    what : data, as of ``dataset``
    rows : int
        Of every piece but the last.

    Raises
    ------
    UserError
        As ``dataset``, where the piece is reached.

    Examples
    --------
    >>> [(names, len(part)) for names, part in pieces(np.zeros((3, 2)), 2)]
    [(['row 0', 'row 1'], 2), (['row 2'], 1)]
    """
    source = _source(home(Path(what))) if isinstance(what, (str, Path)) else None
    if isinstance(source, (Table, Text)):
        start = 0
        for part in source.pieces(rows):
            yield [f"row {row}" for row in range(start, start + len(part))], part
            start += len(part)
        return
    data = source.load() if source is not None else dataset(what)
    for start in range(0, len(data), rows):
        where = np.arange(start, min(start + rows, len(data)))
        yield [name_of(data, int(row)) for row in where], subset(data, where)


def _called(what: Any) -> str:
    """What was given, in words; of a tuple, its parts."""
    if isinstance(what, tuple):
        return f"a tuple of {len(what)}: {', '.join(type(one).__name__ for one in what)}"
    if type(what).__name__ == "DataLoader":
        return "a DataLoader: pass its data set, loader.dataset"
    return type(what).__name__


def _loaded(path: Path, target: str | None) -> Dataset:
    """The data at a path; a table keeps the names of its columns, its gaps and its texts."""
    source = Table(str(home(path)), target=target) if target else _source(home(path))
    return source.as_fitted() if isinstance(source, Table) else source.load()


def _source(path: Path) -> Source:
    kind = "folder" if path.is_dir() else _KINDS.get(ending(path), "")
    if not path.exists() or not kind:
        raise UserError(
            f"Expected data at {path}: a folder of pictures or a file ({', '.join(_KINDS)}), but "
            f"{'that ending is unknown' if path.exists() else 'there is none'}. Check the path."
        )
    columns = _columns(path) if kind == "text" else ()
    if kind == "text" and "text" not in columns:
        kind = "table"
    named = [name for name in sorted(columns, key="label".__ne__) if name.strip().casefold() == "label"]
    params = {"label": named[0]} if named else {}
    if kind in ("folder", "zip") and (inner := _only_folder(path)):
        return _below_only_folder(path, kind, inner)
    if ending(path) == ".npz":
        params = {"labels": "labels"} if "labels" in names_in(path) else {}
    source: Source = registry.create("sources", kind, path=str(path), **params)
    return source


def _only_folder(path: Path) -> str:
    """The one folder that holds all pictures and, in it, their class folders, as archives of a folder have it."""
    names = _picture_names(path)
    inner = ""
    while len(first := {name.split("/")[0] for name in names}) == 1 and all(name.count("/") > 1 for name in names):
        names = [name.partition("/")[2] for name in names]
        inner = f"{inner}/{first.pop()}".strip("/")
    return inner


def _picture_names(path: Path) -> list[str]:
    if path.is_dir():
        found = Tree.below(path, is_foreign).files
    else:
        with reading(path, "a zip archive", "Get it again."), ZipFile(path) as archive:
            found = archive.namelist()
    return [name for name in found if is_picture(name)]


def _below_only_folder(path: Path, kind: str, inner: str) -> Source:
    params = {"path": str(path), "under": inner} if kind == "zip" else {"path": str(path / inner)}
    source: Source = registry.create("sources", kind, **params)
    return source


_KINDS = {
    ".zip": "zip",
    ".npy": "arrays",
    ".npz": "arrays",
    ".jsonl": "text",
    ".json": "text",
    ".csv": "text",
    ".tsv": "text",
    ".parquet": "text",
    ".tar": "webdataset",
}


def _columns(path: Path) -> tuple[str, ...]:
    """The names of a table's columns."""
    import polars as pl

    with reading(path, "a table", "Mend it, or save it as UTF-8."):
        if ending(path) == ".parquet":
            return tuple(pl.read_parquet_schema(path))
        if ending(path) in (".jsonl", ".json"):
            return tuple(dict.fromkeys(name for row in records(path) if isinstance(row, dict) for name in row))
        return tuple(header(path))


def id_splits(
    train: Any, val: Any, test: Any, target: str | None = None, *, numbers: bool = False
) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """Training, validation and test split of the ID data, and what a reader must know of how they were made.

    Without ``train`` the test data are shared out; without ``val`` a tenth is split off the training data. With
    ``numbers`` they have targets in the place of labels, in a table those of the column ``target``.
    """
    _id_set = partial(_answered, target=target, numbers=numbers)
    if test is None:
        raise UserError("Expected ID test data, but got none. Pass id_test=, data with labels.")
    parts: dict[str, Dataset] = {"test": _id_set(test, "id_test")}
    if train is None:
        shares = SHARES if val is None else {"train": 0.6, "test": 0.4}
        parts = dict(split(parts["test"], shares))
        note = "No training data were given: detectors are fitted on a part of the ID test data, measured on another."
        return parts | ({} if val is None else {"val": _id_set(val, "id_val")}), (note,)
    parts["train"] = _id_set(train, "id_train")
    if val is not None:
        return parts | {"val": _id_set(val, "id_val")}, ()
    cut = split(parts["train"], {"train": 0.9, "val": 0.1})
    return parts | dict(cut), ("ID-val is split off the training data, which the model may have seen.",)


SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})


def _answered(what: Any, name: str, *, target: str | None, numbers: bool) -> Dataset:
    """ID data, which have targets, or labels: those of classes, not of splits."""
    data = dataset(what, target, numbers=numbers)
    where = str(what) if isinstance(what, (str, Path)) else name
    if numbers and targets_of(data) is None:
        raise UserError(
            f"Expected numbers to predict in {where}, but found none. Name the column of a table as target; in Python, "
            "pass (items, targets)."
        )
    if numbers:
        return data
    if data.labels is None:
        raise UserError(
            f"Expected labels of the ID data in {where}, but found none. They are the folders of pictures, the column "
            "'label' of a table, the array 'labels' of a .npz, key.cls in a .tar; in Python, pass (items, labels)."
        )
    if data.classes and {one.casefold() for one in data.classes} <= SPLITS:
        raise UserError(
            f"Expected a folder for each class in {where}, but its folders {listed(data.classes)} look like "
            "splits. Pass each as data of its own: id_train=, id_val=, id_test=, or --id-train and --id."
        )
    return data


def ood_members(ood: Mapping[str, Any], target: str | None = None, *, numbers: bool = False) -> tuple[Member, ...]:
    """OOD sets with names and categories.

    Parameters
    ----------
    ood : mapping
        A category (near, far, extreme, synthetic) to data, to a list of data or to a mapping of names to data; or a
        name to ``(category, data)``.
    target : str, optional
        Column of tables that is no input.
    numbers : bool
        What stands beside items are targets, and no labels.

    Raises
    ------
    UserError
        No set, an unknown category, a name that is used twice.

    Examples
    --------
    >>> one = ood_members({"near": {"mine": np.zeros((2, 3))}, "theirs": ("far", np.ones((2, 3)))})
    >>> [(member.name, member.category) for member in one]
    [('mine', 'near'), ('theirs', 'far')]
    """
    if not isinstance(ood, Mapping):
        raise UserError(
            f"Expected OOD sets under their categories ({', '.join(CATEGORIES)}), but got {_called(ood)}. "
            "Pass, say, ood={'far': data}."
        )
    members = tuple(
        Member(name, "ood", _foreign(what, target, numbers=numbers), category)
        for key in ood
        for name, category, what in _named(key, ood[key])
    )
    names = [member.name for member in members]
    if not members or len({*names, *SHARES}) < len(names) + len(SHARES):
        raise UserError(
            f"Expected OOD sets of different names, none of them {', '.join(SHARES)}, but got "
            f"{', '.join(names) or 'none'}. Pass them with names: ood={{'near': {{'NAME': data}}}}."
        )
    return members


def _foreign(what: Any, target: str | None, *, numbers: bool) -> Dataset:
    """OOD data; what of a table would be the target is no input."""
    of_table = target is not None and isinstance(what, (str, Path)) and target in _columns(home(Path(what)))
    return dataset(what, target if of_table else None, numbers=numbers)


def _named(key: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    """Name, category and data of what stands under a key."""
    if key not in CATEGORIES:
        if not (isinstance(value, tuple) and len(value) == 2 and value[0] in CATEGORIES):
            raise UserError(
                f"Expected a category of OOD sets ({', '.join(CATEGORIES)}), or a name with (category, data), but got "
                f"{key!r}. Pass, say, ood={{'far': data}}."
            )
        yield key, value[0], value[1]
    elif isinstance(value, Mapping):
        yield from ((name, key, what) for name, what in value.items())
    elif isinstance(value, list) and not _items(value):
        yield from ((_name(what, f"{key} {i}"), key, what) for i, what in enumerate(value, 1))
    else:
        yield _name(value, key), key, value


def _items(value: list[Any]) -> bool:
    """Whether a list is one data set of texts, pairs, pictures or records, rather than a list of paths or data sets."""
    return all(isinstance(item, str) and not _is_path(item) for item in value) or all(map(adapters.is_item, value))


def _is_path(text: str) -> bool:
    """Whether a text is a path: something is there, or it ends as a file of data does and has no blank."""
    try:
        return home(text).exists() or (ending(Path(text)) in _KINDS and not re.search(r"\s", text))
    except (OSError, ValueError, UserError):
        return False


def _name(what: Any, otherwise: str) -> str:
    if isinstance(what, (str, Path)):
        return name_of_path(Path(what))
    return type(what).__name__.lower() if isinstance(what, Source) else otherwise


def name_of_path(path: Path) -> str:
    """What the data at a path are called: the last part, with the one before where that only says a split.

    Examples
    --------
    >>> name_of_path(Path("data/kmnist.zip")), name_of_path(Path("data/kmnist/test"))
    ('kmnist', 'kmnist test')
    """
    path = path.resolve()
    return f"{path.parent.name} {path.stem}" if path.stem in SHARES else path.stem


def kind_of(data: Dataset) -> str:
    """What the inputs are: ``image``, ``text`` or ``tabular``.

    Examples
    --------
    >>> kind_of(dataset(["a film"])), kind_of(dataset(np.zeros((2, 3))))
    ('text', 'tabular')
    """
    first = data.read(slice(0, 1))[0]
    if isinstance(first, Mapping):
        return "tabular"
    if not isinstance(first, np.ndarray):
        return "text"
    return "image" if first.ndim == 3 else "tabular"


@dataclass(frozen=True)
class Aligned:
    """ID data with labels in the model's order, the names of its classes, and what a reader must know of them."""

    parts: dict[str, Dataset]
    classes: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


def aligned(
    parts: Mapping[str, Dataset], model: Sequence[str] | None, classes: Any = None, outputs: int | None = None
) -> Aligned:
    """ID data with labels in the model's order of classes: by name where both name them, else by number, which is told.

    Names are compared without case, with spaces, underscores and hyphens alike. A model that has no names, or 0, 1, ...
    or LABEL_0, LABEL_1, ... for names, takes the data's classes by number. Labels without names are numbers of the
    model's outputs, or its own label values where it was fitted on whole numbers (1, 2, 3).

    Parameters
    ----------
    parts : data sets by name, whose classes may be named in different orders
    model : names of the model's classes, or None
    classes : names of the outputs, in their place; or a mapping of the data's names to the model's names or numbers
    outputs : how many outputs the model has, where that is known: it tells numbers of outputs from other numbers

    Raises
    ------
    UserError
        Rows of classes that the model does not have; names that cannot be told apart; a mapping of other names.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> data = ArrayDataset(np.eye(2), labels=[0, 1], classes=["entailment", "neutral"])
    >>> aligned({"test": data}, ("NEUTRAL", "ENTAILMENT")).parts["test"].labels
    array([1, 0])
    """
    named, mapped = labels.mapping(classes)
    known = named or (None if model is None else tuple(model))
    own = tuple(dict.fromkeys(name for one in parts.values() if one.labels is not None for name in one.classes or ()))
    if strange := [name for name in mapped if labels.places([name], own, "the data")[0] < 0]:
        raise UserError(
            f"Expected classes of the data to map, but they do not have {listed(strange)}: they have "
            f"{listed(own) or 'no names'}. Mend the mapping."
        )
    _check_alike(parts)
    if not own:
        taken = _by_value(parts, known)
        return Aligned(taken, known, () if taken != dict(parts) else tuple(_numbered(known)))
    if mapped or not labels.numbers_only(known):
        return Aligned({role: in_order(one, known, mapped) for role, one in parts.items()}, class_names(known, None))
    return _by_number(parts, own, known, outputs)


def _check_alike(parts: Mapping[str, Dataset]) -> None:
    """Of two sets of labels, names on one side and numbers on the other, nobody knows which name is which number."""
    words = [role for role, one in parts.items() if one.labels is not None and not labels.numbers_only(one.classes)]
    numbered = [role for role, one in parts.items() if one.labels is not None and one.classes is None]
    if words and numbered:
        raise UserError(
            f"Expected names of classes in all ID data, or in none, but those of {' and '.join(words)} have names, and "
            f"those of {' and '.join(numbered)} numbers. Which name a number means is not known: label them alike."
        )


def _by_value(parts: Mapping[str, Dataset], known: tuple[str, ...] | None) -> dict[str, Dataset]:
    """Labels without names, where they are the model's own label values, as numbers of its outputs."""
    sets = [one.labels for one in parts.values() if one.labels is not None]
    if not sets or labels.by_value(np.concatenate(sets), known) is None:
        return dict(parts)
    return {
        role: one if one.labels is None else relabelled(one, labels.by_value(one.labels, known), known)
        for role, one in parts.items()
    }


def _by_number(
    parts: Mapping[str, Dataset], own: tuple[str, ...], known: tuple[str, ...] | None, outputs: int | None
) -> Aligned:
    """The data's classes as the outputs of a model that has numbers for names."""
    numbers = tuple(map(str, range(outputs or len(known or own))))
    if (known or outputs) and (labels.places(own, numbers) >= 0).any():
        return Aligned({role: in_order(one, numbers) for role, one in parts.items()}, known or numbers)
    order = max((one.classes or () for one in parts.values() if one.labels is not None), key=len)
    _check_order(order)
    told = {role: in_order(one, order, of="the ID data") for role, one in parts.items()}
    note = (
        f"The model does not name its classes, so those of the data are taken by number: {_shown(order)}. Where its "
        "outputs stand in another order, name them: classes=[...], or --classes."
    )
    return Aligned(told, class_names(known, order), () if order == numbers[: len(order)] else (note,))


def _numbered(known: tuple[str, ...] | None) -> Iterator[str]:
    """What a reader must know where the model names its classes and the data number theirs."""
    if known is not None and not labels.numbers_only(known):
        yield (
            f"The labels are numbers, taken as places of the model's classes: {_shown(known)}. Where they mean others, "
            "pass names as labels."
        )


def _shown(order: tuple[str, ...]) -> str:
    shown = ", ".join(f"{number} = {name}" for number, name in enumerate(order[:NAMED]))
    return shown + (f", ... {len(order) - 1} = {order[-1]}" if len(order) > NAMED else "")


NAMED = 10
"""Classes that a note shows."""


def _check_order(order: tuple[str, ...]) -> None:
    """Class folders 0, 1, 10, 2 are sorted as words, as torchvision sorts them: their numbers say another order."""
    by_size = labels.ordered(order)
    if all(map(labels.is_number, order)) and order != by_size:
        raise UserError(
            f"Expected classes in one order, but by number they are {listed(by_size)}, and as words, as folders "
            f"are sorted, {listed(order)}; the model does not name its outputs. Name them in their order: "
            "classes=[...], or --classes."
        )


def class_names(model: tuple[str, ...] | None, data: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What the classes are called: as the model says, or as the data do where the model knows them by number alone.

    Examples
    --------
    >>> class_names(("0", "1"), ("cat", "dog")), class_names(("dog", "cat"), ("cat", "dog"))
    (('cat', 'dog'), ('dog', 'cat'))
    """
    numbered = labels.numbers_only(model)
    return data if numbered and data is not None and (model is None or len(data) == len(model)) else model
