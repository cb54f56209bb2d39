"""What the commands that follow training runs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn

from outfield.cli._console import Words
from outfield.trajectory.runs import TrackOutcome
from outfield.trajectory.track import track


def track_with_progress(spec: Any, folder: Path, console: Console) -> TrackOutcome:
    """Follow the runs of a study with a bar each, then say what was measured."""
    columns = (Words("{task.description}"), BarColumn(), MofNCompleteColumn(), Words("checkpoints"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as shown:
        bars: dict[str, TaskID] = {}

        def progress(run: str, done: int, total: int) -> None:
            if run not in bars:
                bars[run] = shown.add_task(run, total=total)
            shown.update(bars[run], completed=done, total=total)

        outcome = track(spec, folder, progress=progress)
    console.print(f"{outcome.measured:,} checkpoints measured, {outcome.present:,} were there already.")
    return outcome
