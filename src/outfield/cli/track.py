from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def track(
    study: Annotated[Path, Argument(help="The study's YAML file.")],
    data: Annotated[Path | None, Option(help="Data root: where relative paths of the study start.")] = None,
    out: Annotated[Path | None, Option(help="Folder for results; by default results/NAME.")] = None,
) -> None:
    """Follow training runs: every test set at every checkpoint, then what the sets have in common."""
    from time import perf_counter

    from outfield.cli._console import console as terminal
    from outfield.cli._track import track_with_progress
    from outfield.reports import trajectory_page as page
    from outfield.trajectory.track import load

    first = os.environ.get("RANK", "0") == "0"
    console, start = terminal(quiet=not first), perf_counter()
    spec = load(study, data)
    folder = out or Path("results") / spec.name
    outcome = track_with_progress(spec, folder, console)
    if not first:
        return
    for note in outcome.notes:
        console.print(note, style="yellow")
    with console.status("analysis and report"):
        command = f"outfield track {study}" + (f" --data {data}" if data else "")
        path = page.write(folder, folder / "report.html", command=command)
    console.print(f"Report: {path.resolve()}  ({perf_counter() - start:.0f} s)", soft_wrap=True)
