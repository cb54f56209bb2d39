"""How long a study will take on this machine: a few steps and one small trial of each network are timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np

from outfield.data.sampling import sample
from outfield.errors import OutfieldError
from outfield.features.cache import Cache
from outfield.models.base import Model
from outfield.strategies import Moment
from outfield.studies.job import ModelJobs
from outfield.studies.plan import outlook
from outfield.studies.recipes import Recipe, Report, TrainedRecipe
from outfield.studies.sets import Sets
from outfield.studies.spec import Spec
from outfield.studies.work import Study
from outfield.temporary_files import work_folder

TRIAL = 500
"""Inputs of each set that a trial reads, at most."""
STEPS = 4
"""Training steps that are timed; the first, which warms up, does not count."""


@dataclass(frozen=True)
class Forecast:
    """Seconds of one process for what is ahead, and how many processes share them.

    ``untold`` names models whose time could not be measured: they are not in the seconds.
    """

    training: float
    measuring: float
    processes: int
    untold: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """What a clock on the wall will show, if the processes do not wait for each other."""
        return (self.training + self.measuring) / self.processes

    def __str__(self) -> str:
        """The forecast in words.

        Examples
        --------
        >>> print(Forecast(training=60.0, measuring=180.0, processes=2))
        about 2 minutes with 2 processes (25% training, 75% extraction, detectors and metrics)
        """
        share = self.training / max(self.training + self.measuring, 1e-9)
        shared = f"{self.processes} process{'es' * (self.processes > 1)}"
        return (
            f"about {_duration(self.seconds)} with {shared} "
            f"({share:.0%} training, {1 - share:.0%} extraction, detectors and metrics)"
        )


def _duration(seconds: float) -> str:
    """Seconds in the unit that a person would choose.

    Examples
    --------
    >>> _duration(0.4), _duration(75), _duration(7300), _duration(400_000)
    ('1 second', '75 seconds', '2 hours', '5 days')
    """
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            count = round(seconds / size)
            return f"{count} {unit}{'s' * (count > 1)}"
    count = max(1, round(seconds))
    return f"{count} second{'s' * (count > 1)}"


def forecast(spec: Spec, sets: Sets, tasks: Iterable[ModelJobs], folder: Path) -> Forecast:
    """Time what the tasks of a study will take, on small samples of its data; nothing is written.

    Training: some steps of each strategy, times the steps that it takes. Measuring: one model of each network does all
    its jobs on at most ``TRIAL`` inputs of each set, times the inputs that there are; a network to be trained stands
    there untrained. Detectors that do not fit an untrained network are not in the time.

    Parameters
    ----------
    spec : Spec
    sets : Sets
    tasks : iterable of ModelJobs
        What is ahead: ``plan(spec, sets).remaining(done)``.
    folder : Path
        The study's results folder: weights that are there are not trained again.
    """
    training, measuring, untold = 0.0, 0.0, []
    known: dict[str, float] = {}
    with work_folder("forecast") as place:
        timed = _Timed(spec, sets, Path(place))
        for task in tasks:
            recipe = task.recipe
            try:
                if isinstance(recipe, TrainedRecipe) and not recipe.is_there(folder / "models"):
                    training += _once(known, f"train {recipe.training}", partial(timed.training, recipe))
                measuring += _once(
                    known, f"measure {_network(recipe)} {len(task.jobs)}", partial(timed.measuring, task)
                )
            except OutfieldError:
                untold.append(recipe.name)
    return Forecast(training, measuring, max(1, spec.resources.processes), tuple(untold))


def _once(known: dict[str, float], key: str, seconds: Callable[[], float]) -> float:
    if key not in known:
        known[key] = seconds()
    return known[key]


def _network(recipe: Recipe) -> str:
    """What recipes of one network have in common."""
    return str(recipe.network) if isinstance(recipe, TrainedRecipe) else recipe.key


class _Enough(OutfieldError):
    """The steps that are timed are done."""


@dataclass(frozen=True)
class _Timed:
    spec: Spec
    sets: Sets
    folder: Path

    def training(self, recipe: TrainedRecipe) -> float:
        """Seconds of a training run, by the median of some steps on a sample."""
        strategy, data, times = recipe.training, self.sets.train.data, [perf_counter()]
        classes = self.sets.task.arguments(self.sets.train).get("classes", 1)
        some = sample(data, max(STEPS * strategy.batch_size, 20 * classes), self.spec.seed)

        def note(moment: Moment) -> None:
            times.append(perf_counter())
            if moment.step >= min(STEPS, moment.total):
                raise _Enough

        with suppress(_Enough):
            recipe.train(replace(self.sets, train=replace(self.sets.train, data=some)), epochs=STEPS, on_step=note)
        steps = [after - before for before, after in pairwise(times[1:])]
        return strategy.total_steps(len(data), recipe.epochs) * float(np.median(steps[1:] or steps))

    def measuring(self, task: ModelJobs) -> float:
        """Seconds of a model's jobs, by all of them on samples of the sets."""
        some = self.sets.sampled(TRIAL, self.spec.seed)
        some = replace(some, shifts=tuple(one.sampled(TRIAL, self.spec.seed) for one in some.shifts))
        some = replace(some, probed=None if self.sets.probed is None else some)
        trial = _trial(task)
        study = Study(self.spec, some, self.folder / "rows", Cache(self.folder / "cache"))
        start = perf_counter()
        study(trial, lambda _: None)
        seconds = perf_counter() - start
        return seconds * outlook((task,), self.sets).forwards / outlook((task,), some).forwards


def _trial(task: ModelJobs) -> ModelJobs:
    recipe = task.recipe
    if not isinstance(recipe, TrainedRecipe):
        return task
    told = recipe.name, recipe.strategy, recipe.family, recipe.seed, recipe.key
    return replace(task, recipe=_Untrained(*told, recipe))


@dataclass(frozen=True)
class _Untrained(Recipe):
    """A network as it is before training."""

    trained: TrainedRecipe

    def obtain(self, sets: Sets, folder: Path, report: Report, device: str = "cpu") -> Model:
        return self.trained.model(self.trained.untrained(sets).eval(), sets, device)
