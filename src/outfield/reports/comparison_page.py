"""A comparison as one HTML file that holds everything and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from outfield.reports.comparison import Comparison, Flip, RowComparison
from outfield.reports.displays import comparison as displays
from outfield.reports.displays.base import Display
from outfield.reports.html import Rendering, environment, legends, render_sections, tally, vega
from outfield.reports.page import provenance
from outfield.store.write import write_text

SECTIONS: dict[str, tuple[Callable[[RowComparison], Display], ...]] = {
    "What changed": (displays.overview,),
    "Better and worse": (displays.by_detector, displays.by_set, displays.where, displays.cells),
    "Only in one": (displays.only_in_one,),
}
"""The page's sections and the displays of each, where both sides are rows of studies or cards."""
OF_SETS: dict[str, tuple[Callable[[Comparison], Display], ...]] = {
    "What changed": (displays.overview, displays.could_be_seen),
    "Every item that flipped": (displays.flipped,),
    "Only in one": (displays.only_in_one,),
}
"""The same where both are logs, or columns of a table."""
SHOWN = 12
"""Items of each direction that are shown with their text or picture."""


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
        sections=_sections(found),
        legends=legends(found.sides[0]) if isinstance(found, RowComparison) else {},
        flips=_shown(found),
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
    if not isinstance(found, RowComparison):
        return found.notes
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


def _sections(found: Comparison) -> dict[str, list[Rendering]]:
    if not isinstance(found, RowComparison):
        return render_sections(OF_SETS, found)
    seen = {"What could have been seen": (displays.could_be_seen,)} if "detectable" in found.overview.columns else {}
    more = render_sections(seen | ({"Every item that flipped": (displays.flipped,)} if found.flips else {}), found)
    return render_sections(SECTIONS, found) | more


def _shown(found: Comparison) -> dict[str, list[Flip]]:
    """Items to be looked at: those with a text or a picture, the same number of each direction at most."""
    first, second = found.names
    titles = {True: f"Better in {second} than in {first}", False: f"Worse in {second} than in {first}"}
    known = {(one.set, one.item): one for one in reversed(found.flips) if one.text or one.picture}
    groups = {flag: [one for one in reversed(known.values()) if one.better is flag][:SHOWN] for flag in titles}
    return {titles[flag]: shown for flag, shown in groups.items() if shown}


def _facts(found: Comparison) -> list[tuple[str, str]]:
    if not isinstance(found, RowComparison):
        single = found.overview.filter(~pl.col("set").str.starts_with("mean of "))
        counts = {"sets": single["set"].n_unique(), "measures": single["metric"].n_unique()}
        return tally(counts | {"items that flipped": len(found.flips), "only in one": found.only.height})
    aurocs = found.of("auroc", "ood")
    counts = {
        "pairs of values": found.pairs.height,
        "strategies in both": found.strategies,
        "detectors in both": aurocs["detector"].n_unique(),
        "OOD sets in both": aurocs["ood"].n_unique(),
        "inputs that flipped": len(found.flips),
        "only in one": found.only.height,
    }
    return tally(counts)


def _both(found: Comparison) -> list[tuple[str, str, str]]:
    if isinstance(found, RowComparison):
        first, second = (dict(provenance(side)) for side in found.sides)
    else:
        first, second = map(dict, found.stories)
    return [(name, first.get(name, ""), second.get(name, "")) for name in {**first, **second}]
