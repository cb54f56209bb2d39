"""Progress on the terminal: a bar for each stage, over all models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from outfield.cli._console import Words, console
from outfield.studies.executors.base import Event, Notify

STAGES = ("training", "extraction", "scoring")


@contextmanager
def bars(models: int) -> Iterator[Notify]:
    """A callback for events that moves the bars; what a bar counts is models, in parts."""
    columns = (Words("{task.description:<11}"), BarColumn(), MofNCompleteColumn(), Words("models"))
    with Progress(*columns, TimeElapsedColumn(), Words("{task.fields[now]}", "dim"), console=console()) as shown:
        stages = {stage: shown.add_task(stage, total=models, now="") for stage in STAGES}
        shares: dict[tuple[str, str], float] = {}

        def notify(event: Event) -> None:
            shares[event.stage, event.task] = event.done / max(event.total, 1)
            done = sum(share for (stage, _), share in shares.items() if stage == event.stage)
            shown.update(stages[event.stage], completed=int(done + 1e-9), now=event.task)

        yield notify
