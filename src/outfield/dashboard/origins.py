"""Where a study's samples come from: its data and its models, loaded when they are first asked for.

Nothing is trained and nothing is written into the study's folder. What a model says of a data set is taken from the
cache of features where the study left it, and made anew for data sets that are small.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from outfield import checksums, keys, registry
from outfield.dashboard.revision_cache import Memo
from outfield.dashboard.studies import Study, Unknown
from outfield.data.base import Dataset, Source
from outfield.data.in_memory import Kept
from outfield.data.member import Member
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.features.extract import Values, extract
from outfield.features.fit_data import FitData
from outfield.models.torch import TorchModel, load_weights
from outfield.places import file_name
from outfield.store.data_digests import digests, unchecked
from outfield.store.write import MODELS
from outfield.strategies.base import Strategy
from outfield.studies.recipes import WEIGHTS, StoredRecipe
from outfield.studies.remembered_keys import know, look
from outfield.studies.sets import OF_ID, Sets, ordered_like, task_of, wanted
from outfield.studies.spec import Plugin, Spec, Stored, Trained
from outfield.tasks.base import Task
from outfield.types import Outputs

SMALL = 20_000
"""Inputs up to which the values of a data set are made here, where the cache has none."""
R = TypeVar("R")
KEPT = 128
"""Data sets, models and values that are held."""
AGAIN = 30.0
"""Seconds after which what was missing is looked for again."""


class Missing(UserError):
    """Data or weights that are needed to say more of a sample are not on this machine."""


@dataclass
class Origin:
    """The data and models of one study.

    Parameters
    ----------
    study : Study
    cache : Cache
        Where values of models are read, and kept.
    """

    study: Study
    cache: Cache
    _memo: Memo = field(default_factory=lambda: Memo(KEPT))
    _absent: dict[tuple[str, ...], tuple[float, Missing]] = field(default_factory=dict)
    _running: threading.RLock = field(default_factory=threading.RLock, repr=False)
    """Held while a model runs: its hooks are its own."""

    def once(self, key: tuple[str, ...], make: Callable[[], R]) -> R:
        """What ``make`` gives, made once; what is missing is looked for again after a while."""
        since, reason = self._absent.get(key, (-AGAIN, None))
        if reason is not None and time.monotonic() - since < AGAIN:
            raise reason
        try:
            return self._memo.get(0, key, make)
        except Missing as error:
            self._absent[key] = time.monotonic(), error
            raise

    @cached_property
    def spec(self) -> Spec:
        """The study as it was run.

        Raises
        ------
        Missing
            The folder does not tell, or the study is none of pictures or texts with detectors.
        """
        stated = self.study.manifest
        if not stated:
            raise Missing("The folder has no study.json, so that pictures, predictions and reasons are not known.")
        try:
            return Spec.parse(stated, "study.json")
        except UserError as error:
            raise Missing(f"The study cannot be read from study.json: {error}") from None

    @cached_property
    def _sources(self) -> dict[str, Source]:
        return {one.name: one.source for one in wanted(self.spec) if one.role in ("train", "val", "test", "ood")}

    def data(self, name: str) -> Dataset:
        """A data set of the study: ``train``, ``val``, ``test`` or an OOD set by name.

        Raises
        ------
        Unknown
            The study has no such set.
        Missing
            Its files are not here.
        """
        if name not in self._sources:
            raise Unknown(f"Expected a set of this study, but got {name!r}. Choose one of {', '.join(self._sources)}.")
        data: Dataset = self.once(("data", name), lambda: self._loaded(name))
        return data

    def _loaded(self, name: str) -> Dataset:
        source, measured = self._sources[name], self._measured.get(name)
        try:
            looked = look(source) if measured else None
            data = source.load()
        except UserError as error:
            raise Missing(f"The data of {name} are not on this machine: {error}") from None
        know(data, looked, self.cache, source=source, code=keys.of_code(type(source)))
        data = self._like_trained(name, data)
        if measured and data.digest() != measured:
            raise Missing(
                f"The data of {name} are not what was measured (another digest), so that none of them are shown. "
                "Put back the files that the study ran on, or run it again."
            )
        return Kept(data)

    def _like_trained(self, name: str, data: Dataset) -> Dataset:
        """The set with its labels as the study has them: in the training set's order, where that is here."""
        if name not in OF_ID or data.classes is None:
            return data
        try:
            return ordered_like(data, self.data("train").classes)
        except UserError:
            return data

    @property
    def _measured(self) -> dict[str, str]:
        """Sets that were scored to the digests of what was measured, as far as the study kept them."""
        asked = "SELECT min(data_digest) FROM rows WHERE detector IS NULL"
        of_test = self.study.index.ask(asked).item()
        return digests(self.study.folder, of_test)

    def unchecked(self, name: str) -> str:
        """That nobody can tell whether a set is what was measured; empty where that was checked, or is not asked."""
        if name in self._measured or name in ("train", "val"):
            return ""
        return unchecked([name])

    def model(self, name: str) -> TorchModel:
        """A model of the study with its trained weights.

        Raises
        ------
        Missing
            The weights are not here, or they do not fit the network.
        """
        model: TorchModel = self.once(("model", name), lambda: self._restored(name))
        return model

    def _restored(self, name: str) -> TorchModel:
        try:
            return self._obtained(name)
        except (OSError, RuntimeError) as error:
            raise Missing(f"The weights of {name} cannot be loaded: {str(error).partition(chr(10))[0]}") from None

    def _obtained(self, name: str) -> TorchModel:
        for model in self.spec.models:
            if isinstance(model, Stored) and model.label == name:
                return self._stored(model)
            if isinstance(model, Trained) and name in model.names:
                return self._trained(model, name)
            if name in model.names:
                raise Missing(f"{name} is no network of this study: its features and reasons are not shown.")
        raise Missing(f"study.json names no model {name}.")

    def _stored(self, model: Stored) -> TorchModel:
        if absent := [str(path) for path in model.weights if not path.is_file()]:
            raise Missing(f"The weights of {model.label} are not on this machine: {', '.join(absent)}.")
        recipe = StoredRecipe(model.label, model.label, model.family, model.seed, "", model)
        found = recipe.obtain(self._splits, self.study.folder, lambda *_: None)
        assert isinstance(found, TorchModel)
        return found

    @cached_property
    def _splits(self) -> Sets:
        train, val, test = (Member(split, split, self.data(split)) for split in ("train", "val", "test"))
        return Sets(train, val, test, (), (), ())

    def _trained(self, model: Trained, name: str) -> TorchModel:
        strategy: Strategy = model.strategy.build("strategies")
        train = Member("train", "train", self.data("train"))
        task = task_of(self.spec).informed(train)
        network = strategy.architecture(lambda: self._network(task, train), task)
        network.load_state_dict(load_weights(self._intact(name)))
        found = task.model(network.eval(), train.data.read(slice(0, 2)), layers=self.spec.layers, name=name)
        if not isinstance(found, TorchModel):
            raise Missing(f"{name} is no classifier: its features and reasons are not shown.")
        return found

    def _intact(self, name: str) -> Path:
        """The weights of a model, as they were written."""
        path = self._weights(name)
        try:
            checksums.check_file(path, WEIGHTS, path.name.split(".")[-2])
        except checksums.Broken as error:
            raise Missing(f"The weights of {name} are damaged: the file {error}. Run the study again.") from None
        return path

    def _network(self, task: Task, train: Member) -> nn.Module:
        named = self.spec.network or Plugin(name=task.network)
        network: nn.Module = registry.create("networks", named.name, **{**task.arguments(train), **named.params})
        return network

    def _weights(self, name: str) -> Path:
        """The newest weights of a model in the study's folder."""
        root = self.study.folder.resolve()
        names = {file_name(name)} | ({name} if not {"/", "\0"} & set(name) else set())
        found = [path for one in names for path in (self.study.folder / MODELS).glob(f"{escape(one)}.*.safetensors")
                 if path.resolve().is_relative_to(root)]  # fmt: skip
        if not found:
            raise Missing(f"The weights of {name} are not in the study's folder: they lie in {MODELS}/ where it ran.")
        return max(found, key=lambda path: path.stat().st_mtime)

    def values(self, model: str, name: str) -> Values:
        """What a model says of a whole set, from the cache, or made where the set is small.

        Raises
        ------
        Missing
            The cache has none, and the set is large.
        """
        values: Values = self.once(("values", model, name), lambda: self._extracted(model, name))
        return values

    def _extracted(self, model: str, name: str) -> Values:
        network, data = self.model(model), self.data(name)

        def small_enough(_: int, total: int) -> None:
            if total > SMALL:
                raise Missing(
                    f"The values of {model} on the set {name} ({total:,} inputs) are not in this machine's cache. "
                    "They are where the study ran; $OUTFIELD_CACHE names the cache."
                )

        about = f"model {model!r} on {name!r} for the dashboard"
        options: dict[str, Any] = {"half": self.spec.half, "batch": self.spec.batch, "progress": small_enough}
        with self._running:
            return extract(network, data, self.cache, about=about, **options)

    def outputs(self, model: str, name: str, row: int) -> Outputs:
        """What a model says of one input, with its head."""
        if len(self.data(name)) <= SMALL:
            return self.values(model, name).rows(np.array([row]))
        network, data = self.model(model), self.data(name)
        with self._running, torch.inference_mode(), network.evaluating():
            found = network.forward(network.prepare(data.read(np.array([row]))))
        return replace(found, head=network.head) if network.head is not None else found

    def fit(self, model: str) -> FitData:
        """What the detectors of a model learned from."""
        fit: FitData = self.once(
            ("fit", model),
            lambda: FitData(
                self.values(model, "train"), self.values(model, "val"), getattr(self.model(model), "texts", None)
            ),
        )
        return fit

    def item(self, name: str, row: int) -> Any:
        """One input of a set: a picture [H, W, C], a text, a pair of texts, numbers.

        Raises
        ------
        Unknown
            The set has no such row.
        Missing
            It cannot be read here.
        """
        data = self.data(name)
        if row >= len(data):
            raise Unknown(f"Expected a row of the set {name!r} below {len(data):,}, but got {row}.")
        try:
            return data.read(np.array([row]))[0]
        except UserError as error:
            raise Missing(f"Row {row} of {name} cannot be read: {error}") from None

    @property
    def media(self) -> str | None:
        """``picture`` or ``text``, what the inputs of the ID test set are; None where they cannot be read here."""
        try:
            return "picture" if is_picture(self.item("test", 0)) else "text"
        except (Missing, Unknown):
            return None

    def text(self, name: str, row: int) -> str:
        """An input as text; empty where it is a picture or cannot be read here."""
        try:
            item = self.item(name, row)
        except (Missing, Unknown):
            return ""
        return "" if is_picture(item) else as_text(item)

    def label(self, name: str, row: int) -> str | None:
        """The class of an input, by name where classes have names."""
        data = self.data(name)
        return None if data.labels is None else _class(data.classes, int(data.labels[row]))

    def class_name(self, number: int) -> str:
        """What an output of the models is called."""
        return _class(self.data("train").classes, number)

    def named(self, model: str, name: str, row: int) -> tuple[str | None, str | None]:
        """Label and prediction of an input, as far as they can be had here."""
        return self._label(name, row), self._prediction(model, name, row)

    def _label(self, name: str, row: int) -> str | None:
        try:
            return self.label(name, row)
        except (Missing, Unknown, IndexError):
            return None

    def _prediction(self, model: str, name: str, row: int) -> str | None:
        try:
            if len(self.data(name)) > SMALL:
                return None
            return self.class_name(int(self._predictions(model, name)[row]))
        except (Missing, Unknown, IndexError):
            return None

    def _predictions(self, model: str, name: str) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.once(
            ("predictions", model, name), lambda: np.asarray(self.values(model, name).arrays["logits"]).argmax(1)
        )
        return found


@dataclass
class Origins:
    """The origin of each study that was asked for, all on one cache."""

    cache: Cache
    _known: dict[str, Origin] = field(default_factory=dict)

    def __call__(self, study: Study) -> Origin:
        known = self._known.get(study.name)
        if known is None or known.study is not study:
            known = self._known[study.name] = Origin(study, self.cache)
        return known


def is_picture(item: Any) -> bool:
    """Whether an input is a picture [H, W, C]."""
    return isinstance(item, np.ndarray) and item.ndim == 3


def as_text(item: Any) -> str:
    """A text as it is, a pair of texts one below the other, numbers in a row.

    Examples
    --------
    >>> as_text(("A man sleeps.", "He is awake.")), as_text(np.array([0.5, 2.0]))
    ('A man sleeps.\\nHe is awake.', '0.5, 2')
    """
    if isinstance(item, str):
        return item
    if isinstance(item, np.ndarray):
        return ", ".join(f"{value:.4g}" for value in item.ravel()[:100])
    return "\n".join(map(str, item))


def _class(classes: tuple[str, ...] | None, number: int) -> str:
    """A class's name, or its number.

    Examples
    --------
    >>> _class(("cat", "dog"), 1), _class(None, 7)
    ('dog', '7')
    """
    return classes[number] if classes is not None and 0 <= number < len(classes) else str(number)
