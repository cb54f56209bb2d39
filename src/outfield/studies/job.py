"""What a study does with a model: its jobs, and the sets that they read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from outfield import registry
from outfield.data.member import Member
from outfield.detectors.base import Detector
from outfield.estimators.base import Estimator
from outfield.features.probes.base import Probe
from outfield.studies.sets import Sets

if TYPE_CHECKING:
    from outfield.studies.recipes import Recipe


@dataclass(frozen=True)
class Job:
    """What makes one file of rows: a detector on one model, or (detector None) the model's own measures.

    Examples
    --------
    >>> knn = registry.create("detectors", "knn")
    >>> Job("ab12", knn).title, Job("cd34", None).title, Job("ab12", knn).probing
    ('knn', 'model', False)
    """

    key: str
    detector: Detector | None
    tuned: bool = False
    estimators: tuple[Estimator, ...] = ()
    """Of accuracy without labels: the model's own job then reads the labelled ID validation set too."""
    validated: bool = False
    """Whether the model's own job measures the ID validation set too, for a choice among models."""
    separability: bool = False
    """Whether the model's own job says how far a linear function of the features tells each OOD set."""

    @property
    def title(self) -> str:
        """The detector's name, or ``model``."""
        return "model" if self.detector is None else registry.name_of("detectors", self.detector)

    @property
    def probing(self) -> bool:
        """Whether it queries the model beyond its forward pass, so that the study's ``probe_limit`` holds."""
        return self.detector is not None and bool(self.detector.probes())

    def probes(self, member: Member, against: str = "test") -> tuple[Probe, ...]:
        """The probes whose values it reads on a set: all for what is scored, else where it is fitted.

        ``against`` is the role of the ID set that others are ranked against.

        Examples
        --------
        >>> from outfield.data.member import Counted
        >>> odin = Job("ab12", registry.create("detectors", "odin"))
        >>> [probe.key for probe in odin.probes(Member("films", "ood", Counted(9), "far"))]
        ['odin(temperature=1000.0,epsilon=0.0014)']
        >>> odin.probes(Member("train", "train", Counted(9)))
        ()
        """
        if self.detector is None:
            return ()
        ranked = member.role == against if member.kind == "id" else member.scored
        if (
            not (ranked or (self.tuned and member.role in ("val", "tuning")))
            and member.role not in self.detector.fits_on
        ):
            return ()
        settings = self.detector.settings() if self.tuned else (self.detector,)
        return tuple(probe for setting in settings for probe in setting.probes())

    def reads(self, member: Member) -> bool:
        """Whether it reads a set.

        Examples
        --------
        >>> from outfield.data.member import Counted
        >>> noisy, films = Member("noise", "shift", Counted(9)), Member("films", "ood", Counted(9), "far")
        >>> knn = Job("ab12", registry.create("detectors", "knn"))
        >>> [knn.reads(noisy), knn.reads(films)], [Job("cd34", None).reads(noisy), Job("cd34", None).reads(films)]
        ([False, True], [True, False])
        """
        if self.detector is None:
            more = ((bool(self.estimators) or self.validated) and member.role == "val") or (
                self.separability and member.scored
            )
            return member.role in ("test", "shift") or more
        if member.role in ("train", "val", "test"):
            return True
        return member.scored or (self.tuned and member.role == "tuning")


@dataclass(frozen=True)
class ModelJobs:
    """One model with its jobs: they share its forward passes.

    Examples
    --------
    >>> from outfield.studies.recipes import StoredRecipe
    >>> recipe = StoredRecipe("net-0", "mixup", "augmentation", 0, "ab12", weights=None)
    >>> jobs = ModelJobs(recipe, (Job("a1", None), Job("b2", registry.create("detectors", "msp"))))
    >>> [job.title for job in jobs.without({"a1"}).jobs]
    ['msp']
    """

    recipe: Recipe
    jobs: tuple[Job, ...]

    def without(self, done: Set[str]) -> ModelJobs:
        """The same less the jobs that are done."""
        return replace(self, jobs=tuple(job for job in self.jobs if job.key not in done))


def read_by(jobs: Sequence[Job], sets: Iterable[Member]) -> tuple[Member, ...]:
    """The sets that jobs read.

    Examples
    --------
    >>> from outfield.data.member import Counted
    >>> noisy, films = Member("noise 3", "shift", Counted(9)), Member("films", "ood", Counted(9), "far")
    >>> knn = Job("b2", registry.create("detectors", "knn"))
    >>> [member.name for member in read_by([knn], [noisy, films])]
    ['films']
    >>> [member.name for member in read_by([Job("a1", None)], [noisy, films])]
    ['noise 3']
    """
    return tuple(member for member in sets if any(job.reads(member) for job in jobs))


def parts(jobs: Sequence[Job], sets: Sets) -> tuple[tuple[tuple[Job, ...], Sets], ...]:
    """Jobs with the sets that they read: those of probes apart where the study limits their inputs."""
    if sets.probed is None:
        return ((tuple(jobs), sets),) if jobs else ()
    plain = tuple(job for job in jobs if not job.probing)
    probing = tuple(job for job in jobs if job.probing)
    return tuple((some, data) for some, data in ((plain, sets), (probing, sets.probed)) if some)
