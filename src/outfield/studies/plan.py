"""What a study will do, before it does anything: tasks (models), their jobs, passes and bytes."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from typing import Any

from outfield import keys, registry
from outfield.data.member import Member
from outfield.detectors.base import Detector
from outfield.errors import Problems
from outfield.features.extract import extract
from outfield.features.probes.base import Probe
from outfield.studies.recipes import Recipe, missing, recipes
from outfield.studies.sets import Sets
from outfield.studies.spec import Spec, Stored


@dataclass(frozen=True)
class Job:
    """What makes one file of rows: a detector on one model, or (detector None) the model's own measures."""

    key: str
    detector: Detector | None
    tuned: bool = False

    @property
    def title(self) -> str:
        return "model" if self.detector is None else registry.name_of("detectors", self.detector)

    @property
    def probing(self) -> bool:
        """Whether it queries the model beyond its forward pass, so that the study's ``probe_limit`` holds."""
        return self.detector is not None and bool(self.detector.probes())

    def probes(self, role: str) -> tuple[Probe, ...]:
        """The probes whose values it reads on a set of this role: all for what is scored, else where it is fitted."""
        if self.detector is None:
            return ()
        scored = role in ("test", "ood") or (self.tuned and role in ("val", "tuning"))
        if not scored and role not in self.detector.fits_on:
            return ()
        settings = self.detector.settings() if self.tuned else (self.detector,)
        return tuple(probe for setting in settings for probe in setting.probes())


@dataclass(frozen=True)
class ModelJobs:
    """One model with its jobs: they share its forward passes."""

    recipe: Recipe
    jobs: tuple[Job, ...]

    def without(self, done: Set[str]) -> ModelJobs:
        """The same task less the jobs that are done."""
        return replace(self, jobs=tuple(job for job in self.jobs if job.key not in done))

    def part(self, *, probing: bool) -> ModelJobs:
        """The same task with the jobs alone that query the model beyond its forward pass, or that do not."""
        return replace(self, jobs=tuple(job for job in self.jobs if job.probing == probing))

    def sets(self, sets: Sets) -> tuple[Member, ...]:
        """The data sets that the jobs read; none without jobs."""
        if not self.jobs:
            return ()
        wanted = {"train", "val", "test"}
        wanted |= {"ood"} if any(job.detector for job in self.jobs) else set()
        wanted |= {"tuning"} if any(job.tuned for job in self.jobs) else set()
        wanted |= {"shift"} if any(job.detector is None for job in self.jobs) else set()
        return tuple(member for member in sets if member.role in wanted)


@dataclass(frozen=True)
class Plan:
    """All tasks of a study; ``missing`` tells of the models whose weights are not there."""

    spec: Spec
    tasks: tuple[ModelJobs, ...]
    missing: tuple[str, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The keys of every job: the names of the files that make the study."""
        return frozenset(job.key for task in self.tasks for job in task.jobs)

    def remaining(self, done: Set[str]) -> tuple[ModelJobs, ...]:
        """Tasks with jobs that are not done."""
        left = (task.without(done) for task in self.tasks)
        return tuple(task for task in left if task.jobs)


@dataclass(frozen=True)
class Outlook:
    """What lies ahead where nothing is cached: counts, and the bytes of the logits and features to be cached.

    ``forwards`` counts what a run counts: one input that goes forward through a network once. Backward passes, which
    some detectors take besides, are ``backwards``.
    """

    models: int
    jobs: int
    forwards: int
    backwards: int
    bytes: int


def plan(spec: Spec, sets: Sets) -> Plan:
    """The tasks of a study. Pure: nothing is trained, extracted or written.

    Raises
    ------
    Problems
        No model is there.
    """
    detectors = [one.build("detectors") for one in spec.detectors]
    basis, absent = _Basis.of(spec, sets), tuple(missing(spec))
    tasks = tuple(ModelJobs(recipe, tuple(_jobs(recipe, detectors, spec, basis))) for recipe in recipes(spec, sets))
    if not tasks:
        raise Problems("The models of the study", absent)
    return Plan(spec, tasks, absent)


def whole(spec: Spec) -> tuple[int, int]:
    """Models and jobs of a study when everything is there."""
    models = sum(1 if isinstance(model, Stored) else len(model.seeds) for model in spec.models)
    detectors = [one.build("detectors") for one in spec.detectors]
    return models, models * (1 + sum(len(_settings(detector, spec)) for detector in detectors))


def outlook(tasks: tuple[ModelJobs, ...], sets: Sets, floats: int = 128) -> Outlook:
    """Models, jobs, passes of one input through a network, and bytes of ``floats`` float32 an input."""
    visits = [visit for task in tasks for visit in _visits(task, sets)]
    return Outlook(
        len(tasks),
        sum(len(task.jobs) for task in tasks),
        sum(visit.inputs * visit.forwards for visit in visits),
        sum(visit.inputs * visit.backwards for visit in visits),
        sum(4 * floats * visit.inputs for visit in visits),
    )


@dataclass(frozen=True)
class _Visit:
    """One pass over the inputs of a set, and how often each goes forward and backward through the network."""

    inputs: int
    forwards: int
    backwards: int


def _visits(task: ModelJobs, sets: Sets) -> Iterator[_Visit]:
    """A model's passes over its sets; one that was made for other jobs is made again only for further probes."""
    seen: set[str] = set()
    for part, data in parts(task, sets):
        for member in part.sets(data):
            probes = {probe for job in part.jobs for probe in job.probes(member.role)}
            if probes or member.data.digest() not in seen:
                forwards = sum(probe.forwards for probe in probes)
                backwards = sum(probe.passes - probe.forwards for probe in probes)
                yield _Visit(len(member.data), 1 + forwards, backwards)
            seen.add(member.data.digest())


def parts(task: ModelJobs, sets: Sets) -> tuple[tuple[ModelJobs, Sets], ...]:
    """A task's jobs with the sets that they read: those of probes apart where the study limits their inputs."""
    if sets.probed is None:
        return ((task, sets),)
    both = ((task.part(probing=False), sets), (task.part(probing=True), sets.probed))
    return tuple((part, data) for part, data in both if part.jobs)


def _jobs(recipe: Recipe, detectors: list[Detector], spec: Spec, basis: _Basis) -> Iterator[Job]:
    columns = {"strategy": recipe.strategy, "family": recipe.family, "seed": recipe.seed}
    model = keys.key(model=recipe.key, **columns, **basis.every)
    yield Job(keys.key(model=model, name=recipe.name), None)
    for detector in detectors:
        stated: dict[str, Any] = {"detector": registry.name_of("detectors", detector), "params": detector.params}
        stated |= basis.probing if detector.probes() else {}
        code = keys.of_code(*detector.code, Detector)
        for tuned in _settings(detector, spec):
            tuning = basis.tuning if tuned else None
            yield Job(keys.key(model=model, name=recipe.name, code=code, tuning=tuning, **stated), detector, tuned)


def _settings(detector: Detector, spec: Spec) -> tuple[bool, ...]:
    """Untuned, and tuned where there is something to tune."""
    return (False, True) if spec.tuning and detector.grid else (False,)


@dataclass(frozen=True)
class _Basis:
    """What rows rest on and hold beside model and detector: those of every job, of tuned ones, of probing ones."""

    every: dict[str, Any]
    tuning: list[list[str | None]]
    probing: dict[str, Any]

    @classmethod
    def of(cls, spec: Spec, sets: Sets) -> _Basis:
        from outfield.studies import job

        metrics = (registry.find("metrics", name) for name in registry.names("metrics"))
        every = {
            "study": spec.name,
            "id": spec.id.name,
            "data": [[member.role, *_stated(member)] for member in sets if member.role != "tuning"],
            "half": spec.half,
            "code": keys.of_code(job, extract, *metrics),
        }
        probing = {"limit": spec.probe_limit, "seed": spec.seed} if spec.probe_limit else {}
        return cls(every, [_stated(member) for member in sets.tuning], probing)


def _stated(member: Member) -> list[str | None]:
    return [member.name, member.category, member.data.digest()]
