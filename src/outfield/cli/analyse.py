from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    from rich.console import Console

    from outfield.reports.analysis import Analysis
    from outfield.reports.displays.base import Display


WIDEST = 28
"""Letters of a cell beyond which it is broken over lines."""


def analyse(
    table: Annotated[
        Path | None, Argument(help="A study's folder or rows, a peer's results, or any CSV, JSON or Parquet.")
    ] = None,
    more: Annotated[list[str] | None, Argument(metavar="[OOD]...", help="Further columns after --ood.")] = None,
    *,
    example: Annotated[str | None, Option(help="A table that ships; outfield list tables shows them.")] = None,
    profile: Annotated[
        str | None, Option(help="How a known table is read: a name (outfield list tables), or a YAML file of yours.")
    ] = None,
    model: Annotated[str | None, Option(help="Column of model names, or several as name+data; else guessed.")] = None,
    strategy: Annotated[str | None, Option(help="Column of strategies, whose seeds are averaged.")] = None,
    family: Annotated[str | None, Option(help="Column of families (categories) of models.")] = None,
    id: Annotated[str | None, Option(help="Column of the ID measure, or a pattern as '*-val'; else guessed.")] = None,
    ood: Annotated[
        list[str] | None, Option(help="Column of an OOD measure, or a pattern as 'imagenet-*'; several may follow.")
    ] = None,
    error: Annotated[str | None, Option(help="Columns of standard errors as '{}_stderr', or a file of them.")] = None,
    runs: Annotated[int | None, Option(min=1, help="Runs that a cell averages: spreads are then their sds.")] = None,
    unit: Annotated[
        str | None,
        Option(help="What rows are kin to: a column, a pattern on names, '(?P<unit>.+)_seed', or row: none."),
    ] = None,
    step: Annotated[str | None, Option(help="Column that counts along runs, where rows are checkpoints.")] = None,
    ece: Annotated[str | None, Option(help="Column of the calibration error.")] = None,
    higher: Annotated[list[str] | None, Option(help="OOD measure of which higher is better, if unclear.")] = None,
    lower: Annotated[list[str] | None, Option(help="OOD measure of which lower is better, as an FPR.")] = None,
    baseline: Annotated[str | None, Option(help="Name of the baseline model: the break given in advance.")] = None,
    study: Annotated[str | None, Option(help="Value of the column study to keep.")] = None,
    rerun: Annotated[str | None, Option(help="Pattern of what a rerun's name has beyond that of its original.")] = None,
    ask: Annotated[
        list[str] | None,
        Option(help="One analysis of a study: its name, or 'detector_cost: {rate: 0.01, miss: 50}'; may stand again."),
    ] = None,
    html: Annotated[Path | None, Option(help="Write a self-contained HTML report with the figures.")] = None,
) -> None:
    """Statistics on our rows or on anyone's table: findings first, then the tables."""
    from outfield.cli._console import console as terminal
    from outfield.reports import analysis_page
    from outfield.reports.analysis import analyse as run

    options = {
        "model": model, "strategy": strategy, "family": family, "id": id, "ood": [*(ood or []), *(more or [])],
        "ece": ece, "baseline": baseline, "study": study, "higher": higher, "lower": lower, "error": error,
        "runs": runs, "unit": unit, "step": step, "rerun": rerun,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value}
    found = run(table, example=example, profile=profile, **given)
    console = terminal()
    if ask:
        _tables({"Analyses": _asked(found, ask)}, console)
    else:
        _findings(found, console)
        _tables(analysis_page.displays(found), console)
        _answer(analysis_page.answer(found), console)
        _tables(_short(analysis_page.along(found)), console)
    if html is not None:
        title = example or (table.name if table else "")
        console.print(f"Report: {analysis_page.write(found, html, title=title)}")


def _asked(analysis: Analysis, asked: list[str]) -> list[Display]:
    """The analyses that are asked for, with their parameters."""
    from outfield.errors import UserError
    from outfield.reports.displays import analyses

    if (results := analysis.results) is None:
        raise UserError("Expected a study's folder or rows to put an analysis to, but got another table. Pass a study.")
    questions = dict(map(_question, asked))
    results.questions.update(questions)
    return [analyses.display(name)(results) for name in questions]


def _question(text: str) -> tuple[str, dict[str, Any]]:
    """An analysis with its parameters, of a name alone or of ``name: {parameter: value}``.

    Examples
    --------
    >>> _question("detector_cost"), _question("detector_cost: {rate: 0.5}")
    (('detector_cost', {}), ('detector_cost', {'rate': 0.5}))
    """
    from outfield.errors import UserError
    from outfield.strict_yaml import parse
    from outfield.studies.spec import Plugin

    said = parse(text, "--ask")
    named = {said: {}} if isinstance(said, str) else said
    if not isinstance(named, dict) or len(named) != 1 or not isinstance(next(iter(named.values())), dict):
        raise UserError(f"Expected a name, or 'name: {{parameter: value}}' for --ask, but got {text!r}. Write one.")
    ((name, params),) = named.items()
    Plugin(name=name, **params).build("analyses")
    return name, params


def _findings(analysis: Analysis, console: Console) -> None:
    from rich.text import Text

    from outfield.cli._plain import plain
    from outfield.reports.analysis_page import level, stated

    colours = {"error": "bold red", "warning": "yellow", "info": "blue"}
    console.rule("Findings")
    found = stated(analysis)
    for each in found:
        console.print(
            Text.assemble((f"{each.code} {each.severity}", colours[each.severity]), f"  {plain(each.sentence)}")
        )
    console.print(level(analysis), markup=False, highlight=False)
    for note in analysis.measures.notes:
        if not any(note in each.sentence for each in found):
            console.print(plain(note), markup=False, highlight=False)
    console.print()


def _answer(sentences: tuple[str, ...], console: Console) -> None:
    from outfield.cli._plain import plain

    if sentences:
        console.rule("Along training")
        console.print(plain(" ".join(sentences)), markup=False)


ALONG = {
    "along-partial": (
        "model", "first", "second", "plain", "linear", "linear low", "linear high", "q", "p_sign", "positive",
    ),
    "along-windows": ("model", "first", "second", "whole", "least", "least from", "most", "most from", "sign"),
    "along-noise-floor": (
        "measure", "sd", "step to step", "binomial", "smallest difference", "runs below", "steps below",
    ),
    "along-reliability": ("set", "items", "reliability", "lowest run"),
}  # fmt: skip
"""What a terminal shows of runs along training, and the columns that it has room for."""


def _short(sections: dict[str, list[Display]]) -> dict[str, list[Display]]:
    from dataclasses import replace

    shown: dict[str, list[Display]] = {}
    for title, found in sections.items():
        for display in found:
            columns = {name: head for name, head in display.headings().items() if name in ALONG.get(display.code, ())}
            if columns:
                shown.setdefault(title, []).append(replace(display, columns=columns))
    return shown


def _tables(sections: dict[str, list[Display]], console: Console) -> None:
    from rich.table import Table

    from outfield.cli._plain import plain
    from outfield.reports.analysis_page import text_table

    for title, shown in sections.items():
        console.rule(title)
        for display in shown:
            if display.missing:
                console.print(f"{display.title}: {plain(display.missing)}", markup=False)
                continue
            rows = text_table(display.table.select(list(display.headings())))
            blocks = _blocks(list(display.headings().values()), rows, console.width)
            for block in blocks:
                first = display.title if block is blocks[0] else None
                table = Table(title=first, box=None, padding=(0, 1, 0, 0), title_justify="left")
                for heading, width in block.values():
                    table.add_column(heading, min_width=width, overflow="fold")
                for row in rows:
                    table.add_row(*[row[place] for place in block])
                console.print(table)
            if (hidden := display.table.height - len(rows)) > 0:
                console.print(f"... and {hidden} rows more: --html shows all.", style="dim")
            console.print(f"{display.caption}\n", style="dim italic")


def _blocks(headings: list[str], rows: list[list[str]], room: int) -> list[dict[int, tuple[str, int]]]:
    """Columns in blocks that fit a line, each led by the first one: place to heading and width.

    Examples
    --------
    >>> [list(block.values()) for block in _blocks(["set", "low", "high"], [["a", ".1", ".2"]], 9)]
    [[('set', 3), ('low', 3)], [('set', 3), ('high', 4)]]
    """
    widths = [_width(heading, [row[place] for row in rows]) for place, heading in enumerate(headings)]
    columns = list(enumerate(zip(headings, widths, strict=True)))
    blocks = [dict(columns[:1])]
    for place, column in columns[1:]:
        if len(blocks[-1]) > 1 and sum(width + 1 for _, width in (*blocks[-1].values(), column)) > room:
            blocks.append(dict(columns[:1]))
        blocks[-1][place] = column
    return blocks


def _width(heading: str, cells: list[str]) -> int:
    """What a column needs: its longest cell, or as much of it as a line gets, and the longest word of its heading."""
    return max(min(max(map(len, cells), default=0), WIDEST), *map(len, heading.split(" ")), 1)
