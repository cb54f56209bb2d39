"""The bridge between the two studies: accuracies under shift and AUROCs of detectors along training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from outfield import keys, registry
from outfield.data.base import Dataset
from outfield.data.member import Member
from outfield.errors import UserError
from outfield.features.fit_data import FitData, InMemory
from outfield.metrics.auroc import Auroc
from outfield.metrics.base import IdScores, Predictions
from outfield.models.torch import TorchModel
from outfield.places import file_name
from outfield.store import write
from outfield.strategies import train
from outfield.strategies._loop import Moment
from outfield.studies.executors.base import Executor
from outfield.studies.recipes import TrainedRecipe, recipes, training_set
from outfield.studies.sets import Sets, load, ordered_like
from outfield.tasks.classify import Classify
from outfield.trajectory.runs import Outcome, Told, follow, resumable
from outfield.trajectory.spec import Trajectory
from outfield.trajectory.tracker import HALVES, EvalSet, Run, Tracker
from outfield.types import Outputs

PARTS = {"auroc": slice(None), HALVES[0]: slice(0, None, 2), HALVES[1]: slice(1, None, 2)}
"""Of the items of both sides: an AUROC of all, and two that share no item."""


def track(
    spec: Trajectory,
    folder: Path | str | None = None,
    *,
    told: Told = lambda *_: None,
    sets: Sets | None = None,
    executor: Executor | None = None,
) -> Outcome:
    """Train the runs of a study and measure each at its checkpoints; again, and it goes on where it was.

    Parameters
    ----------
    spec : Trajectory
    folder : path, optional
        By default ``results/NAME``.
    told : callable, optional
    sets : Sets, optional
        The study's data, where it is loaded already.
    executor : Executor, optional
        By default processes on this machine, as many as the study's ``resources`` say.

    Raises
    ------
    Problems
        Data that cannot be used.
    UserError
        The folder cannot be written; a run that failed; a set of the same labels has other classes.
    """
    folder = Path(folder or Path("results") / spec.name)
    sets = sets or load(spec)
    elsewhere = tuple(_same_labels(spec, sets))
    runs = [_Run.of(spec, sets, elsewhere, recipe, folder) for recipe in recipes(spec, sets)]
    resources = spec.resources
    return follow(
        runs, folder, spec.model_dump_json(indent=2), told, processes=resources.processes, threads=resources.threads,
        executor=executor,
    )  # fmt: skip


def _same_labels(spec: Trajectory, sets: Sets) -> Iterator[Member]:
    for one in spec.same_labels:
        data = ordered_like(one.source.build("sources").load(), sets.train.data.classes)
        if data.labels is None or int(data.labels.max()) >= sets.classes:
            raise UserError(
                f"Expected the {sets.classes} ID classes as labels of {one.name!r}, but got "
                f"{'none' if data.labels is None else sorted(set(data.labels.tolist()))}. Choose the ID classes of it."
            )
        yield Member(one.name, "shift", data)


@dataclass(frozen=True, eq=False)
class _Run:
    """One training run: what is measured, where it is written, at which steps."""

    spec: Trajectory
    sets: Sets
    elsewhere: tuple[Member, ...]
    recipe: TrainedRecipe
    tracker: Tracker
    steps: tuple[int, ...]
    checkpoint: Path

    @classmethod
    def of(cls, spec: Trajectory, sets: Sets, elsewhere: tuple[Member, ...], recipe: Any, folder: Path) -> _Run:
        detectors = [[one.name, one.params] for one in spec.detectors]
        code = keys.of_code(cls, *(registry.find("detectors", one.name) for one in spec.detectors))
        held = keys.key(val=sets.val.data.digest(), detectors=detectors, recipe=recipe.key, code=code)
        about = Run(spec.name, recipe.strategy, recipe.seed, spec.id.name, recipe.family, held)
        listed = [_eval_set(member) for member in (sets.test, *sets.shifts, *elsewhere, *sets.ood)]
        steps = spec.checkpoints.steps(recipe.training.total_steps(len(sets.train.data), recipe.epochs))
        place = folder / "checkpoints" / f"{file_name(recipe.name)}.{held}.ckpt"
        return cls(spec, sets, elsewhere, recipe, Tracker(about, listed, folder), steps, place)

    def follow(self, told: Told) -> None:
        """Train from the last checkpoint and measure what is not written."""
        if all(map(self.tracker.done, self.steps)):
            told(self.recipe.name, len(self.steps), len(self.steps))
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        resume = resumable(self.checkpoint, self.tracker, self.steps)
        try:
            self._train(told, resume)
        except UserError as error:
            if resume is None:
                raise
            warnings.warn(f"{self.recipe.name} starts again: {error}", write.DamagedFileWarning, stacklevel=2)
            self._train(told, None)
        self.tidy()

    def tidy(self) -> None:
        """Remove the checkpoint: the run is at its end. One that cannot be removed does no harm."""
        with suppress(OSError):
            self.checkpoint.unlink(missing_ok=True)

    def _train(self, told: Told, resume: Path | None) -> None:
        train(
            self.recipe.training,
            lambda: self.recipe.untrained(self.sets),
            training_set(self.sets.train.data),
            Classify(classes=self.sets.classes),
            seed=self.recipe.seed,
            epochs=self.recipe.epochs,
            on_step=lambda moment: self._at(moment, told),
            resume=resume,
        )

    def _at(self, moment: Moment, told: Told) -> None:
        if moment.step not in self.steps:
            return
        if not self.tracker.done(moment.step):
            self._measure(moment.step, moment.snapshot())
        moment.save(self.checkpoint)
        told(self.recipe.name, self.steps.index(moment.step) + 1, len(self.steps))

    def _measure(self, step: int, network: nn.Module) -> None:
        sets = self.sets
        model = TorchModel(network, sets.train.data.read(slice(0, 2)), layers=(), name=self.recipe.name)
        with self.tracker.checkpoint(step), torch.inference_mode():
            for member in (sets.test, *sets.shifts, *self.elsewhere):
                logits = _outputs(model, member.data, self.spec.batch).logits.numpy()
                predictions = Predictions(logits, np.asarray(member.data.labels))
                self.tracker.log(step, set=member.name, correct=predictions.correct)
            self._detect(step, model)
            if step == 0:
                size = sum(weight.numel() for weight in network.parameters())
                self.tracker.measure(step, "parameters", size, set=sets.test.name)

    def _detect(self, step: int, model: TorchModel) -> None:
        sets, batch = self.sets, self.spec.batch
        train_out, val_out = (_outputs(model, one.data, batch) for one in (sets.train, sets.val))
        fit = FitData(InMemory(train_out), InMemory(val_out))
        found = {member.name: _outputs(model, member.data, batch) for member in sets.ood}
        for plugin in self.spec.detectors:
            detector = plugin.build("detectors").clipped(fit)
            state = detector.fit(fit)
            known = detector.score(val_out, state).double().numpy()
            for name, out in found.items():
                scores = detector.score(out, state).double().numpy()
                for metric, part in PARTS.items():
                    estimate = Auroc().of(IdScores(known[part]).against(scores[part]))
                    self.tracker.measure(
                        step, metric, estimate, set=name, detector=plugin.name, params=detector.params,
                        n_id=len(known[part]), n_ood=len(scores[part]),
                    )  # fmt: skip


def _eval_set(member: Member) -> EvalSet:
    kind = {"test": "id", "ood": "ood"}.get(member.role, "shift")
    one = EvalSet(member.name, len(member.data), "shift", member.category, member.shift, member.severity)
    return replace(one, kind=kind, digest=member.data.digest())  # type: ignore[arg-type]  # one of the three kinds


def _outputs(model: TorchModel, data: Dataset, batch: int) -> Outputs:
    """Logits, features and head of a data set, in memory."""
    parts = [model.forward(model.prepare(data.read(slice(at, at + batch)))) for at in range(0, len(data), batch)]
    labels = None if data.labels is None else torch.from_numpy(np.asarray(data.labels))
    logits, features = (torch.cat([getattr(part, name) for part in parts]) for name in ("logits", "features"))
    return Outputs(logits=logits, features=features, labels=labels, head=model.head)
