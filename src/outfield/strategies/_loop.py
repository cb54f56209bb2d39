"""The one training loop: any strategy, any network, the same weights for the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from outfield import checksums, keys, temporary_files
from outfield.errors import UserError
from outfield.strategies import _heads
from outfield.strategies.base import MakeNetwork, Strategy

WARM_UP = 0.2
"""Share of the steps over which the learning rate rises."""


@dataclass(frozen=True)
class Moment:
    """Where a run stands: after ``step`` of ``total`` steps (0 is before training).

    Both functions are for use within the callback that was told the moment.

    Parameters
    ----------
    step, total : int
    snapshot : callable
        Gives the classifier of that moment, finished and in evaluation mode: a copy, which may be kept and used
        without any effect on the run.
    save : callable
        Writes a checkpoint to a path, from which ``train(..., resume=path)`` goes on to the same weights. The file
        is there whole or not at all.
    """

    step: int
    total: int
    snapshot: Callable[[], nn.Module]
    save: Callable[[Path], None]


def train(
    strategy: Strategy,
    make_network: MakeNetwork,
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    seed: int,
    epochs: int | None = None,
    report: Callable[[int, int], None] | None = None,
    on_step: Callable[[Moment], None] | None = None,
    resume: Path | None = None,
    accelerator: str = "cpu",
) -> nn.Module:
    """A classifier trained by a strategy.

    One seed decides everything: on one machine's CPU equal seeds give equal weights, bit by bit. The global random
    state and the number of threads are as before when it returns.

    Parameters
    ----------
    strategy : Strategy
    make_network : callable
        Makes a fresh network, whose last layer is linear with one output a class.
    images : Tensor of float32, shape [n, channels, height, width], values in [0, 1]
    labels : Tensor of int64, shape [n], values from 0 to ``classes - 1``
    classes : int
        C; each class must have pictures.
    seed : int
    epochs : int, optional
        Instead of the strategy's own.
    report : callable, optional
        Told after each step how many are done and how many there are.
    on_step : callable, optional
        Told the ``Moment`` before the first step and after each. What it does with random numbers changes nothing.
    resume : Path, optional
        A checkpoint of the same run, which goes on after it; ``on_step`` is told the steps after it alone.
    accelerator : str
        As Lightning Fabric names it: ``cpu``, ``cuda``, ``auto``.

    Returns
    -------
    nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    UserError
        Pictures, labels, classes and network do not fit each other; a class has no pictures; the loss is not finite;
        the checkpoint is damaged or of another run.

    Examples
    --------
    >>> from outfield.registry import create
    >>> images, labels = torch.rand(8, 1, 16, 16), torch.arange(8) % 2
    >>> network = train(
    ...     create("strategies", "mixup", alpha=0.2), lambda: create("networks", "small_cnn", classes=2),
    ...     images, labels, classes=2, seed=0, epochs=1,
    ... )
    >>> network(images).shape, network.training
    (torch.Size([8, 2]), False)
    """
    _check_data(images, labels, classes)
    if epochs is not None and epochs < 1:
        raise UserError(f"Expected at least 1 epoch, but got {epochs}. Leave epochs out for the strategy's own.")
    with _seeded(seed, accelerator), _one_thread():
        run = _Run(
            strategy,
            make_network=make_network,
            images=images,
            labels=labels,
            classes=classes,
            seed=seed,
            epochs=strategy.epochs if epochs is None else epochs,
            accelerator=accelerator,
        )
        if resume is None:
            _tell(on_step, run)
        else:
            run.load(resume)
        while run.step < run.total:
            run.advance()
            _tell(on_step, run)
            if report is not None:
                report(run.step, run.total)
        return run.classifier()


class _Run:
    """A run under way: what a step changes, and nothing that could be computed from it."""

    def __init__(
        self,
        strategy: Strategy,
        *,
        make_network: MakeNetwork,
        images: Tensor,
        labels: Tensor,
        classes: int,
        seed: int,
        epochs: int,
        accelerator: str,
    ) -> None:
        from lightning_fabric import Fabric

        self.strategy, self.classes, self.seed, self.step = strategy, classes, seed, 0
        self.given, self.accelerator = (epochs, images, labels), accelerator
        self.fabric = Fabric(accelerator=accelerator, devices=1)
        self.total = strategy.total_steps(len(images), epochs)
        images, labels = strategy.data(images, labels, classes)
        self.images, self.labels = self.fabric.to_device(images), self.fabric.to_device(labels)
        network = strategy.network(lambda: _checked(make_network(), classes))
        _lay_out(network, torch.channels_last)
        optimizer = _optimizer(strategy, network)
        self.schedule = LambdaLR(optimizer, lambda step: _rate(step / self.total))
        self.network, self.optimizer = self.fabric.setup(network, optimizer)
        self.averaged = strategy.averaged(self.network.module)

    def advance(self) -> None:
        """One step."""
        x, y = self._batch()
        loss = self.strategy.loss(self.network, x, y)
        if not loss.isfinite():
            raise UserError(
                f"Expected a finite loss, but got {loss.item()} at step {self.step} of {self.strategy}. "
                f"Lower its learning_rate ({self.strategy.learning_rate:g})."
            )
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        self.schedule.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network.module)
        self.step += 1

    def _batch(self) -> tuple[Tensor, Tensor]:
        rows = self._rows().to(self.images.device)
        x = self.strategy.augment(self.images[rows]).contiguous(memory_format=torch.channels_last)
        y = functional.one_hot(self.labels[rows], self.classes).float()
        self.network.train()
        return self.strategy.batch(self.network, x, y)

    def _rows(self) -> Tensor:
        size = min(self.strategy.batch_size, len(self.images))
        epoch, place = divmod(self.step, len(self.images) // size)
        chance = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.images), generator=chance)[place * size :][:size]

    def classifier(self) -> nn.Module:
        """The classifier that the run would give if it ended here."""
        trained = self.network.module if self.averaged is None else self.averaged.module
        network = self.strategy.finish(deepcopy(trained), self.images, self.labels, self.classes)
        network.zero_grad()
        _lay_out(network, torch.contiguous_format)
        return network.cpu().eval()

    def moment(self) -> Moment:
        """This moment, for a callback."""
        return Moment(self.step, self.total, self.classifier, partial(self._save, chance=_chance(self.accelerator)))

    def _save(self, path: Path, chance: list[Tensor]) -> None:
        unfinished = path.with_name(f".{path.name}.{temporary_files.tag()}.part")
        try:
            self.fabric.save(unfinished, {**self._parts(), "step": self.step, "run": self._key(), "chance": chance})
            unfinished.replace(path)
        except (OSError, RuntimeError) as error:
            unfinished.unlink(missing_ok=True)
            raise UserError(
                f"Expected to write the checkpoint {path}, but got: {error}. Free some space, or choose another folder."
            ) from error

    def load(self, path: Path) -> None:
        """Goes back to a checkpoint of this run."""
        with checksums.reading_archive(path, "a checkpoint of this run", "Delete it to train from the start."):
            rest = self.fabric.load(path, weights_only=True)
            if rest.get("run") != self._key():
                raise UserError(
                    f"Expected a checkpoint of this run at {path}, but it is of another strategy, seed, length or "
                    "data. Pass the checkpoint that belongs to them, or delete it to train from the start."
                )
            for name, part in self._parts().items():
                part.load_state_dict(rest[name])
            self.step = rest["step"]
            _set_chance(rest["chance"])

    def _parts(self) -> dict[str, Any]:
        parts = {"network": self.network, "optimizer": self.optimizer, "schedule": self.schedule}
        return parts if self.averaged is None else {**parts, "averaged": self.averaged}

    def _key(self) -> str:
        epochs, images, labels = self.given
        data = keys.of_tensors({"images": images, "labels": labels})
        return keys.key(strategy=self.strategy, seed=self.seed, epochs=epochs, classes=self.classes, data=data)


def _tell(on_step: Callable[[Moment], None] | None, run: _Run) -> None:
    if on_step is not None:
        with _forked(run.accelerator):
            on_step(run.moment())


def _chance(accelerator: str) -> list[Tensor]:
    return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, _gpus(accelerator))]


def _set_chance(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0].cpu())
    for device, state in enumerate(states[1:]):
        torch.cuda.set_rng_state(state.cpu(), device)


def _optimizer(strategy: Strategy, network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [weight for weight in network.parameters() if weight.requires_grad],
        lr=strategy.learning_rate,
        momentum=strategy.momentum,
        weight_decay=strategy.weight_decay,
    )


def _lay_out(network: nn.Module, order: torch.memory_format) -> None:
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=order)


def _rate(done: float) -> float:
    """The share of the peak learning rate, when ``done`` of the run is behind: a rise, then half a cosine."""
    if done < WARM_UP:
        return (done + 0.01) / (WARM_UP + 0.01)
    return (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


def _gpus(accelerator: str) -> list[int]:
    return [] if accelerator == "cpu" else list(range(torch.cuda.device_count()))


def _forked(accelerator: str) -> AbstractContextManager[None]:
    return torch.random.fork_rng(devices=_gpus(accelerator))


@contextmanager
def _seeded(seed: int, accelerator: str) -> Iterator[None]:
    with _forked(accelerator):
        torch.default_generator.manual_seed(seed)
        for device in _gpus(accelerator):
            torch.cuda.default_generators[device].manual_seed(seed)
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _check_data(images: Tensor, labels: Tensor, classes: int) -> None:
    if images.ndim != 4 or images.dtype != torch.float32 or labels.dtype != torch.int64:
        raise UserError(
            f"Expected pictures as float32 [n, channels, height, width] and labels as int64, but got {images.dtype} "
            f"{list(images.shape)} and {labels.dtype}. Divide uint8 pictures by 255 and move their channels first."
        )
    if labels.shape != images.shape[:1] or not len(images):
        raise UserError(
            f"Expected one label for each picture, but got {len(images)} pictures and labels "
            f"{list(labels.shape)}. Pass the labels of the same split."
        )
    if not (images.amin() >= 0 and images.amax() <= 1):
        raise UserError(
            f"Expected pictures in [0, 1], but got values from {images.amin():g} to {images.amax():g}. "
            "Scale them, and leave any other normalisation to the network."
        )
    _check_labels(labels, classes)


def _check_labels(labels: Tensor, classes: int) -> None:
    if classes < 2:
        raise UserError(f"Expected at least 2 classes, but got {classes}. Pass data with more than one class.")
    found = set(labels.unique().tolist())
    if outside := sorted(found - set(range(classes))):
        raise UserError(
            f"Expected labels from 0 to {classes - 1}, but got {outside}. Number the classes from 0, or raise classes."
        )
    if missing := sorted(set(range(classes)) - found):
        raise UserError(
            f"Expected pictures of all {classes} classes, but got none of {missing}. "
            "Add pictures of them, or number the classes that there are from 0."
        )


def _checked(network: nn.Module, classes: int) -> nn.Module:
    name, head = _heads.head_of(network)
    if head.out_features != classes:
        raise UserError(
            f"Expected a network with {classes} outputs, one for each class, but its last linear layer {name!r} has "
            f"{head.out_features}. Make the network with classes={classes}."
        )
    return network
