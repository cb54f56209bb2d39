"""Two studies or two models as one HTML file that holds everything and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from outfield.reports.comparison import Comparison
from outfield.reports.displays import comparison as displays
from outfield.reports.displays.base import Display
from outfield.reports.html import environment, legends, render_sections, tally, vega
from outfield.reports.page import provenance
from outfield.store.write import write_text

SECTIONS: dict[str, tuple[Callable[[Comparison], Display], ...]] = {
    "What changed": (displays.overview,),
    "Better and worse": (displays.by_detector, displays.by_set, displays.where, displays.cells),
    "Only in one": (displays.only_in_one,),
}
"""The page's sections and the displays of each."""


def write(found: Comparison, path: Path | str, *, command: str = "") -> Path:
    """Write a comparison as one self-contained HTML file.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    return write_text(html(found, command=command), path)


def html(found: Comparison, *, command: str = "") -> str:
    """The page as text."""
    template = environment().get_template("comparison.html")
    return template.render(
        title=f"{found.names[1]} against {found.names[0]}",
        facts=_facts(found),
        answer=found.sentences,
        cautions=cautions(found),
        unit=found.level,
        sections=render_sections(SECTIONS, found),
        legends=legends(found.sides[0]),
        names=found.names,
        provenance=_both(found),
        command=command,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        vega=vega(),
    )


def cautions(found: Comparison) -> tuple[str, ...]:
    """What a reader must know: other data, other versions, few units.

    Examples
    --------
    >>> import polars as pl
    >>> from outfield.reports.comparison import compare
    >>> rows = pl.DataFrame({"model": ["a", "b"], "metric": ["ece"] * 2, "value": [0.25, 0.5]})
    >>> cautions(compare(rows, rows))
    ('Only 2 strategies are in both: bootstrap intervals over so few units are too short.',)
    """
    rows = [side.rows for side in found.sides]
    digests = [set(table["data_digest"].drop_nulls().unique()) for table in rows]
    versions = [{name: sorted(set(table[name].drop_nulls())) for name in ("outfield", "torch")} for table in rows]
    notes = list(found.notes)
    if all(digests) and not digests[0] & digests[1]:
        notes.append("The two were measured on different ID test sets: differences are not of the same inputs.")
    for name in ("outfield", "torch"):
        first, second = (each[name] for each in versions)
        if first and second and first != second:
            notes.append(f"They were made with different versions of {name}: {first[0]} and {second[0]}.")
    if 0 < (units := found.strategies) < 5:
        notes.append(f"Only {units} strategies are in both: bootstrap intervals over so few units are too short.")
    return tuple(notes)


def _facts(found: Comparison) -> list[tuple[str, str]]:
    aurocs = found.of("auroc", "ood")
    counts = {
        "pairs of values": found.pairs.height,
        "strategies in both": found.strategies,
        "detectors in both": aurocs["detector"].n_unique(),
        "OOD sets in both": aurocs["ood"].n_unique(),
        "only in one": found.only.height,
    }
    return tally(counts)


def _both(found: Comparison) -> list[tuple[str, str, str]]:
    first, second = (dict(provenance(side)) for side in found.sides)
    return [(name, first.get(name, ""), second.get(name, "")) for name in {**first, **second}]
