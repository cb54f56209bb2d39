"""How a study comes by its models: it trains them, or loads their weights."""

from __future__ import annotations

import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sklearn
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from outfield import checksums, keys, registry
from outfield.data.datasets import targets_of
from outfield.errors import UserError
from outfield.models.base import Model
from outfield.models.networks._weight_names import renamed, under_own_names
from outfield.models.open import named_by_data, open_model
from outfield.models.preprocess import Pictures
from outfield.models.sklearn import SklearnModel, fitted
from outfield.models.torch import TorchModel, load_into, load_weights
from outfield.places import copies, file_name, is_there
from outfield.store.write import DamagedFileWarning, atomically, set_aside
from outfield.strategies import train
from outfield.strategies.base import Strategy
from outfield.studies.sets import Sets
from outfield.studies.spec import Fitted, Opened, Plugin, Spec, Stored, Trained, file_of

Report = Callable[[int, int], None]
WEIGHTS = "weights"
"""What the seals of trained weights say they are."""


@dataclass(frozen=True)
class Recipe(ABC):
    """A model before it is there: its name, its place in the study, and its key."""

    name: str
    strategy: str
    family: str
    seed: int
    key: str

    @property
    def stated(self) -> dict[str, Any]:
        """What keys of its rows state: the model's content, and how rows place it."""
        return {"model": self.key, "strategy": self.strategy, "family": self.family, "seed": self.seed}

    @abstractmethod
    def obtain(self, sets: Sets, folder: Path, report: Report, device: str = "cpu") -> Model:
        """The model; ``report(done, total)`` while it is made, ``folder`` keeps what was made."""


@dataclass(frozen=True)
class TrainedRecipe(Recipe):
    """A model that the study trains; its weights are kept in the study's folder under its key."""

    training: Strategy
    network: Plugin
    epochs: int | None
    layers: tuple[str, ...] | None

    def obtain(self, sets: Sets, folder: Path, report: Report, device: str = "cpu") -> Model:
        network = self._kept(sets, folder) or self._train(sets, folder / self._file, report)
        return self.model(network, sets, device)

    def model(self, network: nn.Module, sets: Sets, device: str = "cpu") -> Model:
        """A network of this recipe as a model that can be measured."""
        example = sets.train.data.read(slice(0, 2))
        return sets.task.model(network, example, layers=self.layers, name=self.name, device=device)

    @property
    def _file(self) -> str:
        return f"{file_name(self.name)}.{self.key}.safetensors"

    def _kept(self, sets: Sets, folder: Path) -> nn.Module | None:
        """The network with the weights that are kept; None where there are none, or they are damaged."""
        found = [path for path in (folder / self._file, *self._earlier(folder)) if is_there(path)]
        if not found:
            return None
        try:
            return self._load(sets, found[0])
        except (checksums.Broken, UserError, RuntimeError) as error:
            said = str(error) if isinstance(error, checksums.Broken) else "cannot be read, or does not fit the model"
            warnings.warn(
                f"The weights {found[0]} are damaged: the file {said}. It is now {set_aside(found[0])}, and "
                f"{self.name} is trained again.",
                DamagedFileWarning,
                stacklevel=3,
            )
            return None

    def _earlier(self, folder: Path) -> Iterator[Path]:
        """Where versions wrote weights that took any name as it was, if that is within the folder."""
        parts = self.name.split("/")
        if "\0" not in self.name and all(part.strip(".") for part in parts):
            yield folder.joinpath(*parts[:-1], f"{parts[-1]}.{self.key}.safetensors")

    def is_there(self, folder: Path) -> bool:
        """Whether the weights are kept in a folder."""
        return any(map(is_there, (folder / self._file, *self._earlier(folder))))

    def untrained(self, sets: Sets) -> nn.Module:
        """A fresh network that answers as the task asks: with an output for each class, say."""
        known = sets.task.arguments(sets.train)
        if "names" in inspect.signature(registry.find("networks", self.network.name)).parameters:
            known["names"] = sets.train.data.classes or ()
        network: nn.Module = registry.create("networks", self.network.name, **{**known, **self.network.params})
        return network

    def _load(self, sets: Sets, weights: Path) -> nn.Module:
        network = self.training.architecture(lambda: self.untrained(sets), sets.task)
        with copies([weights]) as (here,):
            if not checksums.check_file(here, WEIGHTS, self.key):
                checksums.tell_of_earlier(weights.parent, f"the file {weights.name} bears")
            network.load_state_dict(load_weights(here))
        return network.eval()

    def train(self, sets: Sets, **options: Any) -> nn.Module:
        """The network, trained; options are those of the loop."""
        data, task = sets.training_set(), sets.task
        given = {"seed": self.seed, "epochs": self.epochs, **options}
        return train(self.training, lambda: self.untrained(sets), data, task, **given)

    def _train(self, sets: Sets, weights: Path, report: Report) -> nn.Module:
        network = self.train(sets, report=report)
        _save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, weights, self.key)
        return network


def _save(tensors: dict[str, torch.Tensor], weights: Path, key: str) -> None:
    with atomically(weights) as temporary:
        try:
            save_file(tensors, temporary, {checksums.FIELD: checksums.blank(WEIGHTS, key)})
        except SafetensorError as error:
            raise OSError(str(error)) from error
        checksums.seal_file(temporary, WEIGHTS, key)


@dataclass(frozen=True)
class StoredRecipe(Recipe):
    """A model whose weights are there already."""

    weights: Stored

    def obtain(self, sets: Sets, folder: Path, report: Report, device: str = "cpu") -> Model:
        stored = self.weights
        return sets.task.model(
            self._network().eval(),
            sets.train.data.read(slice(0, 2)),
            preprocess=Pictures(**_tuples(stored.preprocess)),
            head=stored.head,
            layers=stored.layers,
            name=self.name,
            device=device,
        )

    def _network(self) -> nn.Module:
        stored = self.weights
        network: nn.Module = registry.create("networks", stored.network.name, **stored.network.params)
        weights = {name: tensor for path in stored.weights for name, tensor in load_weights(path).items()}
        named = under_own_names(network, renamed(weights, stored.rename))
        where = " and ".join(path.name for path in stored.weights)
        return load_into(network, named, f"the network {stored.network.name!r} in {where}")


@dataclass(frozen=True)
class FittedRecipe(Recipe):
    """A model of scikit-learn that the study fits on the training set: labels, or the targets of the task."""

    estimator: Plugin

    def obtain(self, sets: Sets, folder: Path, report: Report, device: str = "cpu") -> Model:
        data = sets.train.data
        answers = targets_of(data) if sets.task.judges == "targets" else data.labels
        if answers is None:
            raise UserError("Expected labels or targets to fit on, but the training set has none. Name their column.")
        items = data.read(slice(0, len(data)))
        made = fitted(self.estimator.name, self.estimator.params, items, answers, self.seed)
        return SklearnModel(made, data.read(slice(0, 2)), name=self.name, classes=_names_of(made, data.classes))


def _names_of(estimator: Any, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
    numbers = getattr(estimator, "classes_", None)
    return None if classes is None or numbers is None else tuple(classes[number] for number in numbers)


@dataclass(frozen=True)
class OpenedRecipe(Recipe):
    """A model of any framework that is there already."""

    opened: Opened

    def obtain(self, sets: Sets, folder: Path, report: Report, device: str = "cpu") -> Model:
        data = sets.train.data
        named = {"classes": data.classes} if data.classes and named_by_data(self.opened.model) else {}
        options = {"example": data.read(slice(0, 2)), "name": self.name, **named, **self.opened.options}
        return open_model(self.opened.model, **options)


def missing(spec: Spec) -> Iterator[str]:
    """Models whose files are not there, each with where they should be and where they are published."""
    for model in spec.models:
        if isinstance(model, Stored) and (absent := _absent(model)):
            origin = f"; published at {model.origin}" if model.origin else ""
            yield f"model {model.label!r}: no weights at {' and '.join(map(str, absent))}{origin}"
        elif isinstance(model, Opened) and (absent := _absent(model)):
            yield f"model {model.label!r}: no file at {absent[0]}"


def _absent(model: Stored | Opened) -> list[Path]:
    """The files of a model that are not there."""
    files = model.weights if isinstance(model, Stored) else [Path(file) for file in [file_of(model.model)] if file]
    return [path for path in files if not path.is_file()]


def recipes(spec: Spec, sets: Sets) -> Iterator[Recipe]:
    """Every model of a study whose files are there or that it trains, strategy by strategy and seed by seed."""
    for model in spec.models:
        if isinstance(model, Stored):
            yield from [] if _absent(model) else [_stored(model)]
        elif isinstance(model, Fitted):
            yield from (_fitted(model, sets, seed) for seed in model.seeds)
        elif isinstance(model, Opened):
            yield from [] if _absent(model) else [_opened(model, sets)]
        else:
            strategy = model.strategy.build("strategies")
            yield from (_trained(spec, sets, model, strategy, seed) for seed in model.seeds)


def _trained(spec: Spec, sets: Sets, model: Trained, strategy: Strategy, seed: int) -> TrainedRecipe:
    strategy.check_task(sets.task, {one.role for one in sets.streams})
    network = spec.network or Plugin(name=sets.task.network)
    key = keys.key(
        strategy=strategy,
        network=network.model_dump(),
        seed=seed,
        epochs=spec.epochs,
        layers=spec.layers,
        data=sets.train.data.digest(),
        **_beside(spec, sets),
        **_weights_of(network),
        code=keys.of_code(type(strategy), type(sets.task), train, registry.find("networks", network.name)),
    )
    told = model.named(seed), model.title, strategy.family, seed
    return TrainedRecipe(*told, key, strategy, network, spec.epochs, spec.layers)


def _beside(spec: Spec, sets: Sets) -> dict[str, Any]:
    """What training rests on beside the training set, of tasks that say so."""
    if spec.task is None:
        return {"streams": [[one.role, one.data.digest()] for one in sets.streams]} if sets.streams else {}
    streams = [[one.role, one.data.digest()] for one in sets.streams]
    return {"task": spec.task.model_dump(mode="json"), "streams": streams}


def _weights_of(network: Plugin) -> dict[str, Any]:
    """The content of the weights that a network begins with, where it has such."""
    content = getattr(registry.find("networks", network.name), "content", None)
    return {} if content is None else {"content": content(**network.params)}


def _fitted(model: Fitted, sets: Sets, seed: int) -> FittedRecipe:
    key = keys.key(
        estimator=model.estimator.model_dump(),
        seed=seed,
        data=sets.train.data.digest(),
        judges=sets.task.judges,
        version=sklearn.__version__,
        code=keys.of_code(SklearnModel),
    )
    return FittedRecipe(model.named(seed), model.title, model.family, seed, key, model.estimator)


def _opened(model: Opened, sets: Sets) -> OpenedRecipe:
    """A recipe whose key is the opened model's own content."""
    recipe = OpenedRecipe(model.label, model.strategy or model.label, model.family, model.seed, "", model)
    found = recipe.obtain(sets, Path(), lambda *_: None)
    return replace(recipe, key=keys.key(opened=found.digest(), code=keys.of_code(type(found))))


def _stored(model: Stored) -> StoredRecipe:
    key = keys.key(
        weights=[keys.of_file(path) for path in model.weights],
        stored=model.model_dump(exclude={"weights", "label", "strategy", "family", "seed", "origin"}),
        code=keys.of_code(registry.find("networks", model.network.name), TorchModel, renamed),
    )
    return StoredRecipe(model.label, model.strategy or model.label, model.family, model.seed, key, model)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
