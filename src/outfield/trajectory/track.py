"""Following the training runs of a study: accuracies and AUROCs of detectors at every checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from outfield import keys, registry, strict_yaml
from outfield.data.member import Member
from outfield.errors import UserError
from outfield.places import file_name
from outfield.studies.bench import Settings
from outfield.studies.executors.base import Executor
from outfield.studies.job import Job
from outfield.studies.recipes import TrainedRecipe, recipes
from outfield.studies.sets import Sets, ordered_like
from outfield.studies.sets import load as load_sets
from outfield.trajectory.nli.runs import Data, fine_tuning
from outfield.trajectory.nli.spec import Nli
from outfield.trajectory.runs import Progress, TrackOutcome, TrainingRun, follow
from outfield.trajectory.spec import Trajectory
from outfield.trajectory.tracker import Run, Tracker

KINDS = ("vision", "task", "nli")


def load(path: Path | str, data: Path | str | None = None) -> Trajectory | Nli:
    """The study of a YAML file, by its field ``kind``, or its ``task``; ``data`` goes before the data root it names.

    Raises
    ------
    Problems
        Everything that is wrong with the file.
    UserError
        No such file; a kind that there is not.

    Examples
    --------
    >>> from outfield.studies.spec import shipped
    >>> load(shipped("digits_trajectory")).kind
    'vision'
    """
    path = Path(path)
    content = strict_yaml.read(path)
    content = content if isinstance(content, dict) else {}
    kind = content.get("kind", "task" if "task" in content else None)
    if kind not in KINDS:
        raise UserError(f"Expected kind: vision or nli, or a task, in {path}, but got {kind!r}. Say which study it is.")
    return Nli.load(path, data) if kind == "nli" else Trajectory.load(path, data)


def track(
    spec: Trajectory | Nli,
    folder: Path | str | None = None,
    *,
    progress: Progress = lambda *_: None,
    sets: Sets | None = None,
    executor: Executor | None = None,
) -> TrackOutcome:
    """Train the runs of a study and measure each at its checkpoints; again, and it goes on where it was.

    Parameters
    ----------
    spec : Trajectory or Nli
    folder : path, optional
        By default ``results/NAME``.
    progress : callable, optional
        Told the run, the checkpoints measured, and how many there are.
    sets : Sets, optional
        The data of a ``Trajectory``, where it is loaded already.
    executor : Executor, optional
        By default processes on this machine, as many as the study's ``resources`` say.

    Raises
    ------
    Problems
        Data that cannot be used.
    MissingExtra
        A language model needs transformers or peft, which is not installed.
    UserError
        The folder cannot be written; a run that failed; a set of the same labels has other classes; models or answers
        that cannot be used.
    """
    folder = Path(folder or Path("results") / spec.name)
    notes: tuple[str, ...] = ()
    if isinstance(spec, Nli):
        data = Data.of(spec)
        runs, notes, device = fine_tuning(spec, data, folder), tuple(data.findings()), spec.device
    else:
        runs, device = [*_training(spec, folder, sets or load_sets(spec))], "cpu"
    return follow(
        runs, folder, spec.model_dump_json(indent=2), progress, processes=spec.resources.processes,
        threads=spec.resources.threads, device=device, executor=executor, notes=notes,
    )  # fmt: skip


def _training(spec: Trajectory, folder: Path, sets: Sets) -> Iterator[TrainingRun]:
    """A run for each strategy and seed, on any task."""
    sets = replace(sets, shifts=(*sets.shifts, *_same_labels(spec, sets)))
    settings = Settings(batch=spec.batch, half=spec.half, against="val", halves=True)
    estimators = tuple(one.build("estimators") for one in spec.estimators)
    own = Job("model", None, estimators=estimators)
    jobs = (own, *(Job(one.name, one.build("detectors")) for one in spec.detectors))
    for recipe in recipes(spec, sets):
        assert isinstance(recipe, TrainedRecipe)  # the study has no others
        tracker = Tracker(_run(spec, sets, recipe), (sets.test, *sets.shifts, *sets.ood), folder)
        steps = spec.checkpoints.steps(recipe.training.total_steps(len(sets.train.data), recipe.epochs))
        place = folder / "checkpoints" / f"{file_name(recipe.name)}.{tracker.run.key}.ckpt"
        yield TrainingRun(recipe, sets, sets, tracker, steps, jobs, settings, place)


def _run(spec: Trajectory, sets: Sets, recipe: TrainedRecipe) -> Run:
    detectors = [[one.name, one.params] for one in spec.detectors]
    code = keys.of_code(TrainingRun, *(registry.find("detectors", one.name) for one in spec.detectors))
    asked = {"estimators": [[one.name, one.params] for one in spec.estimators]} if spec.estimators else {}
    held = keys.key(val=sets.val.data.digest(), detectors=detectors, recipe=recipe.key, code=code, **asked)
    return Run(spec.name, recipe.strategy, recipe.seed, spec.id_name, recipe.family, held, spec.task_name)


def _same_labels(spec: Trajectory, sets: Sets) -> Iterator[Member]:
    for one in spec.same_labels:
        data = ordered_like(one.source.build("sources").load(), sets.train.data.classes)
        if data.labels is None or int(data.labels.max()) >= sets.classes:
            raise UserError(
                f"Expected the {sets.classes} ID classes as labels of {one.name!r}, but got "
                f"{'none' if data.labels is None else sorted(set(data.labels.tolist()))}. Choose the ID classes of it."
            )
        yield Member(one.name, "shift", data)
