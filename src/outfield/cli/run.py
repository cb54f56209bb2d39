from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def run(
    study: Annotated[Path, Argument(help="The study's YAML file.")],
    out: Annotated[
        Path | None, Option(help="Folder or address (s3://BUCKET/STUDY) for results; by default results/NAME.")
    ] = None,
    *,
    data: Annotated[Path | None, Option(help="Data root: where relative paths of the study start.")] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show jobs, passes, bytes and what is missing, and do nothing.")
    ] = False,
    processes: Annotated[int | None, Option(min=1, help="Instead of the study's own number.")] = None,
    executor: Annotated[str | None, Option(help="Instead of the study's own: local, or ray for many machines.")] = None,
    address: Annotated[str | None, Option(help="Of a Ray cluster: auto, ray://HEAD:10001 or HEAD:6379.")] = None,
) -> None:
    """Run a study: models x detectors x data sets. Run it again and it resumes."""
    from outfield.cli._console import console as terminal
    from outfield.studies.completion_record import Seen
    from outfield.studies.run import name_of

    console, seen = terminal(), Seen.of(study, data)
    if not dry_run and (already := seen.finished(out or Path("results") / name_of(study))):
        console.print(f"{already.summary}\nNext: outfield report {already.folder}", soft_wrap=True)
        return
    from outfield.cli._study import RESULTS, granted, outline, run_with_progress
    from outfield.features.cache import Cache, default_folder
    from outfield.places import place
    from outfield.studies.sets import load
    from outfield.studies.spec import Spec

    spec, chosen = granted(Spec.load(study, data), processes=processes, executor=executor, address=address)
    folder = place(out or RESULTS / spec.name)
    if dry_run:
        outline(spec, folder, console)
        return
    seen = seen.watching(spec)
    run_with_progress(spec, folder, load(spec, Cache(default_folder())), console, seen=seen, executor=chosen).check()
    console.print(f"Next: outfield report {folder}")
