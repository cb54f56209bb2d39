"""What the commands that run a study share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from outfield.errors import UserError, listed
from outfield.features.cache import Cache
from outfield.places import is_there, place
from outfield.store import write
from outfield.store.write import ROWS
from outfield.studies.completion_record import Seen
from outfield.studies.executors.base import Executor
from outfield.studies.executors.base import of as executor_of
from outfield.studies.job import ModelJobs
from outfield.studies.plan import Plan, outlook, plan, whole
from outfield.studies.recipes import missing
from outfield.studies.run import Outcome, run
from outfield.studies.sets import Sets, survey
from outfield.studies.spec import Resources, Spec

RESULTS = Path("results")


def outline(spec: Spec, folder: Path, console: Console) -> None:
    """What a run would do, and what is missing for it; nothing is done."""
    found = survey(spec)
    print_missing((*found.missing, *missing(spec)), console)
    models, jobs = whole(spec)
    console.print(
        f"Study {spec.name}: {models} models, {len(spec.detectors)} detectors, {len(spec.ood)} OOD sets: {jobs:,} jobs."
    )
    if found.problems or found.ready:
        sets = found.sets()
        print_plan(plan(spec, sets), sets, folder, console)
    else:
        console.print("Nothing can run yet: it takes the ID data, an OOD set and, where the study tunes, a set for it.")


def print_missing(lines: Sequence[str], console: Console) -> None:
    """Sets and weights that are not there."""
    if lines:
        console.print(f"{len(lines)} missing, and left out:", style="yellow")
        console.print("\n".join(f"  {line}" for line in lines), soft_wrap=True)


def print_plan(planned: Plan, sets: Sets, folder: Path, console: Console) -> None:
    """The data of a study, what of it is ahead, and how long that will take."""
    from rich.table import Table

    table = Table("role", "set", "category", "rows", "digest", title=f"Study {planned.spec.name}")
    for member in (*sets, *sets.streams):
        if member.role != "shift" or member.scored:
            row = (member.role, member.name, member.category or "", f"{len(member.data):,}", member.data.digest()[:8])
            table.add_row(*row)
    console.print(table)
    done = planned.keys & write.done(folder)
    tasks = planned.remaining(done)
    ahead = outlook(tasks, sets)
    shifts = len({member.shift for member in sets.shifts})
    console.print(
        f"{len(planned.tasks)} models, {len(planned.spec.detectors)} detectors, {len(sets.ood)} OOD sets, "
        f"{shifts} shifts ({len(sets.shifts)} sets): {len(planned.keys):,} jobs, {len(done):,} of them done.\n"
        f"Ahead: {ahead.models} models, {ahead.jobs:,} jobs, {ahead.forwards:,} forward passes of one input through a "
        f"network, training aside and less what is cached; up to {ahead.backwards:,} backward passes. About "
        f"{ahead.bytes / 2**20:,.0f} MiB of cached logits and features (at 128 numbers an input)."
    )
    if tasks:
        _print_forecast(planned.spec, sets, tasks, folder, console)


def _print_forecast(spec: Spec, sets: Sets, tasks: tuple[ModelJobs, ...], folder: Path, console: Console) -> None:
    from outfield.studies.forecast import forecast

    with console.status("timing a small trial"):
        found = forecast(spec, sets, tasks, folder)
    console.print(f"Time: {found}, as a small trial on this machine tells. What is cached takes less.")
    if found.untold:
        console.print(f"Not in it, since the trial failed: {', '.join(found.untold)}.")


def run_with_progress(
    spec: Spec,
    folder: Path,
    sets: Sets,
    console: Console,
    cache: Cache | None = None,
    *,
    seen: Seen | None = None,
    executor: Executor | None = None,
) -> Outcome:
    """Run a study with bars, then say what was done."""
    from outfield.cli._progress import bars

    _warn_of_crowd(spec.resources, console)
    absent = (*sets.missing, *missing(spec))
    print_missing(absent, console)
    with bars(whole(spec)[0] - len(list(missing(spec)))) as notify:
        outcome = run(spec, folder, sets=sets, executor=executor, cache=cache, notify=notify, seen=seen)
    console.print(
        f"{outcome.jobs:,} jobs done, {outcome.skipped:,} were there already; "
        f"{outcome.forwards:,} forward passes of one input. Results: {folder}"
    )
    if absent:
        console.print(f"{len(absent)} sets or models were missing (above), and are not in the results.", style="yellow")
    for warning in outcome.warnings:
        console.print(warning, style="yellow")
    by_detectors: dict[tuple[str, ...], list[str]] = {}
    for model, names in outcome.left_out.items():
        by_detectors.setdefault(names, []).append(model)
    for names, models in by_detectors.items():
        have = "has" if len(models) == 1 else "have"
        console.print(f"{listed(models)} {have} not what they read, so they are left out: {', '.join(names)}.")
    return outcome


def granted(spec: Spec, *, processes: int | None, executor: str | None, address: str | None) -> tuple[Spec, Executor]:
    """A study with what the command line says in place of its own resources, and the executor that has them."""
    stated = {"processes": processes, "executor": executor}
    resources = spec.resources.model_copy(update={name: value for name, value in stated.items() if value})
    made = executor_of(resources, **({"address": address} if address else {}))
    return spec.model_copy(update={"resources": resources}), made


def _warn_of_crowd(resources: Resources, console: Console) -> None:
    threads, cores = resources.processes * resources.threads, os.cpu_count() or 1
    if resources.executor == "local" and threads > cores:
        console.print(
            f"{resources.processes} processes of {resources.threads} threads on {cores} cores: "
            "they will wait for each other.",
            style="yellow",
        )


def study_folder(study: str) -> Path:
    """The results folder that a study's name, path or address stands for."""
    for folder in (place(study), RESULTS / study):
        if is_there(folder / ROWS):
            return folder
    raise UserError(
        f"Expected the folder of a study that has run, but neither {study} nor {RESULTS / study} holds rows. "
        "Run `outfield run study.yaml` first."
    )
