"""The fine-tuning loop: one seed decides everything, and a checkpoint goes on to the same weights."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from outfield import checksums, keys
from outfield.errors import UserError
from outfield.store.write import atomically
from outfield.trajectory.nli.models import Encoded, PairModel
from outfield.trajectory.nli.processes import World
from outfield.trajectory.nli.spec import Training


def total_steps(training: Training, pairs: int) -> int:
    """How many steps a run takes.

    Examples
    --------
    >>> total_steps(Training(epochs=2, batch=16), 40)
    6
    """
    return training.steps or training.epochs * math.ceil(pairs / training.batch)


class Finetuning:
    """A run of AdamW with linear warm-up and decay over the model's trainable weights.

    Parameters
    ----------
    model : PairModel
    encoded : Encoded
        The training pairs.
    labels : Tensor of int64, shape [n]
    training : Training
    seed : int
    world : World, optional
        The processes that train together.
    """

    def __init__(
        self,
        model: PairModel,
        encoded: Encoded,
        labels: Tensor,
        training: Training,
        seed: int,
        *,
        world: World = World(),  # noqa: B008  # frozen
    ) -> None:
        self.world = model.world = world
        self.model, self.encoded, self.labels, self.training, self.seed = model, encoded, labels, training, seed
        self.step, self.total = 0, total_steps(training, len(encoded))
        self.weights = {name: w for name, w in model.module.named_parameters() if w.requires_grad}
        decay = training.weight_decay
        optimizer = torch.optim.AdamW(self.weights.values(), lr=training.learning_rate, weight_decay=decay)
        model.wrapped, self.optimizer = world.prepared(model.module, optimizer)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)

    def _rate(self, step: int) -> float:
        warm = max(1, round(self.training.warm_up * self.total))
        return min((step + 1) / warm, max(0.0, (self.total - step) / max(1, self.total - warm)))

    def run(self, on_step: Callable[[Finetuning], None], resume: Path | None = None) -> None:
        """Train to the end; ``on_step`` is told before the first step and after each, or after a resumed one."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + 1_000_003 * self.world.rank)
            if resume is None:
                self._tell(on_step)
            else:
                self.load(resume)
            while self.step < self.total:
                self._advance()
                self._tell(on_step)

    def _tell(self, on_step: Callable[[Finetuning], None]) -> None:
        chance = torch.get_rng_state()
        on_step(self)
        torch.set_rng_state(chance)

    def _advance(self) -> None:
        self.model.wrapped.train()
        rows = self._rows()
        mine = self.world.part(rows)
        loss = self.model.loss(self.encoded, mine, self.labels[mine]) * self.world.share(rows)
        if not loss.isfinite():
            raise UserError(
                f"Expected a finite loss, but got {loss.item()} at step {self.step}. "
                f"Lower training.learning_rate ({self.training.learning_rate:g})."
            )
        self.optimizer.zero_grad()
        self.world.backward(loss)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1

    def _rows(self) -> list[int]:
        size = self.training.batch
        epoch, place = divmod(self.step, math.ceil(len(self.encoded) / size))
        chance = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        rows: list[int] = torch.randperm(len(self.encoded), generator=chance)[place * size :][:size].tolist()
        return rows

    def key(self) -> str:
        """Content key of what the run is: two runs of one key give the same weights."""
        return keys.key(
            ids=self.encoded.ids, labels=self.labels.tolist(), training=self.training.model_dump(), seed=self.seed,
            weights=sorted([name, list(w.shape)] for name, w in self.weights.items()),
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all; of several processes the first, where each has all weights.

        Raises
        ------
        UserError
            The folder cannot be written, or the disk is full.
        """
        parts = {
            "schedule": self.schedule.state_dict(), "step": self.step, "run": self.key(), "name": path.name,
            "chance": torch.get_rng_state(), "accelerators": _chance_of_accelerators(),
        }  # fmt: skip
        if self.world.sharded:
            self.world.save(_parts_of(path, self.step))
        else:
            parts["weights"] = {name: w.detach() for name, w in self.weights.items()}
            parts["optimizer"] = self.optimizer.state_dict()
        if self.world.rank:
            return
        with atomically(path) as temporary, temporary.open("wb") as file:
            torch.save(parts, file)
        forget_parts(path, but=self.step)

    def load(self, path: Path) -> None:
        """Go back to a checkpoint of this run.

        Raises
        ------
        UserError
            It is damaged, or of another run.
        """
        with checksums.reading_archive(path, "a checkpoint of this run", "Delete it."):
            parts: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
            if (parts.get("run"), parts.get("name", path.name)) != (self.key(), path.name):
                raise UserError(f"Expected a checkpoint of this run at {path}, but it is of another. Delete it.")
            if self.world.sharded:
                self.world.load(_parts_of(path, parts["step"]))
            else:
                self._take(parts["weights"])
                self.optimizer.load_state_dict(parts["optimizer"])
            self.schedule.load_state_dict(parts["schedule"])
            self.step = parts["step"]
            torch.set_rng_state(parts["chance"])
            if parts["accelerators"]:
                torch.cuda.set_rng_state_all(parts["accelerators"])

    def _take(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])


def _chance_of_accelerators() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def forget_parts(path: Path, but: int | None = None) -> None:
    """Remove the folders beside a checkpoint that hold processes' parts, those of one step excepted."""
    for folder in path.parent.glob(f"{path.stem}.*"):
        if folder.is_dir() and folder.suffix != f".{but}":
            shutil.rmtree(folder)


def _parts_of(path: Path, step: int) -> Path:
    """The folder beside a checkpoint that holds the processes' parts of a step."""
    return path.with_suffix(f".{step}")
