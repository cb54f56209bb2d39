"""What users hold data in becomes a data set: arrays, tensors, frames, pictures, records, torch data sets.

Nothing here imports torch, pandas or PIL: their objects are told by what they offer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outfield.data import labels as labelling
from outfield.data.base import Dataset, Items
from outfield.data.datasets import ArrayDataset, ListDataset, Rows, about, stack
from outfield.errors import UserError, listed, reading

LABEL, TEXT = "label", "text"
"""Columns of a frame that hold the labels and the texts, as in files."""
LARGEST = 1 << 28
"""Most numbers that a sparse matrix is unpacked to."""
HINT = "Pass (items, labels): an array, a tensor, a frame, a list of pictures or texts; or a torch data set."


class Records(list[dict[str, Any]]):
    """Rows of a frame: a mapping of column to value each, with the frame that they come from."""

    def __init__(self, rows: Sequence[dict[str, Any]], frame: Any) -> None:
        super().__init__(rows)
        self.frame = frame


class FrameDataset(Rows):
    """Rows of a frame, which keeps its library, its columns and their types.

    Parameters
    ----------
    frame : narwhals frame
    labels, classes, left_out, targets, groups, group_names : see ``Rows``

    Examples
    --------
    >>> import narwhals, polars
    >>> data = FrameDataset(narwhals.from_native(polars.DataFrame({"age": [30, 40], "town": ["Bern", "Oslo"]})))
    >>> data.read(slice(0, 1))
    [{'age': 30, 'town': 'Bern'}]
    """

    def __init__(
        self,
        frame: Any,
        labels: NDArray[np.int64] | None = None,
        classes: Any = None,
        left_out: Sequence[str] = (),
        **more: Any,
    ) -> None:
        super().__init__(len(frame), labels, classes, left_out=left_out, **more)
        self.frame = frame

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        some = self.frame[self._where(rows).tolist()]
        return Records([{str(name): value for name, value in row.items()} for row in some.iter_rows(named=True)], some)


class Columned(np.ndarray[Any, Any]):
    """Rows of numbers that know the names of their columns."""

    columns: tuple[str, ...] = ()


class ColumnedDataset(Rows):
    """Rows of numbers of a table, with the names of their columns.

    Parameters
    ----------
    of : Dataset
        Of rows [n, D].
    columns : sequence of str

    Examples
    --------
    >>> ColumnedDataset(dataset_of(np.zeros((2, 1))), ["age"]).read(slice(0, 1)).columns
    ('age',)
    """

    def __init__(self, of: Rows, columns: Sequence[str]) -> None:
        super().__init__(len(of), **about(of))
        self.of, self.columns = of, tuple(columns)

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        values = np.asarray(self.of.read(rows)).view(Columned)
        values.columns = self.columns
        return values

    def name_of(self, row: int) -> str:
        return self.of.name_of(row)

    @cached_property
    def row_keys(self) -> NDArray[np.str_]:
        return self.of.row_keys


class MappedDataset(Rows):
    """A torch data set of items, or of (item, label) pairs, that is read when it is asked for.

    Parameters
    ----------
    of : object with ``__getitem__`` and ``__len__``
    labels, classes : see ``Rows``
    """

    def __init__(self, of: Any, labels: Any = None, classes: Any = None) -> None:
        super().__init__(len(of), labels, classes)
        self.of = of

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        return stack([item(_apart(self.of[int(row)])[0]) for row in self._where(rows)])

    @cached_property
    def random(self) -> bool:
        """Whether the first item is another one each time."""
        first, again = (item(_apart(self.of[0])[0]) for _ in range(2))
        return isinstance(first, np.ndarray) and not np.array_equal(first, again, equal_nan=True)


def dataset_of(items: Any, labels: Any = None) -> Dataset:
    """A data set of items in memory, with their labels.

    Parameters
    ----------
    items : array, tensor, sparse matrix, frame, column of texts, mapping of names to arrays, torch data set, or list of
        pictures, texts, arrays or records
        A tensor of pictures has its channels first, as torch has it, or last; a frame alone takes its labels from its
        column ``label``, and is a set of texts where it has no other column than ``text``.
    labels : array, tensor, column or list, optional
        A class for each item, by number or by name; or the name of the frame's column that holds them.

    Raises
    ------
    UserError
        What is no data; labels of another length, in one-hot rows, missing, or fractions.

    Examples
    --------
    >>> import polars
    >>> data = dataset_of(polars.DataFrame({"age": [30, 40], "label": ["no", "yes"]}))
    >>> data.labels.tolist(), data.classes
    ([0, 1], ('no', 'yes'))
    """
    if is_torch_dataset(items):
        return _of_torch(items, labels)
    if (frame := _frame(items)) is not None:
        return _of_frame(frame, labels)
    items = _values(items)
    if isinstance(items, np.ndarray) and not items.ndim:
        raise UserError(f"Expected items, but got the single value {items.item()!r}. {HINT}")
    given, classes = labels_of(labels)
    if isinstance(items, Mapping):
        items = _records(items)
    _check_count(len(items), given)
    if isinstance(items, np.ndarray):
        numbers = items.astype(np.float32) if items.dtype == np.bool_ else items
        return ArrayDataset(numbers, given, classes, missing=True)
    return ListDataset(items, given, classes)


def is_data(what: Any) -> bool:
    """Whether it holds items, rather than a path or a number."""
    kinds = (np.ndarray, Mapping, Sequence)
    return not isinstance(what, (str, bytes)) and (
        isinstance(what, kinds) or _column(what) is not None or _is_tensor(what) or is_torch_dataset(what)
        or _is_sparse(what) or _frame(what) is not None
    )  # fmt: skip


def is_item(what: Any) -> bool:
    """Whether it is a single item rather than a data set: a picture, a pair of texts, a record of single values.

    Examples
    --------
    >>> is_item(("a", "b")), is_item({"age": 3}), is_item(np.zeros((8, 8, 3))), is_item(np.zeros((8, 3)))
    (True, True, True, False)
    """
    if isinstance(what, tuple):
        return len(what) > 1 and all(isinstance(one, str) for one in what)
    if isinstance(what, Mapping):
        return all(isinstance(value, str) or not hasattr(value, "__len__") for value in what.values())
    channels = getattr(what, "shape", ())[:1] if _is_tensor(what) else getattr(what, "shape", ())[-1:]
    return _is_picture(what) or (getattr(what, "ndim", 0) == 3 and tuple(channels) in ((1,), (3,)))


def labels_of(labels: Any) -> tuple[NDArray[np.int64] | None, tuple[str, ...] | None]:
    """Labels as numbers, with the names of the classes where they are names: of ``labels.names``, as those of files.

    Raises
    ------
    UserError
        Labels that are one-hot rows, fractions, or missing.

    Examples
    --------
    >>> labels_of(["10", "2"]), labels_of([1.0, 0.0])
    ((array([1, 0]), ('2', '10')), (array([1, 0]), None))
    """
    if labels is None:
        return None, None
    values = np.asarray(_column(labels) if _column(labels) is not None else _array(labels))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "backslashreplace")
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    if values.ndim != 1:
        hint = "They look one-hot: pass labels.argmax(axis=1)." if _one_hot(values) else "Pass one a row."
        raise UserError(f"Expected one label for each item, but got labels of shape {values.shape}. {hint}")
    given = [None if is_missing(value) else value for value in values.tolist()]
    numbers = all(value is None or isinstance(value, Real) for value in given)
    found: list[Any] = given if numbers else labelling.names(given)
    if missing := found.count(None):
        raise UserError(
            f"Expected a label for each item, but {missing:,} of {len(found):,} are missing. "
            "Leave those items out, or label them."
        )
    if numbers:
        return _whole(values.astype(np.float64) if values.dtype == object else values), None
    classes = labelling.ordered(found)
    number = {name: place for place, name in enumerate(classes)}
    return np.array([number[name] for name in found], np.int64), classes


def _whole(values: NDArray[Any]) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        rounded = values.astype(np.int64)
    if not np.array_equal(rounded, values):
        odd = values[rounded != values][0]
        what = "the fraction" if np.isfinite(odd) and abs(odd) < 2**53 else "the number"
        raise UserError(f"Expected labels that are classes, but got {what} {odd:g}. Number the classes 0, 1, ....")
    return rounded


def _one_hot(values: NDArray[Any]) -> bool:
    return values.ndim == 2 and values.dtype.kind in "biuf" and bool((values.sum(axis=1) == 1).all())


def is_missing(value: Any) -> bool:
    """Whether a single value says that there is none: None, NaN, or pandas' own.

    Examples
    --------
    >>> is_missing(float("nan")), is_missing(""), is_missing(0), is_missing(np.zeros(0))
    (True, False, False, False)
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return not getattr(value, "shape", ()) and bool(value != value)  # noqa: PLR0124  # NaN alone


def _check_count(count: int, labels: NDArray[np.int64] | None) -> None:
    if labels is not None and len(labels) != count:
        raise UserError(
            f"Expected a label for each of {count:,} items, but got {len(labels):,} labels. "
            "Pass the labels of these items, in their order."
        )


# what things are


def _is_tensor(what: Any) -> bool:
    return all(hasattr(what, name) for name in ("detach", "cpu", "numpy", "shape"))


def _is_sparse(what: Any) -> bool:
    return hasattr(what, "toarray") and hasattr(what, "nnz")


def _is_picture(what: Any) -> bool:
    return all(hasattr(what, name) for name in ("getbands", "convert", "mode"))


def is_torch_dataset(what: Any) -> bool:
    """Whether it is torch's map-style ``Dataset``, or looks like one; a data set of outfield's own is none."""
    if isinstance(what, (Sequence, Mapping, np.ndarray, Dataset)) or _is_tensor(what) or _is_picture(what):
        return False
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(what).__mro__}
    return "torch.utils.data.dataset.Dataset" in names or (
        hasattr(type(what), "__getitem__") and hasattr(type(what), "__len__") and not _foreign_table(what)
    )


def _foreign_table(what: Any) -> bool:
    """A frame, a column or a matrix of any library."""
    return hasattr(what, "__array__") or hasattr(type(what), "columns") or _is_sparse(what)


def _frame(what: Any) -> Any:
    """The narwhals frame of a frame of any library, collected; None where it is none."""
    if isinstance(what, (np.ndarray, Mapping, Sequence)) or not hasattr(type(what), "columns"):
        return None
    import narwhals as nw

    with reading("a table in memory", "a frame with a name for each column", "Give every column a name of its own."):
        found = nw.from_native(what, pass_through=True)
        found = found.collect() if isinstance(found, nw.LazyFrame) else found
        return found if isinstance(found, nw.DataFrame) else None


def _column(what: Any) -> NDArray[Any] | None:
    """The values of a series of any library; None where it is none."""
    if isinstance(what, (np.ndarray, Mapping, Sequence)) or not hasattr(what, "dtype") or _is_tensor(what):
        return None
    import narwhals as nw

    found = nw.from_native(what, series_only=True, allow_series=True, pass_through=True)
    if not isinstance(found, nw.Series):
        return None
    plain = found.dtype.is_numeric() and not found.is_null().any()
    return np.asarray(found.to_numpy()) if plain else np.array(found.to_list(), dtype=object)


# from forms to items


def _values(items: Any) -> Any:
    """Items as one array, as a list of items, or as a mapping of names to arrays."""
    if isinstance(items, Mapping):
        return {str(name): _array(values) for name, values in items.items()}
    column = _column(items)
    if column is not None:
        items = column
    if _is_tensor(items):
        return _channels_last(_array(items))
    if _is_sparse(items):
        return _unpacked(items)
    if isinstance(items, np.ndarray) and items.dtype.kind not in "OSU":
        return items
    if isinstance(items, np.ndarray):
        items = items.tolist()
    return _listed(items)


def _listed(items: Any) -> Any:
    """A list of items: texts as they are; what is numbers becomes arrays, in one where all are of one shape."""
    if isinstance(items, (str, bytes)) or not isinstance(items, Sequence):
        raise UserError(f"Expected items, but got {_said(items)}. {HINT}")
    found = [item(one) for one in items]
    kinds = {_kind(one) for one in found}
    if len(kinds) > 1:
        raise UserError(f"Expected items of one kind, but got {' and '.join(sorted(kinds))}. Pass each as a data set.")
    if kinds != {"arrays"}:
        return found
    shapes = {one.shape for one in found}
    if shapes == {()}:
        raise UserError(f"Expected items, but got a list of {len(found):,} single numbers. {HINT}")
    if len({len(shape) for shape in shapes}) > 1:
        raise UserError(
            f"Expected items of one kind, but got a list of arrays {', '.join(map(str, sorted(shapes, key=str)[:3]))}. "
            "Pass items and their labels as a tuple: (items, labels)."
        )
    if len(shapes) > 1 and len(found[0].shape) == 1:
        raise UserError(
            f"Expected rows of one length, but got rows of {', '.join(str(n) for (n,) in sorted(shapes)[:3])} numbers. "
            "Pass the same columns for each."
        )
    return stack(found)


def item(what: Any) -> Any:
    """One item: a picture [H, W, C] or a row of numbers as an array, a text, a pair of texts, or a record.

    Raises
    ------
    UserError
        It is none of these.
    """
    if isinstance(what, str):
        return what
    if isinstance(what, Mapping):
        return {str(name): _entry(value) for name, value in what.items()}
    if _is_picture(what):
        what = np.asarray(what if what.mode in ("L", "RGB", "I;16", "F") else what.convert("RGB"))
    elif isinstance(what, (list, tuple)) and what and all(isinstance(one, str) for one in what):
        return tuple(what)
    elif _is_tensor(what):
        what = _channels_last(_array(what)[None])[0]
    values = _array(what)
    if values.dtype.kind not in "biuf":
        raise UserError(f"Expected an item of numbers, a picture or a text, but got {_said(what)}. {HINT}")
    return values[:, :, None] if values.ndim == 2 else values


def _kind(one: Any) -> str:
    kinds = {np.ndarray: "arrays", str: "texts", tuple: "groups of texts"}
    return kinds.get(type(one), "records")


def _entry(value: Any) -> Any:
    """A value of a record: an array, or a single value as it is."""
    return _array(value) if _is_tensor(value) or isinstance(value, (list, np.ndarray)) else value


def _array(values: Any) -> NDArray[Any]:
    if _is_tensor(values):
        tensor = values.detach().cpu()
        return np.asarray(tensor.float().numpy() if "bfloat16" in str(tensor.dtype) else tensor.numpy())
    column = _column(values)
    if column is not None:
        return column
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise UserError(f"Expected numbers or names, but got {_said(values)}: {error}. {HINT}") from None


def _channels_last(values: NDArray[Any]) -> NDArray[Any]:
    """Pictures [n, C, H, W] as [n, H, W, C]; what has its channels last already stays."""
    return np.moveaxis(values, 1, -1) if values.ndim == 4 and values.shape[1] in (1, 3) else values


def _unpacked(matrix: Any) -> NDArray[Any]:
    if np.prod(matrix.shape, dtype=float) > LARGEST:
        raise UserError(
            f"Expected a sparse matrix of at most {LARGEST:,} cells, but got {matrix.shape[0]:,} x "
            f"{matrix.shape[1]:,}. Pass the texts, and a pipeline that counts their words."
        )
    return np.asarray(matrix.toarray())


def _records(columns: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    lengths = {name: len(values) if values.ndim else 0 for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} {count:,}" for name, count in lengths.items())
        raise UserError(
            f"Expected inputs with as many rows each, but got {told or 'none'}. Pass one row for each item."
        )
    return [{name: values[row] for name, values in columns.items()} for row in range(next(iter(lengths.values())))]


def _said(what: Any) -> str:
    shape = getattr(what, "shape", None)
    return f"a {type(what).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")


# frames and torch's data sets


def _of_frame(frame: Any, labels: Any) -> Dataset:
    names = [str(name) for name in frame.columns]
    if labels is None and LABEL in names:
        labels = LABEL
    if isinstance(labels, str):
        if labels not in names:
            raise UserError(
                f"Expected a column {labels!r} of labels, but the frame has {listed(names)}. Name one of these."
            )
        frame, labels = frame.drop(labels), frame[labels].to_native()
    given, classes = labels_of(labels)
    _check_count(len(frame), given)
    if [str(name) for name in frame.columns] == [TEXT]:
        return ListDataset(_listed(frame[TEXT].to_list()), given, classes)
    if not frame.columns:
        raise UserError("Expected a frame with columns beside the labels, but it has none. Add the inputs.")
    return FrameDataset(frame, given, classes)


def _of_torch(of: Any, labels: Any) -> Dataset:
    if not (hasattr(type(of), "__getitem__") and hasattr(type(of), "__len__")):
        raise UserError(
            f"Expected a data set that gives its items by number, but got the iterable {type(of).__name__}. "
            "Read it into a list and pass (items, labels)."
        )
    if not len(of):
        raise UserError("Expected a data set with at least one row, but got none. Point it to data that holds rows.")
    tensors = getattr(of, "tensors", None)
    if isinstance(tensors, tuple) and labels is None and len(tensors) in (1, 2):
        return dataset_of(tensors[0], tensors[1] if len(tensors) == 2 else None)
    if labels is None:
        labels = _targets(of)
    given, classes = labels_of(labels)
    _check_count(len(of), given)
    found = MappedDataset(of, given, classes or _names_of(of))
    if found.random:
        raise UserError(
            f"Expected the same item each time, but {type(of).__name__} gave another one the second time. "
            "Take the random augmentation out of its transform."
        )
    return found


def _names_of(of: Any) -> tuple[str, ...] | None:
    """The names of the classes: the set's own, its Hugging Face label's, or those of the set that it is a part of."""
    label = (getattr(of, "features", None) or {}).get(LABEL) if hasattr(type(of), "features") else None
    if names := getattr(of, "classes", None) or getattr(label, "names", None):
        return tuple(map(str, names))
    parts = getattr(of, "datasets", None)
    within = list(parts) if isinstance(parts, (list, tuple)) else [getattr(of, "dataset", None)]
    found = {_names_of(part) for part in within if part is not None}
    return found.pop() if len(found) == 1 else None


def _targets(of: Any) -> Any:
    """The labels of a torch data set: its ``targets`` where it keeps one a row, else read from the pairs."""
    targets = getattr(of, "targets", None)
    if targets is not None and hasattr(targets, "__len__") and len(targets) == len(of):
        return targets
    if _apart(of[0])[1] is None:
        return None
    return [_single(_apart(of[row])[1]) for row in range(len(of))]


def _single(label: Any) -> Any:
    values = _array(label) if _is_tensor(label) else np.asarray(label)
    return values.item() if values.size == 1 else values.tolist()


def _apart(entry: Any) -> tuple[Any, Any]:
    """Item and label of what a torch data set gives: a pair, a record with ``label``, or an item alone."""
    if isinstance(entry, Mapping):
        rest = {name: value for name, value in entry.items() if name != LABEL}
        only = next(iter(rest.values())) if len(rest) == 1 else None
        return only if list(rest) == [TEXT] or _is_picture(only) else rest, entry.get(LABEL)
    if not isinstance(entry, (tuple, list)):
        return entry, None
    if len(entry) == 2 and not all(isinstance(one, str) for one in entry):
        return entry[0], entry[1]
    if len(entry) == 1:
        return entry[0], None
    raise UserError(
        f"Expected (item, label) from the data set, but it gives {len(entry)} values. "
        "Give several inputs by name: ({'a': ..., 'b': ...}, label)."
    )


def gap(data: Dataset) -> int | None:
    """The first row of a table that has a missing number; None where there is none, or the data are no table.

    Examples
    --------
    >>> gap(dataset_of(np.array([[0.0], [np.nan]]))), gap(dataset_of(["a text"]))
    (1, None)
    """
    return next(_gaps(data), None)


def _gaps(data: Dataset) -> Iterator[int]:
    first = data.read(slice(0, 1))[0]
    if not isinstance(first, Mapping) and not (isinstance(first, np.ndarray) and first.ndim == 1):
        return
    for start in range(0, len(data), 4096):
        rows = data.read(slice(start, start + 4096))
        if isinstance(rows, np.ndarray):
            yield from (start + int(row) for row in np.flatnonzero(np.isnan(rows).any(axis=1)))
        else:
            yield from (start + at for at, row in enumerate(rows) if any(map(_lacks, row.values())))


def _lacks(value: Any) -> bool:
    return not isinstance(value, np.ndarray) and is_missing(value)
