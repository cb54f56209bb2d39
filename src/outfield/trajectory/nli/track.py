"""Study 2: fine-tune language models on NLI, and measure every test set at every checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outfield import keys
from outfield.data.folder_tree import Tree
from outfield.errors import UserError
from outfield.metrics._intervals import wilson
from outfield.store import write
from outfield.strategies import Moment, Processes, train
from outfield.strategies._loop import forget_parts
from outfield.strategies.adamw import AdamW
from outfield.studies.executors.base import Executor
from outfield.trajectory.nli.entailment import Entailment, strategy_of
from outfield.trajectory.nli.models import Encoded, PairModel, merged, open_model, resolved
from outfield.trajectory.nli.processes import first_process, processes_of
from outfield.trajectory.nli.sets import Pairs, duplicates, read, sampled, shots
from outfield.trajectory.nli.spec import LanguageModel, Nli
from outfield.trajectory.runs import Outcome, Told, follow, resumable
from outfield.trajectory.tracker import EvalSet, Run, Tracker
from outfield.types import Estimate


@dataclass(frozen=True, eq=False)
class Data:
    """The sets of a study, neutral removed: all training pairs, and the items that are measured."""

    train: Pairs
    tests: Mapping[str, Pairs]

    @classmethod
    def of(cls, spec: Nli) -> Data:
        """Read every set that a study names.

        Raises
        ------
        UserError
            A file that is not what the study says.
        """
        train = Pairs.joined([read(one.style, spec.place(one)) for one in spec.train])
        limits = {spec.id.name: spec.items.id, **{one.name: spec.items.ood for one in spec.ood}}
        tests = {
            one.name: sampled(read(one.style, spec.place(one)), limits[one.name], spec.seed)
            for one in (spec.id, *spec.ood)
        }
        return cls(train, tests)


def track(
    spec: Nli,
    folder: Path | str | None = None,
    *,
    told: Told = lambda *_: None,
    executor: Executor | None = None,
) -> Outcome:
    """Fine-tune the runs of a study and measure each at its checkpoints; again, and it goes on where it was.

    A run is a model, a number of shots, a pattern and a seed. Before training (step 0) the rows of a causal model are
    its zero-shot accuracies; the majority's accuracies are rows of role ``baseline``.

    Raises
    ------
    MissingExtra
        transformers or peft is not installed.
    UserError
        Sets, models or answers that cannot be used; the folder cannot be written.
    """
    folder = Path(folder or Path("results") / spec.name)
    data = Data.of(spec)
    files = {model.path: files_of(model.path) for model in spec.models}
    runs = [
        _Run.of(spec, data, folder, model=model, files=files[model.path], count=count, pattern=pattern, seed=seed)
        for model in spec.models
        for count in spec.shots
        for pattern in (range(len(spec.patterns)) if model.mode == "causal" else (0,))
        for seed in spec.seeds
    ]
    return follow(
        runs, folder, spec.model_dump_json(indent=2), told, processes=spec.resources.processes,
        threads=spec.resources.threads, device=spec.device, executor=executor, notes=_findings(data),
    )  # fmt: skip


def _findings(data: Data) -> tuple[str, ...]:
    """What a reader must know of the sets."""
    shared = {name: duplicates(data.train, pairs) for name, pairs in data.tests.items()}
    empty = {name: pairs.empty for name, pairs in {"Training data": data.train, **data.tests}.items()}
    return (
        *(
            f"{name}: {count:,} of {len(data.tests[name]):,} pairs are in the training data too."
            for name, count in shared.items()
            if count
        ),
        *(f"{name}: {count:,} pairs left out for an empty text." for name, count in empty.items() if count),
    )


@dataclass(frozen=True, eq=False)
class _Run:
    """One fine-tuning run."""

    spec: Nli
    data: Data
    model: LanguageModel
    pattern: str
    seed: int
    train: Pairs
    tracker: Tracker
    steps: tuple[int, ...]
    checkpoint: Path

    @classmethod
    def of(
        cls, spec: Nli, data: Data, folder: Path, *, model: LanguageModel, files: Mapping[str, str], count: int | None,
        pattern: int, seed: int,
    ) -> _Run:  # fmt: skip
        pairs = shots(data.train, count, seed)
        decides = spec.model_dump(mode="json", include=set(_DECIDES))
        asked = [model.model_dump(), spec.patterns[pattern], dict(files)]
        key = keys.key(asked=asked, train=pairs.digest(), code=keys.of_code(cls, train, AdamW), **decides)
        parts = [model.label]
        parts += [f"{count} shots"] if len(spec.shots) > 1 else []
        parts += [f"pattern {pattern + 1}"] if len(spec.patterns) > 1 and model.mode == "causal" else []
        about = Run(spec.name, ", ".join(parts), seed, spec.id.name, "language model", key)
        listed = [
            EvalSet(name, len(test), "id" if name == spec.id.name else "shift", digest=test.digest())
            for name, test in data.tests.items()
        ]
        steps = spec.checkpoints.steps(strategy_of(spec.training).total_steps(len(pairs)))
        place = folder / "checkpoints" / f"{key[:20]}-{seed}.ckpt"
        return cls(spec, data, model, spec.patterns[pattern], seed, pairs, Tracker(about, listed, folder), steps, place)

    def follow(self, told: Told) -> None:
        """Fine-tune from the last checkpoint and measure what is not written."""
        name = self.tracker.run.name
        if all(map(self.tracker.done, self.steps)):
            told(name, len(self.steps), len(self.steps))
            return
        resume = resumable(self.checkpoint, self.tracker, self.steps)
        try:
            self._train(told, resume)
        except UserError as error:
            if resume is None:
                raise
            warnings.warn(f"{name} starts again: {error}", write.DamagedFileWarning, stacklevel=2)
            self._train(told, None)
        self.tidy()

    def tidy(self) -> None:
        """Remove the checkpoint, and the parts of it that processes wrote."""
        if first_process():
            with suppress(OSError):
                self.checkpoint.unlink(missing_ok=True)
                forget_parts(self.checkpoint)

    def _train(self, told: Told, resume: Path | None) -> None:
        spec = self.spec
        model = open_model(
            self.model, lora=spec.lora, seed=self.seed, pattern=self.pattern, verbaliser=spec.verbaliser,
            loss=spec.loss, max_tokens=spec.max_tokens, padding=spec.padding, device=spec.device,
            gradient_checkpointing=spec.training.gradient_checkpointing,
        )  # fmt: skip
        encoded = {name: model.encode(pairs) for name, pairs in self.data.tests.items()}
        task, processes = Entailment(model), processes_of(spec.device)
        train(
            strategy_of(spec.training), lambda: model.module, task.encoded(self.train), task, seed=self.seed,
            on_step=lambda moment: self._at(moment, model, encoded, processes, told), resume=resume,
            processes=processes, threads=None, about=self.checkpoint.name,
        )  # fmt: skip

    def _at(
        self, moment: Moment, model: PairModel, encoded: Mapping[str, Encoded], processes: Processes, told: Told
    ) -> None:
        if moment.step not in self.steps:
            return
        if not self.tracker.done(moment.step):
            with nullcontext() if processes.sharded else merged(model.module):
                right = {
                    name: model.correct(encoded[name], pairs.labels, self.spec.batch, moment.network, processes)
                    for name, pairs in self.data.tests.items()
                }
            if not processes.rank:
                self._write(moment.step, model, encoded, right)
        moment.save(self.checkpoint)
        told(self.tracker.run.name, self.steps.index(moment.step) + 1, len(self.steps))

    def _write(self, step: int, model: PairModel, encoded: Mapping[str, Encoded], right: Mapping[str, Any]) -> None:
        tests = self.data.tests
        with self.tracker.checkpoint(step) as tracker:
            for name, pairs in tests.items():
                tracker.log(step, set=name, correct=right[name], labels=pairs.labels)
                tracker.measure(step, "truncated", encoded[name].truncated, set=name)
                if step == 0:
                    self._once(name, pairs)
            if step == 0:
                tracker.measure(step, "parameters", model.parameters, set=self.spec.id.name)
                of = {"of": "training data"}
                tracker.measure(step, "empty_texts", self.train.empty, set=self.spec.id.name, params=of)

    def _once(self, name: str, pairs: Pairs) -> None:
        """What does not change along the run: the majority's accuracy, pairs that training has too, and empty ones."""
        share = float(max(np.mean(pairs.labels), 1 - np.mean(pairs.labels)))
        found = Estimate(share, *wilson(share, len(pairs)), len(pairs))
        self.tracker.measure(0, "accuracy", found, set=name, role="baseline", params={"baseline": "majority"})
        self.tracker.measure(0, "duplicates", duplicates(self.train, pairs), set=name)
        self.tracker.measure(0, "empty_texts", pairs.empty, set=name)


def files_of(path: str) -> dict[str, str]:
    """Digests of a local model's files: one that was trained anew in its folder has rows of its own; {} of a Hub's."""
    folder = Path(resolved(path))
    names = Tree.below(folder).files if folder.is_dir() else ()
    return {name: keys.of_file(folder / name) for name in sorted(names) if not name.endswith(".md")}


_DECIDES = ("lora", "training", "loss", "verbaliser", "max_tokens", "padding", "items", "seed")
"""Fields of the study that decide what a run's rows are, beside its model, pattern, seed and data."""
