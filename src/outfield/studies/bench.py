"""A model brought to its sets: extracted once, each detector fitted and scored, every measure a row.

``measure`` is the one evaluator. A study, a card and a training run at a checkpoint all call it, and differ in where
they write what it gives.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, partial
from time import perf_counter
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from outfield import registry
from outfield.data.datasets import group_names_of, groups_of, parts_of
from outfield.data.member import Member
from outfield.detectors._requirements import asks
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.estimators.base import Answered
from outfield.features.cache import Entries
from outfield.features.collapse import collapse
from outfield.features.coverage import total_coverage
from outfield.features.extract import Values, check_labels, extract, extract_shard
from outfield.features.fit_data import FitData
from outfield.features.separability import linear_separability
from outfield.features.statistics import feature_statistics
from outfield.metrics.base import IdScores, MeritMetric, Merits, Metric, Predictions, Ranking, check_identities
from outfield.models.base import Model, lacking
from outfield.store.schema import FULL_SPECTRUM, HALVES, ID_VALIDATION
from outfield.store.subject import Subject
from outfield.studies.job import Job, parts, read_by
from outfield.studies.scoring import score
from outfield.studies.sets import Sets
from outfield.studies.tuning import tune
from outfield.tasks.base import Task
from outfield.types import Estimate, State

Rows = list[dict[str, Any]]
Progress = Callable[[int, int], None]
Found = tuple[Member, str, Estimate, dict[str, Any]]
"""A measure of a set: its name, its value, and columns of its row beside."""

ESTIMATED = "estimated_accuracy"
"""Metric: accuracy on a set as an estimator sees it without the labels; ``params`` name the estimator."""
SEPARABILITY = "linear_separability"
"""Metric: how far a linear function of the features tells an OOD set from the ID test set."""
DRAWS = 50
"""Resamples behind the interval of an estimated accuracy."""


@dataclass(frozen=True)
class Settings:
    """How a model is measured.

    Parameters
    ----------
    batch : int
        Inputs of one forward pass.
    half : bool
        Keep features as float16.
    device : str
    shards : int
        Parts that each set is extracted in.
    against : ``test`` or ``val``
        The ID set that OOD sets are ranked against. Along a training run it is ``val``, so that no item of the ID
        performance is in an AUROC.
    halves : bool
        Also the AUROCs of ``HALVES``: how far an AUROC depends on the items.
    fit_on : ``all`` or ``right``
        The training inputs that detectors learn from: all, or those that the model classifies rightly [1].
    baselines : bool
        An untuned detector that can be tuned is a baseline, since its tuned self is measured too.

    Examples
    --------
    >>> at_a_checkpoint = Settings(against="val", halves=True)
    >>> at_a_checkpoint.against, list(HALVES)
    ('val', ['auroc_half_1', 'auroc_half_2'])

    References
    ----------
    [1] Guerin, Delmas, Ferreira, Guiochet. Out-Of-Distribution Detection Is Not All You Need. AAAI 2023.
    """

    batch: int = 256
    half: bool = False
    device: str = "cpu"
    shards: int = 1
    against: Literal["test", "val"] = "test"
    halves: bool = False
    baselines: bool = False
    fit_on: Literal["all", "right"] = "all"


@dataclass(frozen=True)
class Measured:
    """What a job gave.

    Attributes
    ----------
    job : Job
    rows : list of mappings
        In the columns of ``outfield.store.schema``.
    items : frame
        Columns set, part, row, score: a detector's score of each item; for the model's own job the merit of each.
    failure : str
        Why it could not be done: the detector cannot be fitted on this model, say. Then there are no rows.
    warnings : tuple of str

    Examples
    --------
    >>> Measured(Job("ab12", None), failure="Expected fit rows of every class, but class 3 has none.").rows
    []
    """

    job: Job
    rows: Rows = field(default_factory=list)
    items: pl.DataFrame = field(default_factory=pl.DataFrame)
    failure: str = ""
    warnings: tuple[str, ...] = ()


def measure(
    model: Model,
    sets: Sets,
    task: Task,
    jobs: Sequence[Job],
    cache: Entries,
    *,
    subject: Subject,
    settings: Settings = Settings(),  # frozen
    digest: str | None = None,
    progress: Progress = lambda *_: None,
) -> Iterator[Measured]:
    """Do jobs on a model, one after the other: every set is extracted once, in one pass with all that jobs ask for.

    Parameters
    ----------
    model : Model
    sets : Sets
    task : Task
        Says what counts as good.
    jobs : sequence of Job
        Those whose detectors apply to the model (``applicable``).
    cache : Entries
    subject : Subject
        What rows say of the model.
    settings : Settings
    digest : str, optional
        The model's, where the caller has it already.
    progress : callable
        Told of inputs extracted, and how many there are.

    Raises
    ------
    UserError
        Values that are not finite, labels outside the head, or no answers where the task judges them. What keeps one
        detector from the model is its ``failure``, and the others go on.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from outfield.data.datasets import ArrayDataset
    >>> from outfield.features.cache import InMemory
    >>> from outfield.models.sklearn import SklearnModel
    >>> from outfield.tasks.classify import Classify
    >>> x, y = np.random.default_rng(0).normal(size=(120, 4)), np.arange(120) % 2
    >>> x[:, 0] += 6 * y
    >>> splits = enumerate(("train", "val", "test"))
    >>> train, val, test = (Member(split, split, ArrayDataset(x[i::3], y[i::3])) for i, split in splits)
    >>> far = Member("far", "ood", ArrayDataset(x[:40] + 9), "far")
    >>> sets = Sets(train, val, test, ood=(far,), tuning=(), shifts=())
    >>> model = SklearnModel(LogisticRegression().fit(x[::3], y[::3]))
    >>> jobs = [Job("a1", None), Job("b2", registry.create("detectors", "mds"))]
    >>> subject = Subject("demo", "tiny", "logistic")
    >>> own, mds = measure(model, sets, Classify(classes=2), jobs, InMemory(), subject=subject)
    >>> [row["value"] for row in own.rows if row["metric"] == "accuracy"]
    [1.0]
    >>> [(row["ood"], row["value"]) for row in mds.rows if row["metric"] == "auroc"]
    [('far', 1.0)]
    """
    bench = _Bench(model, sets, task, cache, subject, settings, digest or model.digest())
    ready = bench.prepared(jobs, progress)
    for job in jobs:
        yield bench.attempt(job, ready[job.probing])


def applicable(model: Model, jobs: Sequence[Job]) -> tuple[tuple[Job, ...], tuple[str, ...]]:
    """The jobs whose detectors find in the model what they ask for, and the detectors of the others.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from outfield.models.sklearn import SklearnModel
    >>> model = SklearnModel(DummyRegressor().fit(np.eye(2), [0.0, 1.0]))
    >>> jobs, left_out = applicable(model, [Job("a1", registry.create("detectors", name)) for name in ("knn", "msp")])
    >>> [job.title for job in jobs], left_out
    (['knn'], ('msp',))
    """
    left_out = tuple(job.title for job in jobs if job.detector and lacking(model, asks(job.detector)))
    return tuple(job for job in jobs if job.title not in left_out), left_out


def extract_shards(
    model: Model,
    sets: Sets,
    jobs: Sequence[Job],
    cache: Entries,
    *,
    number: int,
    settings: Settings,
    progress: Progress = lambda *_: None,
) -> None:
    """Extract one shard of every set that jobs read, for ``measure`` to find."""
    digest = model.digest()
    for some, data in parts(jobs, sets):
        for member in read_by(some, data):
            asked = _asked(model, member, some, settings, digest)
            extract_shard(model, member.data, cache, number, settings.shards, progress=progress, **asked)


def _asked(model: Model, member: Member, jobs: Sequence[Job], settings: Settings, digest: str) -> dict[str, Any]:
    """What is extracted of a set, and how."""
    return {
        "probes": [probe for job in jobs for probe in job.probes(member, settings.against)],
        "digest": digest,
        "about": f"model {model.name!r} on the {member.label}",
        "half": settings.half,
        "batch": settings.batch,
    }


@dataclass(frozen=True)
class _Ready:
    """A model's values on some sets, and what detectors learn from, where there are any."""

    sets: Sets
    values: Mapping[Member, Values]
    fit: FitData | None


@dataclass(frozen=True)
class _Bench:
    model: Model
    sets: Sets
    task: Task
    cache: Entries
    subject: Subject
    settings: Settings
    digest: str

    def prepared(self, jobs: Sequence[Job], progress: Progress) -> dict[bool, _Ready]:
        """Values of every set that jobs read and the folds of their detectors: of probing jobs (True) and of others."""
        shares = [(some, data, read_by(some, data)) for some, data in parts(jobs, self.sets)]
        total = sum(len(member) for _, _, members in shares for member in members)
        ready: dict[bool, _Ready] = {}
        before = 0
        for some, data, members in shares:
            values: dict[Member, Values] = {}
            for member in members:
                values[member] = self._values(member, some, partial(_after, progress, before, total))
                before += len(member)
            found = _Ready(data, values, _fit_data(self.model, data, values, some, self.settings.fit_on))
            ready |= dict.fromkeys({job.probing for job in some}, found)
            if self.sets.probed is None:
                ready = dict.fromkeys((False, True), found)
        return ready

    def _values(self, member: Member, jobs: Sequence[Job], progress: Progress) -> Values:
        settings, asked = self.settings, _asked(self.model, member, jobs, self.settings, self.digest)
        values = extract(
            self.model, member.data, self.cache, device=settings.device, shards=settings.shards, progress=progress,
            **asked,
        )  # fmt: skip
        if member.role in ("train", "val", "test", "shift"):
            _check_answers(self.task, values, f"the {member.label}")
        return values

    def attempt(self, job: Job, ready: _Ready) -> Measured:
        """Do a job; what keeps it from this model is told, and the others go on."""
        start = perf_counter()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", UserWarning)
            try:
                rows, items = self._of_model(job, ready) if job.detector is None else self._of_detector(job, ready)
            except UserError as error:
                return Measured(job, failure=str(error), warnings=_texts(heard))
        spent = {"seconds": perf_counter() - start}
        return Measured(job, [row | spent for row in rows], items, warnings=_texts(heard))

    @cached_property
    def _common(self) -> dict[str, Any]:
        return {"data_digest": self.sets.test.data.digest(), "model_digest": self.digest}

    def _row(self, member: Member, metric: str, found: Estimate, **columns: Any) -> dict[str, Any]:
        return self.subject.row(member, metric, found, **{**self._common, **columns})

    def _of_model(self, job: Job, ready: _Ready) -> tuple[Rows, pl.DataFrame]:
        """Performance and calibration on the ID test set and under shift, and what the features look like."""
        rows: Rows = []
        merits = {}
        for member, values in ready.values.items():
            if member.role in ("test", "shift"):
                merits[member] = _merits(self.task, values)
                rows += self._performance(member, values, merits[member])
            elif member.role == "val" and job.validated:
                rows += self._validated(member, values)
        test = ready.sets.test
        for name, value in _described(ready.values[test]).items():
            found = Estimate(value, n=len(test))
            rows.append(self._row(test, name, found, n_id=len(test), passes=1.0 if name in _CLASSES else None))
        return [*rows, *self._estimated(job, ready), *self._separable(job, ready)], _table(merits)

    def _separable(self, job: Job, ready: _Ready) -> Iterator[dict[str, Any]]:
        """How far a linear function of the features tells each scored set from the ID test set."""
        if not job.separability or "features" not in ready.values[ready.sets.test].arrays:
            return
        known = np.asarray(ready.values[ready.sets.test].arrays["features"])
        for member, values in ready.values.items():
            if member.scored and member.role != "test":
                apart = linear_separability(known, np.asarray(values.arrays["features"]))
                found = Estimate(apart, n=len(known) + len(member))
                sizes = {"n_id": len(known), "n_ood": len(member), "passes": 1.0}
                yield self._row(member, SEPARABILITY, found, **sizes)

    def _estimated(self, job: Job, ready: _Ready) -> Iterator[dict[str, Any]]:
        """Accuracy on the ID test set and under shift without their labels, from the labelled ID validation set."""
        if not job.estimators:
            return
        known = _answered(ready.values[ready.sets.val], labelled=True)
        for member, values in ready.values.items():
            if member.role in ("test", "shift"):
                batch = _answered(values, labelled=False)
                for one in job.estimators:
                    params = {"estimator": registry.name_of("estimators", one), **asdict(one)}
                    found = one.estimate(known, batch, draws=DRAWS)
                    yield self._row(member, ESTIMATED, found, params=params, n_id=len(ready.sets.test), passes=1.0)

    def _validated(self, member: Member, values: Values) -> Iterator[dict[str, Any]]:
        """What a choice among models may see: the performance on the ID validation set."""
        for name, found in _of_answers(self.task, values, _merits(self.task, values)):
            if name == self.task.measures[0]:
                yield self._row(member, ID_VALIDATION, found, n_id=len(member), passes=1.0)

    def _performance(self, member: Member, values: Values, merits: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
        common = {"n_id": len(self.sets.test), "passes": 1.0}
        for name, found in _of_answers(self.task, values, merits):
            yield self._row(member, name, found, **common)
        if (groups := groups_of(member.data)) is not None:
            names = group_names_of(member.data) or ()
            for group in np.unique(groups):
                some = np.flatnonzero(groups == group)
                title = names[group] if group < len(names) else str(group)
                for name, found in _of_answers(self.task, values, merits, some):
                    if name in self.task.measures:
                        yield self._row(member, name, found, **common, role="group", group=title)

    def _of_detector(self, job: Job, ready: _Ready) -> tuple[Rows, pl.DataFrame]:
        detector, state, curve = _fitted(job, ready)
        assert job.detector is not None
        columns = {
            "detector": job.title,
            "params": detector.params,
            "tuned": job.tuned,
            "passes": 1.0 + sum(probe.passes for probe in detector.probes()),
            "role": "baseline" if self.settings.baselines and job.detector.grid and not job.tuned else "test",
            "n_id": len(ready.sets.test),
        }
        rows = [
            self._row(member, "auroc", found, **{**columns, "params": variant.params, "role": "curve"})
            for variant, member, found in curve
        ]
        known = ready.sets.test if self.settings.against == "test" else ready.sets.val
        scored = [member for member in ready.values if member is known or (member.scored and member.role != "test")]
        scores = {m: score(detector, state, ready.values[m], f"the {m.label}") for m in scored}
        for member, name, found, more in self._found(known, scores, ready):
            rows.append(self._row(member, name, found, **{**columns, **more}))
        return rows, _table(scores)

    def _found(self, known: Member, scores: Mapping[Member, NDArray[np.float64]], ready: _Ready) -> Iterator[Found]:
        """Every measure of a detector's scores; the ID scores are sorted once for all OOD sets."""
        values, n = ready.values[known], {"n_id": len(known)}
        said = _predictions(values)
        sorted_once = IdScores(scores[known], None if said is None else said.correct)
        if said is not None:
            yield from ((known, name, found, n) for name, found in _defined("diagnostic", sorted_once, per_set=False))
        merits = Merits(_merits(self.task, values), scores[known])
        yield from ((known, name, found, n) for name, found in _of_merits(merits, self.task, of_detector=True))
        for member, found in scores.items():
            if member is not known and not member.full_spectrum:
                names = parts_of(member.data)
                check_identities(sorted_once, found, names)
                for part, some in _parts(found, names):
                    yield from _against(sorted_once.against(some), member, part)
                if self.settings.halves:
                    yield from _halved(scores[known], found, member)
                yield from _errors_under_shift(member, found, ready.values[member])
        yield from _full_spectrum(known, scores, ready)


def _errors_under_shift(member: Member, scores: NDArray[np.float64], values: Values) -> Iterator[Found]:
    """How scores follow the model's errors on the shifted set itself."""
    if member.role == "shift" and (said := _predictions(values)) is not None:
        alone = IdScores(scores, said.correct)
        yield from (
            (member, name, found, {"n_id": len(scores)}) for name, found in _defined("diagnostic", alone, per_set=False)
        )


def _after(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def _fit_data(
    model: Model, sets: Sets, values: Mapping[Member, Values], jobs: Sequence[Job], on: str
) -> FitData | None:
    if not any(job.detector for job in jobs):
        return None
    train = values[sets.train]
    encoder = getattr(model, "texts", None)
    fit = FitData(_right(train) if on == "right" else train, values[sets.val], encoder)
    fit.prepare(fold for job in jobs if job.detector for fold in job.detector.folds_on(fit))
    return fit


def _right(train: Values) -> Values:
    """The training inputs that the model classifies rightly; ``UserError`` where it is no classifier or errs always."""
    said = _predictions(train)
    if said is None or not said.correct.any():
        raise UserError(
            "Expected training inputs that the model classifies rightly, but there is none. Fit detectors on all: "
            "leave out `fit_on: right`."
        )
    return train.at_rows(np.flatnonzero(said.correct))


def _texts(heard: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(one.message) for one in heard))


def _check_answers(task: Task, values: Values, about: str) -> None:
    """``UserError`` where the right answers that the task judges by are not there, or are no classes of the head."""
    if task.judges == "labels":
        check_labels(values, about)
    elif task.judges == "targets" and "targets" not in values.arrays:
        raise UserError(f"Expected targets for {about}, but it has none. Name the column that is to be predicted.")


def _merits(task: Task, values: Values) -> NDArray[np.float64]:
    with torch.inference_mode():
        return torch.cat([task.merit(chunk).cpu() for chunk in values]).double().numpy()


def _predictions(values: Values, rows: NDArray[np.int64] | slice = slice(None)) -> Predictions | None:
    """What a classifier said and what is true; None where it is no classifier."""
    arrays = values.arrays
    if "logits" not in arrays or "labels" not in arrays:
        return None
    return Predictions(arrays["logits"][rows], arrays["labels"][rows])


def _answered(values: Values, *, labelled: bool) -> Answered:
    arrays = values.arrays
    if "logits" not in arrays:
        raise UserError(
            "Expected a classifier to estimate the accuracy of, but the model has no logits. Leave estimators out."
        )
    return Answered(np.asarray(arrays["logits"]), np.asarray(arrays["labels"]) if labelled else None)


def _of_answers(
    task: Task, values: Values, merits: NDArray[np.float64], rows: NDArray[np.int64] | slice = slice(None)
) -> Iterator[tuple[str, Estimate]]:
    """Every measure of a model's answers to some items."""
    if (said := _predictions(values, rows)) is not None:
        yield from _defined("predictions", said, per_set=False)
    yield from _of_merits(Merits(merits[rows]), task, of_detector=False)


def _of_merits(merits: Merits, task: Task, *, of_detector: bool) -> Iterator[tuple[str, Estimate]]:
    """The merit metrics that the task names, or those of a detector's scores beside."""
    for name, metric in _metrics().items():
        if isinstance(metric, MeritMetric) and metric.of_detector == of_detector:
            wanted = of_detector or name in task.measures
            if wanted and metric.defined(merits):
                yield name, metric.of(merits)


def _fitted(job: Job, ready: _Ready) -> tuple[Detector, State, list[tuple[Detector, Member, Estimate]]]:
    """The detector with what it learned, and how every setting did where it was tuned."""
    assert job.detector is not None
    assert ready.fit is not None
    if not job.tuned:
        detector = job.detector.clipped(ready.fit)
        return detector, detector.fit(ready.fit), []
    sets, values = ready.sets, ready.values
    tuned = tune(job.detector, ready.fit, values[sets.val], {m.name: values[m] for m in sets.tuning})
    by_name = {member.name: member for member in sets.tuning}
    return tuned.detector, tuned.state, [(variant, by_name[name], found) for variant, name, found in tuned.curve]


def _against(ranking: Ranking, member: Member, part: str | None) -> Iterator[Found]:
    sizes = {"part": part, "set_kind": "ood", "n_id": ranking.n_id, "n_ood": len(ranking.ood)}
    for inputs in ("ranking", "diagnostic") if part is None else ("ranking",):
        if inputs == "ranking" or ranking.id.correct is not None:
            for name, found in _defined(inputs, ranking, per_set=True):
                yield member, name, found, sizes


def _full_spectrum(known: Member, scores: Mapping[Member, NDArray[np.float64]], ready: _Ready) -> Iterator[Found]:
    """The measures of each OOD set with the shifted ID inputs counted among the ID inputs, where they are scored.

    No intervals: shifted versions of one input are not independent of each other.
    """
    familiar = [known, *(member for member in scores if member.full_spectrum)]
    if len(familiar) == 1:
        return
    said = [_predictions(ready.values[member]) for member in familiar]
    right = [one.correct for one in said if one is not None]
    correct = np.concatenate(right) if len(right) == len(familiar) else None
    together = IdScores(np.concatenate([scores[member] for member in familiar]), correct)
    for member, found in scores.items():
        if member not in familiar:
            for _, name, value, sizes in _against(together.against(found), member, None):
                yield member, f"{name}{FULL_SPECTRUM}", Estimate(value.value, n=value.n), sizes | {"n_id": len(known)}


def _halved(known: NDArray[np.float64], found: NDArray[np.float64], member: Member) -> Iterator[Found]:
    """AUROCs on every second item of both sides, where both have items."""
    auroc = _metrics()["auroc"]
    for name, rows in HALVES.items():
        if len(known[rows]) and len(found[rows]):
            sizes = {"set_kind": "ood", "n_id": len(known[rows]), "n_ood": len(found[rows])}
            yield member, name, auroc.of(IdScores(known[rows]).against(found[rows])), sizes


def _parts(
    scores: NDArray[np.float64], parts: NDArray[np.str_] | None
) -> Iterator[tuple[str | None, NDArray[np.float64]]]:
    yield None, scores
    if parts is not None:
        yield from ((str(part), scores[parts == part]) for part in dict.fromkeys(parts))


def _defined(inputs: str, data: Any, *, per_set: bool) -> Iterator[tuple[str, Estimate]]:
    for name, metric in _metrics().items():
        if metric.inputs == inputs and metric.per_set == per_set and metric.defined(data):
            yield name, metric.of(data)


def _metrics() -> dict[str, Metric[Any]]:
    return _made(registry.names("metrics"))


@cache
def _made(names: tuple[str, ...]) -> dict[str, Metric[Any]]:
    return {name: registry.create("metrics", name) for name in names}


_CLASSES = ("classes", "labels_present", "majority_share", "predicted_share")


def _described(values: Values) -> dict[str, float]:
    """Classes of head and labels, shares of the most frequent, and the features: statistics, collapse, coverage."""
    said, found = _predictions(values), {}
    if said is not None:
        labels, predicted = (np.bincount(numbers) for numbers in (said.labels, said.predicted))
        counts = (said.n_classes, np.count_nonzero(labels), labels.max() / len(said), predicted.max() / len(said))
        found = dict(zip(_CLASSES, map(float, counts), strict=True))
    if values.head is not None and said is not None:
        found |= feature_statistics(values) | collapse(values, values.head)
        found["activation_coverage"] = total_coverage(values, values.head)
    return found


def _table(values: Mapping[Member, NDArray[np.float64]]) -> pl.DataFrame:
    """Values of each item as they are kept: columns set, part, row, score."""
    return pl.concat(
        pl.DataFrame({"set": member.name, "part": _part_names(member), "row": member.numbers, "score": found})
        for member, found in values.items()
    )


def _part_names(member: Member) -> pl.Series:
    names = parts_of(member.data)
    return pl.Series([None] * len(member) if names is None else list(map(str, names)), dtype=pl.String)
