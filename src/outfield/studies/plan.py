"""What a study will do, before it does anything: tasks (models), their jobs, passes and bytes."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from typing import Any

from outfield import keys, registry
from outfield.detectors.base import Detector
from outfield.features.extract import extract
from outfield.studies.recipes import Recipe, recipes
from outfield.studies.sets import Member, Sets
from outfield.studies.spec import Spec


@dataclass(frozen=True)
class Job:
    """What makes one file of rows: a detector on one model, or (detector None) the model's own measures."""

    key: str
    detector: Detector | None
    tuned: bool = False

    @property
    def title(self) -> str:
        return "model" if self.detector is None else registry.name_of("detectors", self.detector)


@dataclass(frozen=True)
class Task:
    """One model with its jobs: they share its forward passes."""

    recipe: Recipe
    jobs: tuple[Job, ...]

    def without(self, done: Set[str]) -> Task:
        """The same task less the jobs that are done."""
        return replace(self, jobs=tuple(job for job in self.jobs if job.key not in done))

    def sets(self, sets: Sets) -> tuple[Member, ...]:
        """The data sets that the jobs read."""
        wanted = {"train", "val", "test"}
        wanted |= {"ood"} if any(job.detector for job in self.jobs) else set()
        wanted |= {"tuning"} if any(job.tuned for job in self.jobs) else set()
        wanted |= {"shift"} if any(job.detector is None for job in self.jobs) else set()
        return tuple(member for member in sets if member.role in wanted)


@dataclass(frozen=True)
class Plan:
    """All tasks of a study."""

    spec: Spec
    tasks: tuple[Task, ...]

    @property
    def keys(self) -> frozenset[str]:
        """The keys of every job: the names of the files that make the study."""
        return frozenset(job.key for task in self.tasks for job in task.jobs)

    def remaining(self, done: Set[str]) -> tuple[Task, ...]:
        """Tasks with jobs that are not done."""
        left = (task.without(done) for task in self.tasks)
        return tuple(task for task in left if task.jobs)


@dataclass(frozen=True)
class Outlook:
    """What lies ahead: counts, and the bytes of the cached logits and features as far as shapes are known."""

    models: int
    jobs: int
    inputs: int
    passes: int
    bytes: int


def plan(spec: Spec, sets: Sets) -> Plan:
    """The tasks of a study. Pure: nothing is trained, extracted or written."""
    detectors = [one.build("detectors") for one in spec.detectors]
    context = _context(spec, sets)
    return Plan(
        spec, tuple(Task(recipe, tuple(_jobs(recipe, detectors, spec, context))) for recipe in recipes(spec, sets))
    )


def outlook(tasks: tuple[Task, ...], sets: Sets, floats: int = 128) -> Outlook:
    """Models, jobs, inputs to be read, passes through models (probes counted), bytes of ``floats`` float32 an input."""
    inputs = [sum(len(member.data) for member in task.sets(sets)) for task in tasks]
    passes = sum(count * (1 + _probe_passes(task)) for count, task in zip(inputs, tasks, strict=True))
    return Outlook(len(tasks), sum(len(task.jobs) for task in tasks), sum(inputs), passes, 4 * floats * sum(inputs))


def _probe_passes(task: Task) -> int:
    return sum(
        probe.passes for probe in {probe for job in task.jobs if job.detector for probe in job.detector.probes()}
    )


def _jobs(recipe: Recipe, detectors: list[Detector], spec: Spec, context: dict[str, Any]) -> Iterator[Job]:
    model = keys.key(model=recipe.key, **context)
    yield Job(keys.key(model=model, name=recipe.name), None)
    for detector in detectors:
        stated = {"detector": registry.name_of("detectors", detector), "params": detector.params}
        code = keys.of_code(type(detector), Detector)
        for tuned in (False, True) if spec.tuning and detector.grid else (False,):
            tuning = context["tuning"] if tuned else None
            yield Job(keys.key(model=model, name=recipe.name, code=code, tuning=tuning, **stated), detector, tuned)


def _context(spec: Spec, sets: Sets) -> dict[str, Any]:
    """What every job's rows rest on beside model and detector."""
    from outfield.studies import job

    return {
        "data": [
            [member.role, member.name, member.category, member.data.digest()]
            for member in sets
            if member.role != "tuning"
        ],
        "tuning": [member.data.digest() for member in sets.tuning],
        "half": spec.half,
        "code": keys.of_code(job, extract, *(registry.find("metrics", name) for name in registry.names("metrics"))),
    }
