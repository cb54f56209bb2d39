"""What a task does with a model: extract once, then fit, score and measure for each job, and write its rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outfield import registry
from outfield.data.datasets import parts_of
from outfield.data.member import Member
from outfield.detectors._requirements import asks
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.features.extract import Values, check_labels, extract, extract_shard
from outfield.features.fit_data import FitData
from outfield.features.statistics import feature_statistics
from outfield.metrics.base import IdScores, Metric, Predictions, Ranking, check_identities
from outfield.models.base import Model, lacking
from outfield.store import write
from outfield.studies.executors.base import Event, Notify
from outfield.studies.outcome import Spent
from outfield.studies.plan import Job, ModelJobs, parts
from outfield.studies.scoring import score
from outfield.studies.sets import Sets
from outfield.studies.spec import Spec
from outfield.studies.tuning import tune
from outfield.types import Estimate, State

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Study:
    """What every task of a study shares; ``study(task, notify)`` does one."""

    spec: Spec
    sets: Sets
    folder: Path
    cache: Cache

    def __call__(self, task: ModelJobs, notify: Notify) -> Spent:
        tell = partial(_tell, notify, task.recipe.name)
        model = self.model(task, notify)
        left_out = tuple(job.title for job in task.jobs if job.detector and not _applies(job.detector, model))
        bench = Bench(self, task, model, tell("extraction"))
        tell_scoring = tell("scoring")
        bench.prepare()
        failed = []
        for done, job in enumerate(task.jobs, 1):
            if job.title not in left_out and (why := bench.attempt(job)):
                failed.append((job.title, why))
            tell_scoring(done, len(task.jobs))
        jobs = len(task.jobs) - len(left_out) - len(failed)
        return Spent(task.recipe.name, jobs, model.forwards, left_out, tuple(failed), bench.warnings)

    def model(self, task: ModelJobs, notify: Notify) -> Model:
        """The model of a task, trained where it is not there."""
        report = _tell(notify, task.recipe.name, "training")
        return task.recipe.obtain(self.sets, self.folder / "models", report, self.spec.resources.device)


def _tell(notify: Notify, task: str, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: notify(Event(task, stage, done, total))


def _applies(detector: Detector, model: Model) -> bool:
    """Whether the model has what the detector and its probes ask for."""
    return not lacking(model, asks(detector))


@dataclass(frozen=True)
class Ready:
    """A model's values on some sets of the study, and what was learned from them."""

    sets: Sets
    values: Mapping[Member, Values]
    fit: FitData


@dataclass
class Bench:
    """One model's values on every set, and what was fitted on them: once for all inputs, once for those of probes."""

    study: Study
    task: ModelJobs
    model: Model
    progress: Callable[[int, int], None]
    ready: dict[bool, Ready] = field(default_factory=dict)
    warned: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """The model's content key, taken once for all data sets and jobs."""
        return self.model.digest()

    def prepare(self) -> None:
        """Extract every set that the jobs read, each in one pass, and run their folds in one pass more."""
        shares = parts(self.task, self.study.sets)
        total = sum(len(member.data) for part, sets in shares for member in part.sets(sets))
        before = 0
        for part, sets in shares:
            ready = self._prepared(part, sets, before, total)
            self.ready |= {job.probing: ready for job in part.jobs}
            before += sum(len(member.data) for member in part.sets(sets))

    def _prepared(self, part: ModelJobs, sets: Sets, before: int, total: int) -> Ready:
        values: dict[Member, Values] = {}
        for member in part.sets(sets):
            values[member] = self._extract(part, member, before, total)
            before += len(member.data)
            if member.role in ("train", "val", "test", "shift"):
                check_labels(values[member], f"the {member.label}")
        fit = FitData(values[sets.train], values[sets.val])
        detectors = [job.detector for job in self._applicable(part)]
        fit.prepare(fold for detector in detectors if detector for fold in detector.folds_on(fit))
        return Ready(sets, values, fit)

    def _applicable(self, part: ModelJobs) -> list[Job]:
        """The jobs whose detectors find in the model what they ask for."""
        return [job for job in part.jobs if job.detector is None or _applies(job.detector, self.model)]

    def _extract(self, part: ModelJobs, member: Member, before: int, total: int) -> Values:
        return extract(
            self.model,
            member.data,
            self.study.cache,
            device=self.study.spec.resources.device,
            shards=self.study.spec.resources.shards,
            progress=lambda done, _: self.progress(before + done, total),
            **self._asked(part, member),
        )

    def _asked(self, part: ModelJobs, member: Member) -> dict[str, Any]:
        """What is extracted of a set, and how."""
        return {
            "probes": [probe for job in self._applicable(part) for probe in job.probes(member.role)],
            "digest": self.digest,
            "about": f"model {self.model.name!r} on the {member.label}",
            "half": self.study.spec.half,
            "batch": self.study.spec.batch,
        }

    def shard(self, number: int) -> None:
        """Extract one shard of every set that the jobs read."""
        shards, cache = self.study.spec.resources.shards, self.study.cache
        for part, sets in parts(self.task, self.study.sets):
            for member in part.sets(sets):
                extract_shard(
                    self.model, member.data, cache, number, shards, progress=self.progress, **self._asked(part, member)
                )

    def attempt(self, job: Job) -> str | None:
        """Do a job; what keeps a detector from this model is returned, and the other jobs go on."""
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", UserWarning)
            try:
                self.do(job)
            except UserError as error:
                return str(error)
            finally:
                for text in dict.fromkeys(str(one.message) for one in heard):
                    self.warned.setdefault(text, []).append(job.title)
        return None

    @property
    def warnings(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What was warned of while jobs were done, each with the jobs."""
        return tuple((text, tuple(titles)) for text, titles in self.warned.items())

    def do(self, job: Job) -> None:
        """Make the rows of one job and write them; the scores first, so that rows that exist have theirs."""
        start = perf_counter()
        ready = self.ready[job.probing]
        measured = list(self._model_rows(ready) if job.detector is None else self._detector_rows(job, ready))
        common = self._common(ready) | {"seconds": perf_counter() - start}
        rows = [common | row for row in measured]
        write.rows(self.study.folder, job.key, rows, scored=self.model.name if job.detector else None)

    def _common(self, ready: Ready) -> dict[str, Any]:
        recipe, sets = self.task.recipe, ready.sets
        return {
            "study": self.study.spec.name,
            "run": recipe.name,
            "model": recipe.name,
            "strategy": recipe.strategy,
            "family": recipe.family,
            "seed": recipe.seed,
            "id": self.study.spec.id.name,
            "n_id": len(sets.test.data),
            "role": "test",
            "data_digest": sets.test.data.digest(),
            "model_digest": self.digest,
        }

    def _model_rows(self, ready: Ready) -> Iterator[dict[str, Any]]:
        """Accuracy, calibration and feature statistics on the ID test set; accuracy and calibration under shift."""
        for member, values in ready.values.items():
            if member.role in ("test", "shift"):
                for name, estimate in _of_predictions(values):
                    yield _set_columns(member) | _measure(name, estimate) | {"passes": 1.0}
        test = ready.values[ready.sets.test]
        for name, value in _of_classes(_predictions(test)).items():
            yield _set_columns(ready.sets.test) | _measure(name, Estimate(value, n=len(test))) | {"passes": 1.0}
        if test.head is not None:
            for name, value in feature_statistics(test).items():
                yield _set_columns(ready.sets.test) | _measure(name, Estimate(value, n=len(test)))

    def _detector_rows(self, job: Job, ready: Ready) -> Iterator[dict[str, Any]]:
        detector, state, curve = _fitted(job, ready)
        columns = {
            "detector": job.title,
            "params": detector.params,
            "tuned": job.tuned,
            "passes": 1.0 + sum(probe.passes for probe in detector.probes()),
            "role": "baseline" if self._is_baseline(job) else "test",
        }
        yield from (columns | row for row in curve)
        scores = {
            m: score(detector, state, v, f"the {m.label}") for m, v in ready.values.items() if m.role in ("test", "ood")
        }
        yield from (columns | row for row in _measured(scores, ready))
        write.scores(self.study.folder, self.model.name, job.key, _scores_frame(scores))

    def _is_baseline(self, job: Job) -> bool:
        """An untuned detector beside its tuned self is what tuning is compared with."""
        return not job.tuned and self.study.spec.tuning is not None and bool(job.detector and job.detector.grid)


def _fitted(job: Job, ready: Ready) -> tuple[Detector, State, Rows]:
    assert job.detector is not None
    if not job.tuned:
        detector = job.detector.clipped(ready.fit)
        return detector, detector.fit(ready.fit), []
    sets, values = ready.sets, ready.values
    tuned = tune(job.detector, ready.fit, values[sets.val], {m.name: values[m] for m in sets.tuning})
    places = {member.name: _set_columns(member) for member in sets.tuning}
    curve = [
        places[name] | _measure("auroc", estimate) | {"params": variant.params, "role": "curve"}
        for variant, name, estimate in tuned.curve
    ]
    return tuned.detector, tuned.state, curve


def _measured(scores: Mapping[Member, NDArray[np.float64]], ready: Ready) -> Iterator[dict[str, Any]]:
    """Every measure of a detector's scores; the ID scores are sorted once for all OOD sets."""
    test = ready.sets.test
    predictions = _predictions(ready.values[test])
    known = IdScores(scores[test], predictions.correct)
    for name, estimate in _defined("diagnostic", known, per_set=False):
        yield _set_columns(test) | _measure(name, estimate)
    for member, found in scores.items():
        if member.role == "ood":
            names = parts_of(member.data)
            check_identities(known, found, names)
            for part, some in _parts(found, names):
                yield from _against(known.against(some), member, part)


def _against(ranking: Ranking, member: Member, part: str | None) -> Iterator[dict[str, Any]]:
    columns = _set_columns(member) | {"part": part, "n_ood": len(ranking.ood)}
    for inputs in ("ranking", "diagnostic") if part is None else ("ranking",):
        for name, estimate in _defined(inputs, ranking, per_set=True):
            yield columns | _measure(name, estimate)


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


@cache
def _metrics() -> dict[str, Metric[Any]]:
    return {name: registry.create("metrics", name) for name in registry.names("metrics")}


def _of_predictions(values: Values) -> Iterator[tuple[str, Estimate]]:
    return _defined("predictions", _predictions(values), per_set=False)


def _predictions(values: Values) -> Predictions:
    return Predictions(values.arrays["logits"], values.arrays["labels"])


def _of_classes(predictions: Predictions) -> dict[str, float]:
    """How many classes the head and the labels have, and the shares of the most frequent label and prediction."""
    labels, predicted = (np.bincount(values) for values in (predictions.labels, predictions.predicted))
    n = len(predictions)
    return {
        "classes": float(predictions.n_classes),
        "labels_present": float(np.count_nonzero(labels)),
        "majority_share": float(labels.max()) / n,
        "predicted_share": float(predicted.max()) / n,
    }


def _set_columns(member: Member) -> dict[str, Any]:
    kind = {"ood": "ood", "tuning": "ood", "shift": "shift"}.get(member.role, "id")
    return {
        "ood": None if kind == "id" else member.name,
        "set_kind": kind,
        "ood_category": member.category,
        "shift": member.shift,
        "severity": member.severity,
    }


def _measure(name: str, estimate: Estimate) -> dict[str, Any]:
    return {"metric": name, "value": estimate.value, "low": estimate.low, "high": estimate.high}


def _scores_frame(scores: Mapping[Member, NDArray[np.float64]]) -> pl.DataFrame:
    return pl.concat(
        pl.DataFrame({"set": member.name, "part": _part_names(member), "row": _numbers(member), "score": found})
        for member, found in scores.items()
    )


def _numbers(member: Member) -> NDArray[np.int64]:
    """The rows' numbers in the whole set, so that scores of samples and of all can be paired."""
    return np.arange(len(member.data)) if member.rows is None else member.rows


def _part_names(member: Member) -> pl.Series:
    parts = parts_of(member.data)
    return pl.Series([None] * len(member.data) if parts is None else list(map(str, parts)), dtype=pl.String)
