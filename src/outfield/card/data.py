"""What a user calls data becomes a data set: a path, arrays, texts, a source or a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from outfield import registry
from outfield.data import forms
from outfield.data.base import Dataset, Source
from outfield.data.datasets import Rows, relabelled, split
from outfield.errors import UserError
from outfield.studies.sets import Member
from outfield.studies.spec import Category

CATEGORIES: tuple[str, ...] = get_args(Category)
SHARES = {"train": 0.5, "val": 0.1, "test": 0.4}
"""How one ID set is shared out where no training data are given."""


def dataset(what: Any) -> Dataset:
    """A data set from a path, a source, ``(items, labels)``, an array, a tensor, a frame, a list or a torch data set.

    A folder holds pictures by class; files are read by their ending: ``.zip`` (pictures), ``.npy`` and ``.npz``
    (arrays, labels of the name ``labels``), ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` (texts where there is a column
    ``text``, else numbers; labels in the column ``label``), ``.parquet`` (numbers). Everything else, with labels or
    without, is what ``outfield.data.forms.dataset_of`` takes.

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
        return _loaded(Path(what))
    if isinstance(what, Source):
        return what.load()
    if isinstance(what, Dataset):
        return what
    items, labels = what if isinstance(what, tuple) and len(what) == 2 else (what, None)
    several = isinstance(what, tuple) and len(what) > 2 and any(hasattr(one, "shape") for one in what)
    if forms.is_data(items) and not several:
        return forms.dataset_of(items, labels)
    raise UserError(
        "Expected data as a path, a source, a data set, an array, a tensor, a frame, a list, a torch data set, or "
        f"(items, labels), but got {_called(what)}."
    )


def _called(what: Any) -> str:
    """What was given, in words; of a tuple, its parts."""
    if isinstance(what, tuple):
        return f"a tuple of {len(what)}: {', '.join(type(one).__name__ for one in what)}"
    if type(what).__name__ == "DataLoader":
        return "a DataLoader: pass its data set, loader.dataset"
    return type(what).__name__


def _loaded(path: Path) -> Dataset:
    """The data at a path; a table of numbers keeps the names of its columns."""
    source = _source(path)
    data = source.load()
    if registry.name_of("sources", source) != "table" or not isinstance(data, Rows):
        return data
    return forms.ColumnedDataset(data, [name for name in _columns(path) if name != getattr(source, "label", None)])


def _source(path: Path) -> Source:
    kind = "folder" if path.is_dir() else _KINDS.get(path.suffix, "")
    if not path.exists() or not kind:
        raise UserError(
            f"Expected data at {path}: a folder of pictures or a file ({', '.join(_KINDS)}), but "
            f"{'that ending is unknown' if path.exists() else 'there is none'}. Check the path."
        )
    columns = _columns(path) if kind == "text" else ()
    if kind == "text" and "text" not in columns:
        kind = "table"
    params = {"label": "label"} if "label" in columns else {}
    if path.suffix == ".npz":
        with np.load(path) as archive:
            params = {"labels": "labels"} if "labels" in archive.files else {}
    source: Source = registry.create("sources", kind, path=str(path), **params)
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
}


def _columns(path: Path) -> tuple[str, ...]:
    """The names of a table's columns."""
    import polars as pl

    if path.suffix == ".parquet":
        return tuple(pl.read_parquet_schema(path))
    if path.suffix in (".jsonl", ".json"):
        read = pl.read_ndjson if path.suffix == ".jsonl" else pl.read_json
        return tuple(read(path).columns)
    return tuple(pl.read_csv(path, separator="\t" if path.suffix == ".tsv" else ",", n_rows=1).columns)


def id_splits(train: Any, val: Any, test: Any) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """Training, validation and test split of the ID data, and what a reader must know of how they were made.

    Without ``train`` the test data are shared out; without ``val`` a tenth is split off the training data.
    """
    if test is None:
        raise UserError("Expected ID test data, but got none. Pass id_test=, data with labels.")
    parts: dict[str, Dataset] = {"test": dataset(test)}
    if train is None:
        shares = SHARES if val is None else {"train": 0.6, "test": 0.4}
        parts = dict(split(parts["test"], shares))
        note = "No training data were given: detectors are fitted on a part of the ID test data, measured on another."
        return parts | ({} if val is None else {"val": dataset(val)}), (note,)
    parts["train"] = dataset(train)
    if val is not None:
        return parts | {"val": dataset(val)}, ()
    cut = split(parts["train"], {"train": 0.9, "val": 0.1})
    return parts | dict(cut), ("ID-val is split off the training data, which the model may have seen.",)


def ood_members(ood: Mapping[str, Any]) -> tuple[Member, ...]:
    """OOD sets with names and categories.

    Parameters
    ----------
    ood : mapping
        A category (near, far, extreme, synthetic) to data, to a list of data or to a mapping of names to data; or a
        name to ``(category, data)``.

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
        Member(name, "ood", dataset(what), category) for key in ood for name, category, what in _named(key, ood[key])
    )
    names = [member.name for member in members]
    if not members or len({*names, *SHARES}) < len(names) + len(SHARES):
        raise UserError(
            f"Expected OOD sets of different names, none of them {', '.join(SHARES)}, but got "
            f"{', '.join(names) or 'none'}. Pass them with names: ood={{'near': {{'NAME': data}}}}."
        )
    return members


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
    elif isinstance(value, list) and not _texts(value):
        yield from ((_name(what, f"{key} {i}"), key, what) for i, what in enumerate(value, 1))
    else:
        yield _name(value, key), key, value


def _texts(value: list[Any]) -> bool:
    """Whether a list is one data set of texts rather than a list of paths or data sets."""
    return all(isinstance(item, str) and not Path(item).exists() for item in value)


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


def aligned(data: Dataset, classes: tuple[str, ...] | None) -> Dataset:
    """The data with labels in the model's order of classes, where both name their classes.

    Raises
    ------
    UserError
        Some of the data's classes are the model's, and others are not.
    """
    own = data.classes
    if classes is None or own is None or data.labels is None or own == classes:
        return data
    known = set(own) & set(classes)
    if not known:
        return data
    if absent := [name for name in own if name not in known]:
        raise UserError(
            f"Expected classes that the model knows, but it does not know {', '.join(absent[:5])}. "
            "Leave their inputs out of the ID data, or name the model's classes: classes=[...]."
        )
    order = np.array([classes.index(name) for name in own])
    return relabelled(data, order[data.labels], classes)


def by_value(data: Dataset, values: NDArray[Any] | None) -> Dataset:
    """The data with labels counted from 0, where a classifier was fitted on other numbers (1, 2, 3) and these are such.

    Parameters
    ----------
    values : array, optional
        The labels that the classifier was fitted on, where they are numbers other than 0, 1, ...

    Raises
    ------
    UserError
        A label that the classifier was not fitted on.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> by_value(ArrayDataset(np.zeros((2, 1)), [3, 1]), np.array([1, 2, 3])).labels
    array([2, 0])
    """
    if values is None or data.labels is None or data.classes is not None:
        return data
    if unknown := sorted(set(data.labels.tolist()) - set(values.tolist())):
        raise UserError(
            f"Expected labels that the classifier was fitted on ({_some(values)}), but got {_some(unknown)} too. "
            "Leave those inputs out of the ID data, or label them as in training."
        )
    return relabelled(data, np.searchsorted(values, data.labels))


def _some(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in list(values)[:5]) + (", ..." if len(values) > 5 else "")


def class_names(model: tuple[str, ...] | None, data: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What the classes are called: as the model says, or as the data do where the model knows them by number alone.

    Examples
    --------
    >>> class_names(("0", "1"), ("cat", "dog")), class_names(("dog", "cat"), ("cat", "dog"))
    (('cat', 'dog'), ('dog', 'cat'))
    """
    numbered = model is None or model == tuple(map(str, range(len(model))))
    return data if numbered and data is not None and (model is None or len(data) == len(model)) else model
