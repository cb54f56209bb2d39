"""The one training loop: any strategy, any network, the same weights for the same seed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from outfield import checksums, keys, temporary_files
from outfield.errors import UserError
from outfield.strategies._processes import Processes
from outfield.strategies.base import MakeNetwork, Optimizers, Strategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class Moment:
    """Where a run stands: after ``step`` of ``total`` steps (0 is before training).

    Both functions are for use within the callback that was told the moment.

    Parameters
    ----------
    step, total : int
    network : nn.Module
        The network in training, as the processes hold it: to look at where it is too large for a copy.
    snapshot : callable
        Gives what the run would give if it ended there, finished and in evaluation mode: a copy, which may be kept and
        used without any effect on the run.
    save : callable
        Writes a checkpoint to a path, from which ``train(..., resume=path)`` goes on to the same weights. The file
        is there whole or not at all.
    """

    step: int
    total: int
    network: nn.Module
    snapshot: Callable[[], nn.Module]
    save: Callable[[Path], None]


def train(
    strategy: Strategy,
    make_network: MakeNetwork,
    data: Batch,
    task: Task,
    *,
    seed: int,
    epochs: int | None = None,
    report: Callable[[int, int], None] | None = None,
    on_step: Callable[[Moment], None] | None = None,
    resume: Path | None = None,
    accelerator: str = "cpu",
    processes: Processes | None = None,
    threads: int | None = 1,
    about: str = "",
) -> nn.Module:
    """A network trained by a strategy.

    One seed decides everything: on one machine's CPU equal seeds give equal weights, bit by bit. The global random
    state and the number of threads are as before when it returns.

    Parameters
    ----------
    strategy : Strategy
    make_network : callable
        Makes a fresh network: one that is checked, and one that is trained.
    data : Batch
        The whole training set, with its groups and streams. A classifier of pictures learns from ``x``, float32
        [n, channels, height, width] in [0, 1], and ``y``, class numbers [n].
    task : Task
        Checks the data and a network, makes the targets, and has the loss where the strategy has none of its own.
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
        ``cpu``, ``cuda``, or another type of PyTorch's; ``auto``: what there is.
    processes : Processes, optional
        Those that train together, in the place of ``accelerator``.
    threads : int, optional
        Of PyTorch, during the run; None leaves them, and then equal seeds may differ in the last digits.
    about : str
        What else decides the weights, such as the content of those that the network begins with: a checkpoint of
        another run is refused.

    Returns
    -------
    nn.Module
        In evaluation mode, on the CPU (with ``processes``, where they put it).

    Raises
    ------
    UserError
        Data, task, strategy and network do not fit each other; the loss is not finite; the checkpoint is damaged or of
        another run.

    Examples
    --------
    >>> from outfield.registry import create
    >>> from outfield.tasks.classify import Classify
    >>> data = Batch(torch.rand(8, 1, 16, 16), torch.arange(8) % 2)
    >>> network = train(
    ...     create("strategies", "mixup", alpha=0.2), lambda: create("networks", "small_cnn", classes=2),
    ...     data, Classify(classes=2), seed=0, epochs=1,
    ... )
    >>> network(data.x).shape, network.training
    (torch.Size([8, 2]), False)
    """
    processes = processes or Processes(accelerator)
    if epochs is not None and epochs < 1:
        raise UserError(f"Expected at least 1 epoch, but got {epochs}. Leave epochs out for the strategy's own.")
    with _forked(processes):
        strategy.check_task(task, data.streams)
        task.check(data, make_network())
        strategy.check(data)
    with _seeded(seed, processes), _threads(threads):
        run = _Run(strategy, make_network, data, task, seed=seed, epochs=epochs, processes=processes, about=about)
        if processes.rank:  # all begin alike; then each draws its own
            _seed(seed + 1_000_003 * processes.rank, processes)
        if resume is None:
            run.tell(on_step)
        else:
            run.load(resume)
        while run.step < run.total:
            run.advance()
            run.tell(on_step)
            if report is not None:
                report(run.step, run.total)
        return run.finished(run.module)


class _Run:
    """A run under way: what a step changes, and nothing that could be computed from it."""

    def __init__(
        self,
        strategy: Strategy,
        make_network: MakeNetwork,
        data: Batch,
        task: Task,
        *,
        seed: int,
        epochs: int | None,
        processes: Processes,
        about: str,
    ) -> None:
        self.strategy, self.task, self.seed, self.processes = strategy, task, seed, processes
        self.step, self.total = 0, strategy.total_steps(len(data), epochs)
        self.key = partial(_key, strategy, data, seed=seed, steps=self.total, about=about)
        data = strategy.data(replace(data, rows=torch.arange(len(data))), task)
        self.module = strategy.network(make_network, task)
        strategy.begin(self.module, data, task)
        self.data = data.to(processes.device)
        _lay_out(self.module, torch.channels_last)
        optimizers = _named(strategy.optimizer(self.module))
        self.network, optimizers = processes.prepared(self.module, optimizers)
        self.peaks = {name: [group["lr"] for group in one.param_groups] for name, one in optimizers.items()}
        self.optimizers, self.share = Optimizers(optimizers, self._backward), 1.0

    def advance(self) -> None:
        """One step."""
        strategy, task, network, optimizers = self.strategy, self.task, self.network, self.optimizers
        self._set_rates()
        network.train()
        batch = strategy.batch(network, task.targets(self._drawn(), network), task)
        strategy.step(network, batch, task, optimizers)
        strategy.after_step(network, batch, task)
        self.step += 1

    def _set_rates(self) -> None:
        self.optimizers.step, self.optimizers.total = self.step, self.total
        share = self.strategy.schedule(self.step, self.total)
        for name, optimizer in self.optimizers.items():
            for group, peak in zip(optimizer.param_groups, self.peaks[name], strict=True):
                group["lr"] = peak * share

    def _drawn(self) -> Batch:
        """The items of a step, and of each stream."""
        rows = self._rows(len(self.data), self.strategy.batch_size, self.strategy.steps_per_epoch(len(self.data)))
        self.share = self.processes.share(len(rows))
        return replace(self._mine(self.data, rows), streams=dict(self._streams()))

    def _streams(self) -> Iterator[tuple[str, Batch]]:
        for role in sorted(self.strategy.streams):
            stream, size = self.data.streams[role], self.strategy.stream_size(role)
            yield role, self._mine(stream, self._rows(len(stream), size, max(1, len(stream) // size), role))

    def _mine(self, data: Batch, rows: Tensor) -> Batch:
        return data[self.processes.part(rows)]

    def _rows(self, items: int, size: int, steps: int, role: str = "") -> Tensor:
        """Which of the items this step reads: an order for each epoch, a stream's apart from the training set's."""
        epoch, place = divmod(self.step, steps)
        chance = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch + (crc32(role.encode()) << 30))
        return torch.randperm(items, generator=chance)[place * size :][:size]

    def _backward(self, loss: Tensor) -> None:
        if not loss.isfinite():
            raise UserError(
                f"Expected a finite loss, but got {loss.item()} at step {self.step} of {self.strategy}. "
                f"Lower its learning_rate ({self.strategy.learning_rate:g})."
            )
        self.processes.backward(loss * self.share)

    def finished(self, network: nn.Module) -> nn.Module:
        """What is made of the trained network, or of a copy of it."""
        network = self.strategy.finish(network, self.data, self.task)
        network.zero_grad()
        _lay_out(network, torch.contiguous_format)
        return self.processes.finished(network).eval()

    def tell(self, on_step: Callable[[Moment], None] | None) -> None:
        """Tells a callback this moment, whatever it draws."""
        if on_step is not None:
            save = partial(self._save, chance=_chance(self.processes))
            with _forked(self.processes):
                on_step(Moment(self.step, self.total, self.network, lambda: self.finished(deepcopy(self.module)), save))

    def _save(self, path: Path, chance: list[Tensor]) -> None:
        unfinished = path.with_name(f".{path.name}.{temporary_files.tag()}.part")
        state = {"step": self.step, "run": self.key(), "chance": chance, **self._parts()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.processes.save(_parts_of(path, self.step))
            if self.processes.rank:
                return
            with unfinished.open("wb") as file:
                torch.save(state, file)
            unfinished.replace(path)
        except (OSError, RuntimeError) as error:
            unfinished.unlink(missing_ok=True)
            raise UserError(
                f"Expected to write the checkpoint {path}, but got: {error}. Free some space, or choose another folder."
            ) from error
        forget_parts(path, but=self.step)

    def _parts(self) -> dict[str, Any]:
        """Weights and optimisers, where this process has all of them."""
        if self.processes.sharded:
            return {}
        optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        return {"network": self.strategy.state(self.module), "optimizers": optimizers}

    def load(self, path: Path) -> None:
        """Goes back to a checkpoint of this run."""
        with checksums.reading_archive(path, "a checkpoint of this run", "Delete it to train from the start."):
            rest = torch.load(path, weights_only=True, map_location="cpu")
            if rest.get("run") != self.key():
                raise UserError(
                    f"Expected a checkpoint of this run at {path}, but it is of another strategy, seed, length or "
                    "data. Pass the checkpoint that belongs to them, or delete it to train from the start."
                )
            self.step = rest["step"]
            self.processes.load(_parts_of(path, self.step))
            if not self.processes.sharded:
                self._take(rest)
            _set_chance(rest["chance"])

    def _take(self, rest: Mapping[str, Any]) -> None:
        if others := self.strategy.state(self.module).keys() ^ rest["network"].keys():
            raise ValueError(f"it has other weights: {', '.join(sorted(others))}")
        self.module.load_state_dict(rest["network"], strict=False)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(rest["optimizers"][name])


def forget_parts(path: Path, but: int | None = None) -> None:
    """Remove the folders beside a checkpoint that hold processes' parts, those of one step excepted."""
    for folder in path.parent.glob(f"{escape(path.name)}.*.parts"):
        if folder != _parts_of(path, but):
            shutil.rmtree(folder)


def _parts_of(path: Path, step: int | None) -> Path:
    """The folder beside a checkpoint that holds the processes' parts of a step."""
    return path.with_name(f"{path.name}.{step}.parts")


def _key(strategy: Strategy, data: Batch, *, seed: int, steps: int, about: str) -> str:
    return keys.key(strategy=strategy, seed=seed, steps=steps, about=about, data=data.digest())


def _named(optimizers: Optimizer | Mapping[str, Optimizer]) -> Mapping[str, Optimizer]:
    return {"all": optimizers} if isinstance(optimizers, Optimizer) else optimizers


def _chance(processes: Processes) -> list[Tensor]:
    return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, processes.gpus)]


def _set_chance(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for device, state in enumerate(states[1:]):
        torch.cuda.set_rng_state(state, device)


def _lay_out(network: nn.Module, order: torch.memory_format) -> None:
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=order)


def _forked(processes: Processes) -> AbstractContextManager[None]:
    return torch.random.fork_rng(devices=processes.gpus)


@contextmanager
def _seeded(seed: int, processes: Processes) -> Iterator[None]:
    with _forked(processes):
        _seed(seed, processes)
        yield


def _seed(seed: int, processes: Processes) -> None:
    torch.default_generator.manual_seed(seed)
    for device in processes.gpus:
        torch.cuda.default_generators[device].manual_seed(seed)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
