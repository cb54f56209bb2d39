from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo


def report(
    study: Annotated[str, Argument(help="A study's name or its results folder.")],
    out: Annotated[Path | None, Option("--out", "-o", help="The file; by default report.html in the folder.")] = None,
) -> None:
    """Write a study's report: one HTML file that works offline."""
    from outfield.cli._study import study_folder
    from outfield.reports import page

    folder = study_folder(study)
    echo(f"Report: {page.write(folder, out or folder / 'report.html')}")
