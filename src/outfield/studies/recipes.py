"""How a study comes by its models: it trains them, or loads their weights."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from outfield import checksums, keys, registry
from outfield.data.base import Dataset
from outfield.errors import UserError
from outfield.models.networks._published import renamed, under_own_names
from outfield.models.preprocess import Pictures
from outfield.models.torch import TorchModel, load_into, load_weights
from outfield.places import copies, file_name, is_there
from outfield.store.write import DamagedFileWarning, atomically, set_aside
from outfield.strategies import train
from outfield.strategies.base import Strategy
from outfield.studies.sets import Sets
from outfield.studies.spec import Plugin, Spec, Stored, Trained
from outfield.tasks.classify import Classify
from outfield.types import Batch

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

    @abstractmethod
    def obtain(self, sets: Sets, folder: Path, report: Report, device: str = "cpu") -> TorchModel:
        """The model; ``report(done, total)`` while it is made, ``folder`` keeps what was made."""


@dataclass(frozen=True)
class TrainedRecipe(Recipe):
    """A model that the study trains; its weights are kept in the study's folder under its key."""

    training: Strategy
    network: Plugin
    epochs: int | None
    layers: tuple[str, ...] | None

    def obtain(self, sets: Sets, folder: Path, report: Report, device: str = "cpu") -> TorchModel:
        network = self._kept(sets, folder) or self._train(sets, folder / self._file, report)
        example = sets.train.data.read(slice(0, 2))
        return TorchModel(network, example, layers=self.layers, name=self.name, device=device)

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
        """A fresh network with an output for each class."""
        network: nn.Module = registry.create(
            "networks", self.network.name, **{"classes": sets.classes, **self.network.params}
        )
        return network

    def _load(self, sets: Sets, weights: Path) -> nn.Module:
        network = self.training.architecture(lambda: self.untrained(sets), Classify(classes=sets.classes))
        with copies([weights]) as (here,):
            if not checksums.check_file(here, WEIGHTS, self.key):
                checksums.tell_of_earlier(weights.parent, f"the file {weights.name} bears")
            network.load_state_dict(load_weights(here))
        return network.eval()

    def _train(self, sets: Sets, weights: Path, report: Report) -> nn.Module:
        network = train(
            self.training,
            lambda: self.untrained(sets),
            training_set(sets.train.data),
            Classify(classes=sets.classes),
            seed=self.seed,
            epochs=self.epochs,
            report=report,
        )
        _save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, weights, self.key)
        return network


def training_set(data: Dataset) -> Batch:
    """Pictures and labels as the training loop takes them."""
    return Batch(Pictures()(data.read(slice(0, len(data)))), torch.from_numpy(np.asarray(data.labels)))


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

    stored: Stored

    def obtain(self, sets: Sets, folder: Path, report: Report, device: str = "cpu") -> TorchModel:
        stored = self.stored
        return TorchModel(
            self._network().eval(),
            sets.train.data.read(slice(0, 2)),
            preprocess=Pictures(**_tuples(stored.preprocess)),
            head=stored.head,
            layers=stored.layers,
            name=self.name,
            device=device,
        )

    def _network(self) -> nn.Module:
        stored = self.stored
        network: nn.Module = registry.create("networks", stored.network.name, **stored.network.params)
        weights = {name: tensor for path in stored.weights for name, tensor in load_weights(path).items()}
        named = under_own_names(network, renamed(weights, stored.rename))
        where = " and ".join(path.name for path in stored.weights)
        return load_into(network, named, f"the network {stored.network.name!r} in {where}")


def missing(spec: Spec) -> Iterator[str]:
    """Models whose weights are not there, each with where they should be and where they are published."""
    for model in spec.models:
        if isinstance(model, Stored) and (absent := [str(path) for path in model.weights if not path.is_file()]):
            origin = f"; published at {model.origin}" if model.origin else ""
            yield f"model {model.label!r}: no weights at {' and '.join(absent)}{origin}"


def recipes(spec: Spec, sets: Sets) -> Iterator[Recipe]:
    """Every model of a study whose weights are there or that it trains, strategy by strategy and seed by seed."""
    for model in spec.models:
        if isinstance(model, Stored):
            yield from [_stored(model)] if all(path.is_file() for path in model.weights) else []
        else:
            strategy = model.strategy.build("strategies")
            yield from (_trained(spec, sets, model, strategy, seed) for seed in model.seeds)


def _trained(spec: Spec, sets: Sets, model: Trained, strategy: Strategy, seed: int) -> TrainedRecipe:
    assert spec.network is not None
    key = keys.key(
        strategy=strategy,
        network=spec.network.model_dump(),
        seed=seed,
        epochs=spec.epochs,
        layers=spec.layers,
        data=sets.train.data.digest(),
        code=keys.of_code(type(strategy), train, registry.find("networks", spec.network.name)),
    )
    told = model.named(seed), model.title, strategy.family, seed
    return TrainedRecipe(*told, key, strategy, spec.network, spec.epochs, spec.layers)


def _stored(model: Stored) -> StoredRecipe:
    key = keys.key(
        weights=[keys.of_file(path) for path in model.weights],
        stored=model.model_dump(exclude={"weights", "label", "strategy", "family", "seed", "origin"}),
        code=keys.of_code(registry.find("networks", model.network.name), TorchModel, renamed),
    )
    return StoredRecipe(model.label, model.strategy or model.label, model.family, model.seed, key, model)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
