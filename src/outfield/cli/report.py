from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from outfield.cli._plain import say


def report(
    study: Annotated[str, Argument(help="A study's name or its results folder.")],
    *,
    out: Annotated[Path | None, Option("--out", "-o", help="The file; by default report.html in the folder.")] = None,
    model: Annotated[str | None, Option(help="The behaviour card of this model instead (.html, .json).")] = None,
    against: Annotated[str | None, Option(help="Another study: paired differences, this one as the second.")] = None,
    versus: Annotated[str | None, Option(help="With --model: another model to compare it with.")] = None,
    tracked: Annotated[
        str | None, Option("--with", metavar="STUDY", help="Add the displays of a study of tracked runs.")
    ] = None,
    hf: Annotated[Path | None, Option(help="With --model: a README.md that takes in the card.")] = None,
) -> None:
    """Write a study's report, one model's card, or a comparison: one HTML file that works offline."""
    from outfield.cli._study import study_folder
    from outfield.errors import UserError

    folder = study_folder(study)
    if against is not None or versus is not None:
        return _compare(folder, study_folder(against) if against else None, (model, versus), out)
    if model is not None:
        from outfield.cli._card import write_card

        return write_card(folder, model, out, hf)
    if hf is not None:
        raise UserError("Expected --model NAME with --hf, for a model card is of one model. Add it.")
    from outfield.reports import page

    more = None if tracked is None else study_folder(tracked)
    made = f"outfield run {folder.name}.yaml  # the study file below"
    command = f"{made}\noutfield report {folder}" + (f" --with {more}" if more else "")
    say(f"Report: {page.write(folder, out or folder / 'report.html', command=command, tracked=more)}")
    return None


def _compare(folder: Path, other: Path | None, models: tuple[str | None, str | None], out: Path | None) -> None:
    """The study (or model) against another one, which is the first of each pair."""
    from outfield.reports import comparison_page
    from outfield.reports.comparison import compare

    model, versus = models
    found = compare(other or folder, folder, model=versus or model, versus=model or versus)
    options = {"--against": other, "--model": model, "--versus": versus}
    command = " ".join(["outfield report", str(folder), *(f"{k} '{v}'" for k, v in options.items() if v)])
    for sentence in found.sentences:
        say(sentence)
    say(f"Comparison: {comparison_page.write(found, out or folder / 'comparison.html', command=command)}")
