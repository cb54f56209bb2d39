from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option


def quickstart(
    out: Annotated[Path, Option(help="Folder for results.")] = Path("results/digits"),
) -> None:
    """Study 1 in miniature on real data: strategies x detectors x OOD sets."""
    from time import perf_counter

    from rich.console import Console

    from outfield.cli._study import run_with_progress
    from outfield.features.cache import Cache
    from outfield.reports import page
    from outfield.reports.answer import sentences
    from outfield.studies.sets import load
    from outfield.studies.spec import Spec, shipped

    console = Console()
    start = perf_counter()
    spec = Spec.load(shipped("digits"))
    console.print(f"[bold]{spec.title}.[/bold]")
    sets = load(spec)
    outcome = run_with_progress(spec, out, sets, console, Cache(out / "cache"))
    with console.status("analysis and report"):
        answer = sentences(out)
        path = page.write(out, out / "report.html", command="outfield quickstart")
    console.print()
    for number, sentence in enumerate(answer, 1):
        console.print(f"{number}. {sentence}")
    if outcome.failures:
        console.print(f"[yellow]{len(outcome.failures)} parts could not be measured, and are not in these figures:")
        console.print("\n".join(f"  {failure}" for failure in outcome.failures), markup=False)
    console.print(f"\nReport: {path.resolve()}  ({perf_counter() - start:.0f} s)", soft_wrap=True)
