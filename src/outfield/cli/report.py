from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo


def report(
    study: Annotated[str, Argument(help="A study's name or its results folder.")],
    out: Annotated[Path | None, Option("--out", "-o", help="The file; by default report.html in the folder.")] = None,
    model: Annotated[str | None, Option(help="The behaviour card of this model instead (.html, .json).")] = None,
    hf: Annotated[Path | None, Option(help="With --model: a README.md that takes in the card.")] = None,
) -> None:
    """Write a study's report, or one model's card: one HTML file that works offline."""
    from outfield.cli._study import study_folder
    from outfield.errors import UserError

    folder = study_folder(study)
    if model is not None:
        from outfield.cli._card import write_card

        return write_card(folder, model, out, hf)
    if hf is not None:
        raise UserError("Expected --model NAME with --hf, for a model card is of one model. Add it.")
    from outfield.reports import page

    echo(f"Report: {page.write(folder, out or folder / 'report.html')}")
    return None
