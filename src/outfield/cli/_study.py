"""What the commands that run a study share."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.studies.plan import Plan, outlook
from outfield.studies.run import Outcome, run
from outfield.studies.sets import Sets
from outfield.studies.spec import Spec

RESULTS = Path("results")


def print_plan(plan: Plan, sets: Sets, done: frozenset[str], console: Console) -> None:
    """What a run would do."""
    from rich.table import Table

    table = Table("role", "set", "category", "rows", "digest", title=f"Study {plan.spec.name}")
    for member in sets:
        if member.role != "shift":
            row = (member.role, member.name, member.category or "", f"{len(member.data):,}", member.data.digest()[:8])
            table.add_row(*row)
    console.print(table)
    ahead = outlook(plan.remaining(done), sets)
    shifts = len({member.shift for member in sets.shifts})
    console.print(
        f"{len(plan.tasks)} models, {len(plan.spec.detectors)} detectors, {len(sets.ood)} OOD sets, {shifts} shifts "
        f"({len(sets.shifts)} sets): {len(plan.keys):,} jobs, {len(done & plan.keys):,} of them done.\n"
        f"Ahead: {ahead.models} models, {ahead.jobs:,} jobs, {ahead.inputs:,} inputs, {ahead.passes:,} passes of one "
        f"input, about {ahead.bytes / 2**20:,.0f} MiB of cached logits and features (at 128 numbers an input)."
    )


def run_with_progress(spec: Spec, folder: Path, sets: Sets, console: Console, cache: Cache | None = None) -> Outcome:
    """Run a study with bars, then say what was done."""
    from outfield.cli._progress import bars

    if spec.resources.processes > (cores := os.cpu_count() or 1):
        console.print(f"[yellow]{spec.resources.processes} processes on {cores} cores: they will wait for each other.")
    models = sum(1 if hasattr(model, "weights") else len(model.seeds) for model in spec.models)
    with bars(models) as notify:
        outcome = run(spec, folder, sets=sets, cache=cache, notify=notify)
    console.print(
        f"{outcome.jobs:,} jobs done, {outcome.skipped:,} were there already; "
        f"{outcome.forwards:,} inputs went through a model. Results: {folder}"
    )
    for model, names in outcome.left_out.items():
        console.print(f"{model}: no linear head, so {', '.join(names)} need one and are left out.")
    return outcome


def study_folder(study: str) -> Path:
    """The results folder that a study's name or path stands for."""
    for folder in (Path(study), RESULTS / study):
        if (folder / "rows").is_dir():
            return folder
    raise UserError(
        f"Expected the folder of a study that has run, but neither {study} nor {RESULTS / study} holds rows. "
        "Run `outfield run study.yaml` first."
    )
