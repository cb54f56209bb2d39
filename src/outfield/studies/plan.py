"""What a study will do, before it does anything: its models with their jobs, passes and bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

from outfield import keys, registry
from outfield.data.member import Member
from outfield.detectors.base import Detector
from outfield.errors import Problems
from outfield.estimators.base import Estimator
from outfield.features.extract import extract
from outfield.features.separability import linear_separability
from outfield.studies.bench import measure
from outfield.studies.job import Job, ModelJobs, parts, read_by
from outfield.studies.recipes import missing, recipes
from outfield.studies.sets import Sets
from outfield.studies.spec import Spec


@dataclass(frozen=True)
class Plan:
    """All models of a study with their jobs; ``missing`` tells of those whose weights are not there."""

    spec: Spec
    tasks: tuple[ModelJobs, ...]
    missing: tuple[str, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The keys of every job: the names of the files that make the study."""
        return frozenset(job.key for task in self.tasks for job in task.jobs)

    def remaining(self, done: Set[str]) -> tuple[ModelJobs, ...]:
        """Models with the jobs on them that are not done."""
        left = (task.without(done) for task in self.tasks)
        return tuple(task for task in left if task.jobs)


@dataclass(frozen=True)
class Outlook:
    """What lies ahead where nothing is cached: counts, and the bytes of the logits and features to be cached.

    ``forwards`` counts what a run counts: one input that goes forward through a network once. Backward passes, which
    some detectors take besides, are ``backwards``.

    Examples
    --------
    >>> outlook((), None)
    Outlook(models=0, jobs=0, forwards=0, backwards=0, bytes=0)
    """

    models: int
    jobs: int
    forwards: int
    backwards: int
    bytes: int


def plan(spec: Spec, sets: Sets) -> Plan:
    """The models of a study with their jobs. Pure: nothing is trained, extracted or written.

    Raises
    ------
    Problems
        No model is there.
    """
    detectors = [one.build("detectors") for one in spec.detectors]
    estimators = tuple(one.build("estimators") for one in spec.estimators)
    absent = tuple(missing(spec))
    task = None if spec.task is None else spec.task.model_dump(mode="json")
    basis = Basis.of(
        spec.name,
        spec.id_name,
        sets,
        task=task,
        half=spec.half,
        limit=spec.probe_limit,
        seed=spec.seed,
        fit_on=spec.fit_on,
    )
    tunes = spec.tuning is not None
    own: dict[str, Any] = {"estimators": estimators, "validated": sets.task.chooses, "separability": spec.separability}
    tasks = tuple(
        ModelJobs(recipe, tuple(jobs_of(recipe.stated, recipe.name, detectors, basis, tunes=tunes, **own)))
        for recipe in recipes(spec, sets)
    )
    if not tasks:
        raise Problems("The models of the study", absent)
    return Plan(spec, tasks, absent)


def whole(spec: Spec) -> tuple[int, int]:
    """Models and jobs of a study when everything is there."""
    models = sum(len(model.names) for model in spec.models)
    detectors = [one.build("detectors") for one in spec.detectors]
    tuned = sum(bool(spec.tuning and detector.grid) for detector in detectors)
    return models, models * (1 + len(detectors) + tuned)


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
    for jobs, data in parts(task.jobs, sets):
        for member in read_by(jobs, data):
            probes = {probe for job in jobs for probe in job.probes(member)}
            if probes or member.data.digest() not in seen:
                forwards = sum(probe.forwards for probe in probes)
                backwards = sum(probe.passes - probe.forwards for probe in probes)
                yield _Visit(len(member.data), 1 + forwards, backwards)
            seen.add(member.data.digest())


def jobs_of(
    model: Mapping[str, Any], name: str, detectors: Iterable[Detector], basis: Basis, *, tunes: bool = False,
    estimators: tuple[Estimator, ...] = (), validated: bool = False, separability: bool = False,
) -> Iterator[Job]:  # fmt: skip
    """A model's own job and those of detectors on it, each under the key of what it rests on and what its rows say.

    Parameters
    ----------
    model : mapping
        What makes the model what it is, and how rows place it.
    name : str
    detectors : iterable of Detector
    basis : Basis
    tunes : bool
        Detectors with a grid are also tuned.
    estimators : tuple of Estimator
        Of accuracy without labels, of which the model's own job makes rows.
    validated : bool
        The model's own job measures the ID validation set too.
    separability : bool
        The model's own job says how far a linear function of the features tells each OOD set.

    Examples
    --------
    >>> basis = Basis({"study": "demo"}, [], {})
    >>> detectors = [registry.create("detectors", name) for name in ("msp", "knn")]
    >>> [(job.title, job.tuned) for job in jobs_of({"model": "ab12"}, "net", detectors, basis, tunes=True)]
    [('model', False), ('msp', False), ('knn', False), ('knn', True)]
    """
    made = keys.key(**model, **basis.every)
    asked: dict[str, Any] = {"estimators": [_of_estimator(one) for one in estimators]} if estimators else {}
    asked |= {"validated": True} if validated else {}
    asked |= {"separability": keys.of_code(linear_separability)} if separability else {}
    own: dict[str, Any] = {"estimators": estimators, "validated": validated, "separability": separability}
    yield Job(keys.key(model=made, name=name, **asked), None, **own)
    for detector in detectors:
        stated: dict[str, Any] = {"detector": registry.name_of("detectors", detector), "params": detector.params}
        stated |= basis.probing if detector.probes() else {}
        code = keys.of_code(*detector.code, Detector)
        for tuned in (False, True) if tunes and detector.grid else (False,):
            tuning = basis.tuning if tuned else None
            yield Job(keys.key(model=made, name=name, code=code, tuning=tuning, **stated), detector, tuned)


def _of_estimator(one: Estimator) -> list[Any]:
    return [registry.name_of("estimators", one), asdict(one), keys.of_code(type(one))]


@dataclass(frozen=True)
class Basis:
    """What rows rest on and hold beside model and detector: those of every job, of tuned ones, of probing ones."""

    every: dict[str, Any]
    tuning: list[list[Any]]
    probing: dict[str, Any]

    @classmethod
    def of(
        cls, study: str, id_name: str, sets: Sets, *, task: Any = None, half: bool = False, limit: int | None = None,
        seed: int = 0, fit_on: str = "all",
    ) -> Basis:  # fmt: skip
        """Of the sets as they are measured; ``limit`` and ``seed`` are those of the inputs that probes read."""
        metrics = (registry.find("metrics", name) for name in registry.names("metrics"))
        every = {
            "study": study,
            "id": id_name,
            "task": task,
            "data": [[member.role, *_stated(member)] for member in sets if member.role != "tuning"],
            "half": half,
            "code": keys.of_code(measure, extract, *metrics),
        }
        every |= {"fit_on": fit_on} if fit_on != "all" else {}
        probing = {"limit": limit, "seed": seed} if limit else {}
        return cls(every, [_stated(member) for member in sets.tuning], probing)


def _stated(member: Member) -> list[Any]:
    stated = [member.name, member.category, member.shift, member.severity, member.data.digest()]
    return [*stated, "full spectrum"] if member.full_spectrum else stated
