"""Study 2: language models that are fine-tuned on NLI, each run measured on many sets of pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from outfield import keys, registry
from outfield.data.member import Member
from outfield.data.nli_sets import NliPairs, beside, duplicates, read, sampled, shots
from outfield.errors import UserError
from outfield.metrics._intervals import wilson
from outfield.models.base import Model
from outfield.models.pair_models import Pair, PairModel
from outfield.models.pairs import PairClassifier, pair_model_of, pair_of
from outfield.strategies import Moment, Processes, train
from outfield.strategies.adamw import AdamW
from outfield.studies.bench import Settings
from outfield.studies.job import Job
from outfield.studies.recipes import TrainedRecipe
from outfield.studies.sets import Sets
from outfield.studies.spec import Plugin
from outfield.tasks.pairs import Pairs
from outfield.trajectory.nli.processes import first_process, processes_of
from outfield.trajectory.nli.spec import LanguageModel, Nli, Training
from outfield.trajectory.runs import Fact, Progress, TrainingRun
from outfield.trajectory.tracker import Run, Tracker
from outfield.types import Estimate

TASK = "pairs"


@dataclass(frozen=True, eq=False)
class Data:
    """The sets of a study, neutral removed: all training pairs, and the sets that are measured.

    Parameters
    ----------
    train : NliPairs
    tests : tuple of Member
        The ID set, then the others whose labels are known.
    val : Member
        ID pairs that are in no test.
    ood : tuple of Member
        Texts without a right answer.
    """

    train: NliPairs
    tests: tuple[Member, ...]
    val: Member
    ood: tuple[Member, ...]

    @classmethod
    def of(cls, spec: Nli) -> Data:
        """Read every set that a study names.

        Raises
        ------
        UserError
            A file that is not what the study says; no ID pairs are left for detectors.
        """
        items = spec.items
        train = NliPairs.joined([read(one.style, spec.place(one)) for one in spec.train])
        known = read(spec.id.style, spec.place(spec.id))
        val = beside(known, items.id, spec.seed, items.val)
        if spec.detectors and not len(val):
            raise UserError(
                f"Expected more than {len(known):,} pairs in {spec.id.name}, since items.id takes all of them and the "
                "detectors need others beside. Lower items.id."
            )
        test = Member(spec.id.name, "test", sampled(known, items.id, spec.seed))
        others = ((one.name, read(one.style, spec.place(one))) for one in spec.ood)
        shifts = (Member(name, "shift", sampled(pairs, items.ood, spec.seed)) for name, pairs in others)
        ood = (Member(one.name, "ood", one.source.build("sources").load(), one.category) for one in spec.ood_sets)
        limited = tuple(one if items.ood is None else one.sampled(items.ood, spec.seed) for one in ood)
        return cls(train, (test, *shifts), Member("val", "val", val), limited)

    def sets(self, train: NliPairs) -> Sets:
        """The sets of a run that learns from some of the training pairs."""
        test, *shifts = self.tests
        return Sets(Member("train", "train", train), self.val, test, self.ood, (), tuple(shifts), task=Pairs())

    def findings(self) -> Iterator[str]:
        """What a reader must know of the sets."""
        for one in self.tests:
            if count := duplicates(self.train, _pairs(one)):
                yield f"{one.name}: {count:,} of {len(one):,} pairs are in the training data too."
        for name, pairs in {"Training data": self.train, **{one.name: _pairs(one) for one in self.tests}}.items():
            if pairs.empty:
                yield f"{name}: {pairs.empty:,} pairs left out for an empty text."


def _pairs(one: Member) -> NliPairs:
    assert isinstance(one.data, NliPairs)  # every set whose labels are known
    return one.data


def fine_tuning(spec: Nli, data: Data, folder: Path) -> list[TrainingRun]:
    """The runs of a study: a model, a number of shots, a pattern and a seed each.

    Before training (step 0) the rows of a causal model are its zero-shot accuracies; the majority's accuracies are
    rows of role ``baseline``.
    """
    content = {model.path: PairModel.content(model.path) for model in spec.models}
    asked = (
        (model, count, pattern, seed)
        for model in spec.models
        for count in spec.shots
        for pattern in (range(len(spec.patterns)) if model.mode == "causal" else (0,))
        for seed in spec.seeds
    )
    return [
        _fine_tuning(
            spec, data.sets(shots(data.train, count, seed)), folder, title=_title(spec, model, count, pattern),
            network=_network(spec, model, spec.patterns[pattern], seed), content=content[model.path],
        )
        for model, count, pattern, seed in asked
    ]  # fmt: skip


def _fine_tuning(
    spec: Nli, sets: Sets, folder: Path, *, title: str, network: Plugin, content: Mapping[str, str]
) -> TrainingRun:
    recipe = _recipe(spec, sets, network, content, title)
    detectors = [one.build("detectors") for one in spec.detectors]
    held = recipe.key
    if detectors:
        parts = {"fit": spec.items.fit, "val": sets.val.data.digest(), "code": keys.of_code(*map(type, detectors))}
        held = keys.key(recipe=held, detectors=[[one.name, one.params] for one in spec.detectors], **parts)
    if spec.estimators:
        named = [[one.name, one.params] for one in spec.estimators]
        held = keys.key(held=held, estimators=named, val=sets.val.data.digest())
    about = Run(spec.name, recipe.strategy, recipe.seed, spec.id.name, recipe.family, held, TASK)
    tracker = Tracker(about, (sets.test, *sets.shifts, *sets.ood), folder)
    own = Job("model", None, estimators=tuple(one.build("estimators") for one in spec.estimators))
    jobs = (own, *(Job(one.name, made) for one, made in zip(spec.detectors, detectors, strict=True)))
    measured = replace(sets, train=sets.train.sampled(spec.items.fit or len(sets.train), spec.seed))
    settings = Settings(batch=max(map(len, measured)), against="val", halves=True)
    steps = spec.checkpoints.steps(recipe.training.total_steps(len(sets.train)))
    place = folder / "checkpoints" / f"{held[:20]}-{recipe.seed}.ckpt"
    return FineTuning(recipe, sets, measured, tracker, steps, jobs, settings, place, spec.device, spec.batch)


def _title(spec: Nli, model: LanguageModel, count: int | None, pattern: int) -> str:
    parts = [model.label]
    parts += [f"{count} shots"] if len(spec.shots) > 1 else []
    parts += [f"pattern {pattern + 1}"] if len(spec.patterns) > 1 and model.mode == "causal" else []
    return ", ".join(parts)


def _recipe(spec: Nli, sets: Sets, network: Plugin, content: Mapping[str, str], title: str) -> TrainedRecipe:
    decides = spec.model_dump(mode="json", include=set(_DECIDES))
    made, seed = registry.find("networks", network.name), network.params["seed"]
    params = {name: value for name, value in network.params.items() if name != "device"}
    asked = [network.name, params, dict(content)]
    code = keys.of_code(FineTuning, train, AdamW, made)
    key = keys.key(asked=asked, train=sets.train.data.digest(), title=title, code=code, **decides)
    strategy = strategy_of(spec.training)
    return TrainedRecipe(title, title, "language model", seed, key, strategy, network, None, None)


def _network(spec: Nli, model: LanguageModel, pattern: str, seed: int) -> Plugin:
    common = {
        "path": model.path, "seed": seed, "lora": spec.lora.model_dump(), "max_tokens": spec.max_tokens,
        "device": spec.device, "gradient_checkpointing": spec.training.gradient_checkpointing,
    }  # fmt: skip
    words = {"verbaliser": spec.verbaliser.model_dump(), "full": spec.loss == "vocabulary"}
    asked = {"pattern": pattern, "padding": spec.padding, **words}
    return Plugin(name=f"pair_{model.mode}", **common, **(asked if model.mode == "causal" else {}))


def strategy_of(training: Training) -> AdamW:
    """The strategy that a study's ``training`` asks for.

    Examples
    --------
    >>> strategy_of(Training(epochs=2, batch=16)).total_steps(40)
    6
    """
    asked = training.model_dump(exclude={"batch", "gradient_checkpointing"})
    return AdamW(batch_size=training.batch, **asked)


@dataclass(frozen=True, eq=False)
class FineTuning(TrainingRun):
    """A language model's run: it may be too large for a copy, and several processes may train it.

    Parameters
    ----------
    device : str
    batch : int
        Pairs of one forward pass.
    """

    device: str
    batch: int

    @property
    def writes(self) -> bool:
        return first_process()

    def tidy(self) -> None:
        if self.writes:
            super().tidy()

    def train(self, progress: Progress, resume: Path | None) -> None:
        processes = processes_of(self.device)
        network = self.recipe.untrained(self.sets)  # once: it may fill the device
        train(
            self.recipe.training, lambda: network, self.sets.training_set(), self.sets.task, seed=self.recipe.seed,
            on_step=lambda moment: self.at(moment, progress, processes=processes), resume=resume,
            processes=processes, threads=None, about=self.checkpoint.name,
        )  # fmt: skip

    def model(self, moment: Moment, processes: Processes | None = None) -> Model:
        content = keys.key(run=self.recipe.key, seed=self.recipe.seed, step=moment.step)
        name = self.tracker.run.name
        return PairClassifier(moment.network, name=name, batch=self.batch, processes=processes, content=content)

    def facts(self, step: int, model: Model, network: Any) -> Iterator[Fact]:
        tests, of = (self.sets.test, *self.sets.shifts), pair_model_of(network)
        yield from (Fact("truncated", of.truncated(_read(one)), one) for one in (*tests, *self.sets.ood))
        if step == 0:
            for one in tests:
                yield from self._once(one)
            yield Fact("parameters", of.size, self.sets.test)
            empty = _pairs(self.sets.train).empty
            yield Fact("empty_texts", empty, self.sets.test, {"params": {"of": "training data"}})

    def _once(self, one: Member) -> Iterator[Fact]:
        """What does not change along the run: the majority's accuracy, pairs that training has too, and empty ones."""
        pairs = _pairs(one)
        share = float(max(np.mean(pairs.labels), 1 - np.mean(pairs.labels)))
        found = Estimate(share, *wilson(share, len(pairs)), len(pairs))
        yield Fact("accuracy", found, one, {"role": "baseline", "params": {"baseline": "majority"}})
        yield Fact("duplicates", duplicates(_pairs(self.sets.train), pairs), one)
        yield Fact("empty_texts", pairs.empty, one)


def _read(one: Member) -> list[Pair]:
    return [pair_of(item) for item in one.data.read(slice(0, len(one)))]


_DECIDES = ("lora", "training", "loss", "verbaliser", "max_tokens", "padding", "items", "seed")
"""Fields of the study that decide what a run's rows are, beside its model, pattern, seed and data."""
