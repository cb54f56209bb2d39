from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option


def quickstart(
    out: Annotated[Path, Option(help="Folder for results.")] = Path("results/digits"),
    trajectories: Annotated[
        bool, Option(help="Also follow training runs over checkpoints (study 2), into OUT_trajectory.")
    ] = True,
) -> None:
    """Both studies in miniature on real data: strategies x detectors x OOD sets, and training runs over checkpoints."""
    from time import perf_counter

    from outfield.cli._console import console as terminal
    from outfield.cli._study import run_with_progress
    from outfield.cli._track import track_with_progress
    from outfield.features.cache import Cache
    from outfield.reports import page
    from outfield.reports.headline import sentences
    from outfield.studies.sets import load as load_sets
    from outfield.studies.spec import Spec, shipped
    from outfield.trajectory.track import load

    console = terminal()
    start = perf_counter()
    spec = Spec.load(shipped("digits"))
    console.print(f"{spec.title}.", style="bold")
    sets = load_sets(spec)
    outcome = run_with_progress(spec, out, sets, console, Cache(out / "cache"))
    tracked = out.with_name(f"{out.name}_trajectory") if trajectories else None
    if tracked is not None:
        runs = load(shipped("digits_trajectory"))
        console.print(runs.title, style="bold")
        track_with_progress(runs, tracked, console)
    with console.status("analysis and report"):
        answer = sentences(out)
        path = page.write(out, out / "report.html", command="outfield quickstart", tracked=tracked)
    console.print()
    for number, sentence in enumerate(answer, 1):
        console.print(f"{number}. {sentence}")
    for note in spec.notes:
        console.print(note, style="dim")
    if outcome.failures:
        console.print(
            f"{len(outcome.failures)} parts could not be measured, and are not in these figures:", style="yellow"
        )
        console.print("\n".join(f"  {failure}" for failure in outcome.failures))
    console.print(f"\nReport: {path.resolve()}  ({perf_counter() - start:.0f} s)", soft_wrap=True)
