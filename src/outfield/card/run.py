"""``evaluate``: one model, its data, and the same machinery as a study; a card comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from outfield import keys, registry
from outfield.card.card import Card, Origin
from outfield.card.classes import by_class
from outfield.card.hardest import Judged, answers, hardest
from outfield.card.jobs import Shelf
from outfield.card.recommendation import choose, paired
from outfield.data import labels
from outfield.data.adapters import gap
from outfield.data.base import Dataset, Items
from outfield.data.datasets import left_out_of, row_keys
from outfield.data.in_memory import in_memory
from outfield.data.member import Member
from outfield.data.sampling import sample
from outfield.data.user_data import Aligned, aligned, id_splits, kind_of, ood_members
from outfield.data.views import shifted
from outfield.detectors._requirements import asks
from outfield.detectors.base import Detector
from outfield.errors import Problems, UserError
from outfield.estimators.base import LEAST
from outfield.features.cache import Cache, default_folder
from outfield.features.extract import extract
from outfield.models.base import Model, lacking
from outfield.models.family import family_of
from outfield.models.open import named_by_data, open_model
from outfield.models.sklearn import is_regressor, open_sklearn
from outfield.places import home
from outfield.store import query
from outfield.store.subject import Subject
from outfield.studies.bench import Measured, Settings, measure
from outfield.studies.job import Job
from outfield.studies.plan import Basis, jobs_of
from outfield.studies.sets import Sets, in_two_roles
from outfield.studies.spec import file_of
from outfield.studies.work import keep
from outfield.tasks.regress import Regress
from outfield.temporary_files import work_folder

PROBED = 2000
SHIFTED = 1000
SEVERITIES = (1, 3, 5)
ESTIMATORS = ("average_confidence", "average_thresholded_confidence", "difference_of_confidences")
"""Of accuracy without labels: those that cost next to nothing beside the passes under shift."""
Tell = Callable[[str, int, int], None]


def evaluate(
    model: Any,
    *,
    id_test: Any,
    id_train: Any = None,
    id_val: Any = None,
    ood: Mapping[str, Any],
    shifts: Sequence[str] | str = (),
    detectors: Sequence[str | Detector] | str = "usual",
    id_name: str = "ID",
    batch: int = 256,
    probe_limit: int = PROBED,
    seed: int = 0,
    cache: Cache | None = None,
    classes: Sequence[str] | Mapping[str, str | int] | None = None,
    target: str | None = None,
    tell: Tell = lambda *_: None,
    **options: Any,
) -> Card:
    """One model's behaviour card: performance on ID data and under shift, calibration, every applicable detector.

    Parameters
    ----------
    model : str or object
        As for ``open_model``.
    id_test, id_train, id_val : data
        ID data with labels: paths, sources, data sets, or ``(items, labels)``, where items are an array, a tensor, a
        frame of any library, a list of pictures or texts, or a mapping of input names to arrays; or a torch data set.
        Detectors are fitted on the training data; without it, on a part of the test data. With ``id_val``, which the
        model must not have seen, the card says what estimators of accuracy without labels tell of each shift.
    ood : mapping
        ``{"near": data, "far": [data, data]}``, ``{"near": {"NAME": data}}`` or ``{"NAME": ("near", data)}``.
    shifts : "standard" or sequence of str
        Covariate shifts by name, at severities 1, 3 and 5 on at most 1,000 test pictures; "standard" is all of them.
    detectors : "usual", "all" or sequence of names or detectors
        "usual" are those of outfield that cost little beside the passes, "all" are all of its own; those of other
        packages are named.
    id_name : str
    batch : int
        Inputs of one forward pass.
    probe_limit : int
        Inputs of each set for detectors that query the model beyond its forward pass.
    seed : int
    cache : Cache, optional
        By default the user's: a second evaluation of the same model and data makes no pass.
    classes : sequence of str or mapping, optional
        Names of the model's outputs, in their order; or the data's names of classes to the model's names or numbers,
        where they differ: ``{"entailment": "yes"}``. See ``outfield.data.user_data.aligned``.
    target : str, optional
        Column of tables that holds the number to be predicted. With it, and of a regressor of scikit-learn, the card
        is one of a regression: its data are ``(items, targets)``, sources with targets, or such tables.
    tell : callable, optional
        ``tell(stage, done, total)`` while it works.
    options
        Of ``open_model``: ``head``, ``features``, ``layers``, ``preprocess``, ``device``, ...

    Raises
    ------
    UserError
        A model or data that cannot be used; no detector that applies.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> rows, labels = rng.normal(size=(300, 2)), np.arange(300) % 2
    >>> rows[:, 0] += 6 * labels
    >>> card = evaluate(
    ...     LogisticRegression().fit(rows, labels), id_test=(rows, labels), ood={"far": rng.normal(size=(80, 2)) + 9},
    ...     detectors=["msp", "mds"], cache=Cache(Path(tempfile.mkdtemp())),
    ... )
    >>> card.recommended
    'mds'
    """
    numbers = target is not None or _predicts_numbers(model, options)
    parts, notes = id_splits(id_train, id_val, id_test, target, numbers=numbers)
    outputs, _ = labels.mapping(classes)
    options = options if outputs is None else {**options, "classes": outputs}
    if named_by_data(model) and "classes" not in options and parts["test"].classes:
        options = {**options, "classes": parts["test"].classes}
    members = ood_members(ood, target, numbers=numbers)
    example = _example(parts["test"], [*parts.values(), *(member.data for member in members)])
    opened = open_model(model, **{"example": example, **options})
    if numbers and "logits" in opened.offers:
        raise UserError(
            f"Expected a model that predicts numbers, since the data have targets, but {opened!r} is a classifier. "
            "Pass a regressor; a torch module predicts numbers with numbers=True."
        )
    if not numbers and "logits" not in opened.offers:
        raise UserError(
            f"Expected a classifier, since the data have labels, but {opened!r} predicts numbers. Pass numbers to be "
            "predicted: tables with target=COLUMN (--target COLUMN)."
        )
    outputs_known = None if opened.head is None else len(opened.head.weight)
    known = Aligned(parts, None, ()) if numbers else aligned(parts, opened.classes, classes, outputs_known)
    sets = _sets(known.parts, members, shifts, seed)
    sets = _limited(replace(sets, task=Regress(id={}) if numbers else sets.task), probe_limit, seed)
    chosen, left_out = _applicable(opened, _detectors(detectors))
    shelf = cache or Cache(default_folder())
    bench = _Bench(opened, sets, shelf, id_name, batch, probe_limit, seed, held_out=id_val is not None)
    with work_folder("card") as folder:
        done = bench.done(chosen, Path(folder), tell)
        left_out |= done.failed
        scored = [job for job in done.jobs if job.detector and job.title not in left_out]
        scores = {job.title: query.scores(folder, opened.name, job.key) for job in scored}
        rows = query.rows(folder)
    if not scores:
        raise UserError(f"Expected a detector that can be fitted, but none can: {'; '.join(left_out.values())}")
    choice = choose(
        paired(scores, sets.test.name, [one.name for one in sets.ood]),
        {member.name: str(member.category) for member in sets.ood},
        seed,
    )
    probing = next(job.probing for job in scored if job.title == choice.best)
    judged, names = bench.judged(scores[choice.best], probing=probing), known.classes
    card = Card(
        repr(opened),
        rows,
        choice,
        hardest(judged, names),
        by_class(judged, names),
        kind_of(sets.test.data),
        left_out,
        (*notes, *known.notes, *_told(opened, judged), *_notes(sets, probe_limit), *done.warnings),
        scores,
        {one.name: keys.of_array(row_keys(one.data)) for one in (sets.test, *sets.ood)},
        answers(judged[-1], names),
        judged[-1],
        _family(opened),
    )
    held = None if id_val is None else sets.val.data
    return card.with_origin(Origin(opened, sets.train.data, held, (sets.test.data,), bench.cache))


def _family(model: Model) -> str:
    """Of the architecture; empty where the model is no network whose modules can be seen."""
    module = getattr(model, "module", None)
    return family_of(module) if isinstance(module, nn.Module) else ""


def _predicts_numbers(model: Any, options: Mapping[str, Any]) -> bool:
    """Whether a model is known as a regressor before its data are."""
    if isinstance(model, (str, Path)) and (file := file_of(str(model))).endswith(".skops"):
        return open_sklearn(str(home(file)), trusted=options.get("trusted", ())).regresses
    if isinstance(model, Model):
        return "logits" not in model.offers
    return bool(options.get("numbers")) or is_regressor(model)


def _example(test: Dataset, sets: Sequence[Dataset]) -> Items:
    """Items to open the model with: two of the test data; of tables, one that lacks a number where any does."""
    lacking = next(((data, row) for data in sets if (row := gap(data)) is not None), None)
    return test.read(slice(0, 2)) if lacking is None else lacking[0].read(np.array([lacking[1]]))


def _sets(parts: Mapping[str, Dataset], ood: tuple[Member, ...], shifts: Sequence[str] | str, seed: int) -> Sets:
    train, val = Member("train", "train", parts["train"]), Member("val", "val", parts["val"])
    test = Member("test", "test", parts["test"])
    if problems := list(in_two_roles([train, val, test, *ood])):
        raise Problems("The data", problems)
    return Sets(train, val, test, ood, (), tuple(_shifted(test.data, shifts, seed)))


def _limited(sets: Sets, limit: int, seed: int) -> Sets:
    """The sets with samples of them for probes, where any of them is larger than the limit."""
    large = any(len(member.data) > limit for member in sets if member.role != "shift")
    return replace(sets, probed=sets.sampled(limit, seed)) if large else sets


def _shifted(test: Dataset, shifts: Sequence[str] | str, seed: int) -> Iterator[Member]:
    names = registry.names("shifts") if shifts == "standard" else [shifts] if isinstance(shifts, str) else list(shifts)
    if names and getattr(test.read(slice(0, 1))[0], "ndim", 0) != 3:
        raise UserError("Expected pictures to shift, but the ID data are none. Leave `shifts` out.")
    some = sample(test, SHIFTED, seed)
    for name in names:
        shift = registry.create("shifts", name)
        for severity in (one for one in shift.severities if one in SEVERITIES):
            data = in_memory(shifted(some, shift, severity, seed))
            yield Member(f"{name} {severity}", "shift", data, shift=name, severity=severity)


def _detectors(wanted: Sequence[str | Detector] | str) -> list[Detector]:
    sets = {"usual": registry.usual, "all": registry.own}
    named = [wanted] if isinstance(wanted, str) else wanted
    names = sets[wanted]("detectors") if isinstance(wanted, str) and wanted in sets else named
    found = [registry.create("detectors", one) if isinstance(one, str) else one for one in names]
    titles = [registry.name_of("detectors", one) for one in found]
    if twice := sorted({title for title in titles if titles.count(title) > 1}):
        raise UserError(f"Expected each detector once, but got {', '.join(twice)} several times. Make a card for each.")
    return found


def _applicable(model: Model, detectors: Sequence[Detector]) -> tuple[list[Detector], dict[str, str]]:
    """The detectors that the model serves, and why the others are left out."""
    left_out, chosen = {}, []
    for detector in detectors:
        if lacks := lacking(model, asks(detector)):
            words = " and no ".join(word.removeprefix("a ") for word in lacks)
            left_out[registry.name_of("detectors", detector)] = f"the model has no {words}"
        else:
            chosen.append(detector)
    if not chosen:
        raise UserError(f"Expected a detector that applies to {model}, but none of those asked for does. Ask for more.")
    return chosen, left_out


@dataclass(frozen=True)
class _Done:
    """The jobs of a card, why some could not be done, and what they warned of."""

    jobs: tuple[Job, ...]
    failed: dict[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Bench:
    """One model, its sets, and what decides its rows."""

    model: Model
    sets: Sets
    cache: Cache
    id_name: str
    batch: int
    limit: int
    seed: int
    held_out: bool = False

    @property
    def unseen(self) -> bool:
        """Whether labelled ID items are held out from which accuracy under shift can be estimated."""
        sizes = [len(self.sets.val), *map(len, self.sets.shifts)]
        return self.held_out and bool(self.sets.shifts) and "logits" in self.model.offers and min(sizes) >= LEAST

    @cached_property
    def digest(self) -> str:
        return self.model.digest()

    @property
    def settings(self) -> Settings:
        return Settings(batch=self.batch, device=str(getattr(self.model, "device", "cpu")))

    def done(self, detectors: Sequence[Detector], folder: Path, tell: Tell) -> _Done:
        """Every job's files in a folder: from the cache, or done now. Detectors that cannot be fitted are told."""
        limit = self.limit if self.sets.probed else None
        task = registry.name_of("tasks", self.sets.task)
        basis = Basis.of("card", self.id_name, self.sets, task=task, limit=limit, seed=self.seed)
        estimators = tuple(registry.create("estimators", name) for name in ESTIMATORS if self.unseen)
        jobs = tuple(jobs_of({"model": self.digest}, self.model.name, detectors, basis, estimators=estimators))
        shelf = Shelf(self.cache, folder, self.model.name)
        taken = {job: warned for job in jobs if (warned := shelf.take(job)) is not None}
        failed: dict[str, str] = {}
        heard: dict[str, list[str]] = {}
        for number, found in enumerate(self._measured([job for job in jobs if job not in taken], tell), 1 + len(taken)):
            if found.failure and found.job.detector is None:
                raise UserError(found.failure)
            if found.failure:
                failed[found.job.title] = found.failure
            else:
                keep(found, folder, self.model.name)
                shelf.keep(found.job, found.warnings)
            for text in found.warnings:
                heard.setdefault(text, []).append(found.job.title)
            tell("scoring", number, len(jobs))
        told = {job.title: warned for job, warned in taken.items()}
        return _Done(jobs, failed, tuple(_warnings(heard, told)))

    def _measured(self, jobs: Sequence[Job], tell: Tell) -> Iterator[Measured]:
        if not jobs:
            return iter(())
        name = self.model.name
        return measure(
            self.model,
            self.sets,
            self.sets.task,
            jobs,
            self.cache,
            subject=Subject("card", name, name, "baseline", 0, self.id_name, registry.name_of("tasks", self.sets.task)),
            settings=self.settings,
            digest=self.digest,
            progress=lambda done, total: tell("extraction", done, total),
        )

    def judged(self, scores: pl.DataFrame, *, probing: bool) -> list[Judged]:
        """The sets with the scores of the chosen detector, and what the model said to each input."""
        sets = (probing and self.sets.probed) or self.sets
        return [
            Judged(
                member.name,
                member.role == "ood",
                scores.filter(pl.col("set") == member.name)["score"].to_numpy().astype(np.float64),
                member.numbers,
                member.data,
                self._logits(member),
            )
            for member in (*sets.ood, sets.test)
        ]

    def _logits(self, member: Member) -> np.ndarray[Any, Any] | None:
        """From the cache, where the jobs have left them; None of a model without."""
        settings = self.settings
        found = extract(
            self.model, member.data, self.cache, about=f"the {member.label}", device=settings.device,
            batch=settings.batch, digest=self.digest,
        )  # fmt: skip
        return np.asarray(found.arrays["logits"]) if "logits" in found.arrays else None


def _warnings(heard: Mapping[str, Sequence[str]], told: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Each warning once, before it the detectors that it is of: of those done now, and of those done before."""
    texts = dict.fromkeys([*(text for some in told.values() for text in some), *heard])
    for text in texts:
        titles = sorted({*heard.get(text, ()), *(title for title, some in told.items() if text in some)})
        yield f"{', '.join(titles)}: {text}"


def _told(model: Model, judged: Sequence[Judged]) -> Iterator[str]:
    """What the model says of itself, and that what it gives are no logits."""
    yield from getattr(model, "notes", ())
    said = [one.logits for one in judged if one.logits is not None]
    logits = np.concatenate(said) if said else np.empty((0, 0))
    if logits.shape[1] > 1 and (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-4):
        yield (
            "The model's outputs are probabilities: in each row they sum to 1. They are taken as logits, so that "
            "calibration and detectors that read logits judge another model. Leave its last softmax out."
        )


def _notes(sets: Sets, limit: int) -> Iterator[str]:
    if sets.probed is not None:
        yield (
            f"Detectors that query the model beyond its forward pass, and the choice between detectors, use at most "
            f"{limit:,} inputs of each set."
        )
    for member in sets:
        if texts := left_out_of(member.data):
            yield f"Left out of the {member.label}: {'; '.join(texts)}."
