from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def run(
    study: Annotated[Path, Argument(help="The study's YAML file.")],
    out: Annotated[Path | None, Option(help="Folder for results; by default results/NAME.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show jobs, passes and bytes, and do nothing.")] = False,
    processes: Annotated[int | None, Option(min=1, help="Instead of the study's own number.")] = None,
) -> None:
    """Run a study: models x detectors x data sets. Run it again and it resumes."""
    from rich.console import Console

    from outfield.cli._study import RESULTS, print_plan, run_with_progress
    from outfield.store import write
    from outfield.studies.plan import plan
    from outfield.studies.sets import load
    from outfield.studies.spec import Spec

    console = Console()
    spec = Spec.load(study)
    if processes:
        spec = spec.model_copy(update={"resources": spec.resources.model_copy(update={"processes": processes})})
    folder = out or RESULTS / spec.name
    sets = load(spec)
    if dry_run:
        print_plan(plan(spec, sets), sets, frozenset(write.done(folder)), console)
        return
    run_with_progress(spec, folder, sets, console).check()
    console.print(f"Next: outfield report {folder}")
