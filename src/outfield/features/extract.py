"""One forward pass serves every detector: logits, features and probe values, once per model and data set."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from outfield import keys
from outfield.data.base import Dataset
from outfield.data.datasets import targets_of
from outfield.data.views import subset
from outfield.errors import UserError
from outfield.features.cache import Entries
from outfield.features.cache import Rows as Entry
from outfield.features.concatenated import Joined, joined
from outfield.features.finite import check_finite, check_head, rows_of
from outfield.features.probes.base import Probe
from outfield.features.rows import Rows, kept
from outfield.models.base import Model
from outfield.types import Head, Outputs

BATCH = 256
GRAPH_BATCH = 64
"""Most inputs of a forward pass that keeps its graph on a processor: larger ones wait for memory."""
CELLS = 1 << 23
"""Numbers of a chunk."""
LOOK = "Look at the weights and the preprocessing."
HALF = 65_504
"""The largest number of float16."""
Progress = Callable[[int, int], None]
Shards: TypeAlias = int | Sequence[int]
Arrays: TypeAlias = dict[str, NDArray[Any] | Joined]
Array: TypeAlias = "NDArray[Any] | Joined | Inputs"


@dataclass(frozen=True)
class Inputs:
    """What a model is given of a data set: an array whose rows are read from the set, and prepared, when asked for.

    Texts are as wide as the longest of those that are read together.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> inputs = Inputs(ArrayDataset(np.arange(6.0).reshape(3, 2)), torch.from_numpy)
    >>> inputs.shape, inputs[1:2]
    ((3, 2), tensor([[2., 3.]]))
    """

    data: Dataset
    prepare: Callable[[Any], Tensor]

    def __len__(self) -> int:
        return len(self.data)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """[n, ...], as the first input is."""
        return len(self), *self[slice(0, 1)].shape[1:]

    @torch.no_grad()
    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Tensor:
        numbers = np.arange(len(self))[rows]
        pieces = np.split(numbers, range(BATCH, len(numbers), BATCH))
        prepared = [self.prepare(self.data.read(piece)) for piece in pieces]
        if len({piece.shape[1:] for piece in prepared}) > 1:
            return self.prepare(self.data.read(numbers))
        return torch.cat(prepared)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:].cpu(), dtype)


@dataclass(frozen=True)
class Values:
    """The outputs of one model on one data set, as arrays on disk: chunks of ``Outputs``, as often as one likes.

    Parameters
    ----------
    arrays : mapping of name to array with n rows, memory-mapped, in one piece or several
    head : Head, optional
    size : int, optional
        Rows of a chunk; by default 8192, or fewer where rows are wide.
    device : str
        Where the chunks are put.
    inputs : Inputs, optional
        What the model was given. Chunks have it only of ``keeping`` that names ``inputs``.

    Examples
    --------
    >>> values = Values({"logits": np.eye(3, dtype=np.float32), "labels": np.arange(3)}, size=2)
    >>> [len(chunk) for chunk in values], values.keeping(("labels",)).rows(slice(1, 3)).labels
    ([2, 1], tensor([1, 2]))
    """

    arrays: Mapping[str, Array]
    head: Head | None = None
    size: int | None = None
    device: str = "cpu"
    inputs: Inputs | None = None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __iter__(self) -> Iterator[Outputs]:
        size = self.size or self._affordable
        return (self.rows(slice(start, start + size)) for start in range(0, len(self), size))

    @property
    def _affordable(self) -> int:
        """Rows of a chunk of at most ``CELLS`` numbers."""
        width = sum(math.prod(array.shape[1:]) for array in self.arrays.values())
        return max(1, min(8192, CELLS // width))

    def at_rows(self, rows: NDArray[np.int64]) -> Values:
        """Some rows as values of their own, in memory.

        Examples
        --------
        >>> len(Values({"logits": np.eye(3, dtype=np.float32)}).at_rows(np.array([0, 2])))
        2
        """
        inputs = None if self.inputs is None else Inputs(subset(self.inputs.data, rows), self.inputs.prepare)
        return replace(
            self, arrays={name: np.asarray(array[rows]) for name, array in self.arrays.items()}, inputs=inputs
        )

    def rows(self, rows: slice | NDArray[np.int64]) -> Outputs:
        """Some rows in memory."""
        return self._stored(rows).outputs()

    def at(self, rows: NDArray[np.int64], names: tuple[str, ...]) -> Rows:
        """Rows by number in the precision of the arrays, with the fields of ``keeping`` alone."""
        return self.keeping(names)._stored(rows)

    def keeping(self, names: tuple[str, ...]) -> Values:
        """The same rows with the named fields alone, and the layers whose names begin with one of ``names``."""
        there = {**self.arrays} if self.inputs is None else {**self.arrays, "inputs": self.inputs}
        return replace(self, arrays=kept(there, names))

    def _stored(self, rows: slice | NDArray[np.int64]) -> Rows:
        return Rows({name: _read(array, rows).to(self.device) for name, array in self.arrays.items()}, self.head)


def _read(array: Array, rows: slice | NDArray[np.int64]) -> Tensor:
    return array[rows] if isinstance(array, Inputs) else torch.from_numpy(np.array(array[rows]))


def extract(
    model: Model,
    data: Dataset,
    cache: Entries,
    *,
    probes: Sequence[Probe] = (),
    digest: str | None = None,
    about: str = "",
    half: bool = False,
    batch: int = BATCH,
    device: str = "cpu",
    shards: Shards = 1,
    progress: Progress | None = None,
) -> Values:
    """The values of a model on a data set: from the cache, or from one pass that fills it.

    Logits or predictions, features, labels and targets make one entry of the cache and each probe another, so that a
    further probe does not write the features again. All that is missing is made in one pass.

    Parameters
    ----------
    probes : sequence of Probe
    digest : str, optional
        The model's, where the caller has it already: one for many data sets.
    about : str
        Names model and data set in messages and in ``outfield cache``.
    half : bool
        Store the features as float16.
    batch : int
        Inputs of one forward pass; the values do not depend on it.
    shards : int or sequence of int
        Entries of the cache that the rows are divided among: their number, or the rows of each. One that is there is
        not made again, and the values are those of all, read as one; whoever asks next need not ask for the same.
    progress : callable, optional
        ``progress(done, total)`` after each batch.

    Raises
    ------
    UserError
        No inputs; NaN or infinity in logits, features, layers, probes or head; labels outside the head; shards that do
        not add up to the rows.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from outfield.data.datasets import ArrayDataset
    >>> from outfield.features.cache import InMemory
    >>> from outfield.models.sklearn import SklearnModel
    >>> x, cache = np.eye(4), InMemory()
    >>> model = SklearnModel(LogisticRegression().fit(x, [0, 1, 0, 1]))
    >>> next(iter(extract(model, ArrayDataset(x), cache)))
    Outputs(logits [4, 2], features [4, 4])
    >>> extract(model, ArrayDataset(x), cache).rows(slice(0, 1)), model.forwards
    (Outputs(logits [1, 2], features [1, 4]), 4)
    """
    cuts = shard_rows(len(data), shards, batch, about)
    wanted = _wanted(digest or model.digest(), data, half, probes)
    found = {key: _found(cache, key) for key in wanted}
    if missing := {key: wanted[key] for key, arrays in found.items() if arrays is None}:
        for rows in cuts:
            _Pass(model, data, missing, about, half, rows).fill(cache, batch, progress)
        for key in missing:
            _note(cache, key, cuts, about)
    arrays = {name: array for key in wanted for name, array in _present(cache, key, found[key], about).items()}
    head = None if model.head is None else model.head.to(device)
    return Values(_named(arrays), head, device=device, inputs=Inputs(data, model.prepare))


def extract_shard(
    model: Model,
    data: Dataset,
    cache: Entries,
    shard: int,
    shards: Shards,
    *,
    probes: Sequence[Probe] = (),
    digest: str | None = None,
    about: str = "",
    half: bool = False,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> None:
    """One shard of ``extract``, for a worker of its own; ``extract`` with the same ``shards`` then finds all of them.

    Shards may be made in any order, by any process that shares the cache. What is there is not made again, and a
    number beyond the shards of a small data set has nothing to do.
    """
    cuts = shard_rows(len(data), shards, batch, about)
    wanted = _wanted(digest or model.digest(), data, half, probes)
    missing = {key: probe for key, probe in wanted.items() if _found(cache, key) is None}
    if missing and shard < len(cuts):
        _Pass(model, data, missing, about, half, cuts[shard]).fill(cache, batch, progress)


def shard_rows(n: int, shards: Shards, batch: int = BATCH, about: str = "") -> tuple[range, ...]:
    """The rows of each shard: as stated, or as even as whole batches allow, so that no batch is cut.

    Examples
    --------
    >>> shard_rows(1000, 3, batch=100)
    (range(0, 400), range(400, 700), range(700, 1000))
    >>> shard_rows(10, (1, 9))
    (range(0, 1), range(1, 10))
    """
    if not n:
        raise UserError(f"Expected inputs in {about or 'the data set'}, but it is empty. Give it rows or leave it out.")
    if not isinstance(shards, int):
        ends = list(accumulate(shards))
        if not ends or ends[-1] != n or min(shards) < 1:
            raise UserError(f"Expected shards of one row or more that add up to {n:,}, but got {list(shards)}.")
    else:
        batches = np.array_split(np.arange(math.ceil(n / batch)), max(1, shards))
        ends = [min(n, (int(part[-1]) + 1) * batch) for part in batches if len(part)]
    return tuple(range(start, stop) for start, stop in pairwise((0, *ends)))


def cached(digest: str, data: Dataset, cache: Entries, *, half: bool = False) -> Values | None:
    """Logits, features and labels that a cache still holds of a model, by its digest; no pass is made.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> from outfield.features.cache import InMemory
    >>> cached("ab12", ArrayDataset(np.eye(2)), InMemory()) is None
    True
    """
    arrays = _found(cache, _base(digest, data, half))
    return None if arrays is None else Values(_named(arrays))


def _wanted(digest: str, data: Dataset, half: bool, probes: Sequence[Probe]) -> dict[str, Probe | None]:
    """The keys of outputs (None) and probes."""
    base = _base(digest, data, half)
    return {base: None} | {keys.key(base=base, probe=p, code=keys.of_code(type(p))): p for p in dict.fromkeys(probes)}


def _found(cache: Entries, key: str) -> Arrays | None:
    """The arrays under a key, whole or in the pieces that were noted; None unless all rows are there."""
    if (whole := cache.get(key)) is not None:
        return {**whole}
    if (noted := cache.get(_noted(key))) is None:
        return None
    ends = noted["ends"].tolist()
    pieces = [cache.get(_part(key, range(*rows), ends[-1])) for rows in pairwise((0, *ends))]
    if any(piece is None for piece in pieces):
        cache.remove(_noted(key))
        return None
    there = [piece for piece in pieces if piece is not None]
    return {name: joined([piece[name] for piece in there]) for name in there[0]}


def _note(cache: Entries, key: str, cuts: Sequence[range], about: str) -> None:
    """Write down the pieces that a key consists of."""
    if len(cuts) > 1:
        with cache.writing(_noted(key), len(cuts), about=f"{about}: where its shards end".lstrip(": ")) as entry:
            entry.append("ends", np.array([rows.stop for rows in cuts], dtype=np.int64))


def _noted(key: str) -> str:
    return keys.key(whole=key, shards="ends")


def _part(key: str, rows: range, n: int) -> str:
    """The key of some of the rows; of all of them, the key itself."""
    return key if len(rows) == n else keys.key(whole=key, rows=[rows.start, rows.stop])


def _base(digest: str, data: Dataset, half: bool) -> str:
    """The key of a model's outputs on a data set."""
    return keys.key(model=digest, data=data.digest(), half=half, code=_code_version())


def _present(cache: Entries, key: str, found: Arrays | None, about: str) -> Arrays:
    if (arrays := found or _found(cache, key)) is None:
        raise UserError(f"The cache entry of {about} was removed while it was in use. Run again.")
    return arrays


@dataclass(frozen=True)
class _Pass:
    """One pass over some rows of a data set that makes the missing entries: key to probe, None for the outputs."""

    model: Model
    data: Dataset
    missing: Mapping[str, Probe | None]
    about: str
    half: bool
    rows: range

    def fill(self, cache: Entries, batch: int, progress: Progress | None) -> None:
        """Make what is not there of these rows."""
        n = len(self.data)
        parts = {_part(key, self.rows, n): probe for key, probe in self.missing.items()}
        left = parts if len(self.rows) == n else {key: one for key, one in parts.items() if cache.get(key) is None}
        if left:
            replace(self, missing=left)._fill(cache, batch, progress)

    def _fill(self, cache: Entries, batch: int, progress: Progress | None) -> None:
        batch = min(batch, GRAPH_BATCH) if self._graph and self.model.input_std.device.type == "cpu" else batch
        if self.model.head is not None:
            check_head(self.model.head, self.about or "the model")
        with ExitStack() as stack:
            entries = {key: stack.enter_context(self._entry(cache, key)) for key in self.missing}
            stack.enter_context(self.model.evaluating())
            for start in self.rows[::batch]:
                rows = slice(start, min(start + batch, self.rows.stop))
                for key, values in self._values(rows).items():
                    _append(entries[key], values)
                if progress:
                    progress(rows.stop, len(self.data))

    def _entry(self, cache: Entries, key: str) -> AbstractContextManager[Entry]:
        probe = self.missing[key]
        some = f"rows {self.rows.start:,} to {self.rows[-1]:,}" if len(self.rows) < len(self.data) else ""
        told = (self.about, probe.key if probe else "", some)
        return cache.writing(key, len(self.rows), about=" ".join(filter(None, told)))

    @property
    def _probes(self) -> list[Probe]:
        return [probe for probe in self.missing.values() if probe is not None]

    @property
    def _graph(self) -> bool:
        """Whether a probe differentiates the first forward pass."""
        return any(probe.needs_graph or probe.needs_layer_graph for probe in self._probes)

    def _values(self, rows: slice) -> dict[str, dict[str, Tensor]]:
        """Values of one batch, for each missing entry: the first forward pass, then the probes."""
        with contextlib.nullcontext() if self._graph else torch.inference_mode():
            x = self.model.prepare(self.data.read(rows))
            x = x.requires_grad_(self._graph and x.is_floating_point())
            layers = self.model.layers if any(probe.needs_layers for probe in self._probes) else ()
            first = self.model.forward(x, layers)
            check_finite(rows_of(first), self.about or "the model", LOOK, rows.start)
            return {key: self._of(probe, x, first, rows) for key, probe in self.missing.items()}

    def _of(self, probe: Probe | None, x: Any, first: Outputs, rows: slice) -> dict[str, Tensor]:
        if probe is None:
            return self._outputs(first, rows)
        values = probe(self.model, x, first)
        check_finite(values, f"the probe of {self.about or 'the model'}", LOOK, rows.start)
        return values

    def _outputs(self, first: Outputs, rows: slice) -> dict[str, Tensor]:
        values = {}
        if first.has("logits"):
            values["logits"] = first.logits.float()
        if first.has("predictions"):
            values["predictions"] = first.predictions
        if first.has("features"):
            values["features"] = self._halved(first.features) if self.half else first.features.float()
        if (labels := self.data.labels) is not None:
            values["labels"] = torch.from_numpy(np.asarray(labels[rows], dtype=np.int64))
        if (targets := targets_of(self.data)) is not None:
            values["targets"] = _target_rows(targets[rows], self.about)
        return values

    def _halved(self, features: Tensor) -> Tensor:
        if (largest := float(features.abs().max())) > HALF:
            raise UserError(
                f"Expected features of at most {HALF:,} for `half: true`, but {self.about or 'the model'} gave one of "
                f"{largest:,.0f}. Set `half: false`."
            )
        return features.half()


def _target_rows(targets: Any, about: str) -> Tensor:
    rows = np.asarray(targets)
    if rows.dtype.kind not in "biuf":
        raise UserError(
            f"Expected targets of {about or 'the data set'} as numbers, but got {rows.dtype}. Give a number, or a row "
            "of numbers, for each input."
        )
    return torch.from_numpy(rows)


def _append(entry: Entry, values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        entry.append(_file_name(name), value.detach().cpu().numpy())


def check_labels(values: Values, about: str) -> None:
    """``UserError`` where labels are outside the classes of the logits, or missing; without logits none are needed.

    Examples
    --------
    >>> values = Values({"logits": np.zeros((2, 3)), "labels": np.array([0, 7])})
    >>> check_labels(values, "the ID test set")
    Traceback (most recent call last):
    outfield.errors.UserError: Expected labels from 0 to 2 in the ID test set, since the head has 3 ...
    """
    if "logits" not in values.arrays:
        return
    classes = values.arrays["logits"].shape[1]
    if "labels" not in values.arrays:
        raise UserError(f"Expected labels for {about}, but it has none. ID data needs the class of each input.")
    labels = np.asarray(values.arrays["labels"])
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"Expected labels from 0 to {classes - 1} in {about}, since the head has {classes} classes, "
            f"but got {labels.min()} to {labels.max()}. Map the labels, or pass the model that belongs to this data."
        )


def _code_version() -> str:
    from outfield.models import preprocess

    return keys.of_code(extract, preprocess)


def _file_name(name: str) -> str:
    """A probe's key as a file name."""
    return name.replace("/", "\u2215")


def _named(arrays: Arrays) -> Arrays:
    return {name.replace("\u2215", "/"): array for name, array in arrays.items()}
