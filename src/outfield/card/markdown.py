"""The card as Markdown: tables, sentences, and the pictures of the hardest inputs beside it."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from outfield import registry
from outfield.card.facts import Facts
from outfield.card.hardest import SIDE, Group
from outfield.store.performance import measures

PICTURES = "outfield"
"""Folder beside the README.md that the hardest inputs' pictures are written to."""
FIRST = 5
"""Detectors that are shown at once."""
WORST = 10
"""Classes that are shown."""


def section(card: Facts) -> str:
    """The Markdown of a card."""
    parts = [
        "## Behaviour outside the training distribution",
        "\n".join(f"{i}. {escaped(one)}" for i, one in enumerate(card.sentences, 1)),
        *(f"> **{one.code} {one.title}**: {escaped(one.sentence)}" for one in card.findings),
        *(f"> {escaped(note)}" for note in card.notes),
        f"### On {escaped(card.id_name)}",
        _table(["Measure", "Value [95% interval]"], _measures(card)),
        *_shifts(card),
        "### Which detector, and how well it sees each OOD set",
        "AUROC [95% interval over inputs], best mean over OOD sets (each counting once) first; OOD is the positive "
        "class.",
        *_detectors(card),
        "### Blind spots",
        escaped(card.sentences[-1]),
        *_blind(card),
        *_hardest(card),
        f"Measured with outfield {card.rows['outfield'][0] or ''} on {card.results.n_id:,} ID test inputs.".replace(
            "  ", " "
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _measures(card: Facts) -> list[list[str]]:
    rows = card.results.test.filter(pl.col("set_kind") == "id", pl.col("detector").is_null())
    kept = rows.filter(pl.col("metric").is_in(measures(card.rows)))
    return [[registry.find("metrics", row["metric"]).label, _cell(row)] for row in kept.iter_rows(named=True)]


def _shifts(card: Facts) -> list[str]:
    name, label = card.results.performance, card.results.performance_label
    rows = card.results.metric(name, "shift")
    if rows.is_empty():
        return []
    cells = {(row["shift"], row["severity"]): _cell(row) for row in rows.iter_rows(named=True)}
    shifts = list(dict.fromkeys(shift for shift, _ in cells))
    levels = sorted({level for _, level in cells if level is not None})
    if not levels:
        return ["### Under covariate shift", _table(["Shift", label], [[s, cells[s, None]] for s in shifts])]
    lines = [[shift.replace("_", " "), *(cells.get((shift, level), "") for level in levels)] for shift in shifts]
    return [f"### {label} under covariate shift", _table(["Shift", *(f"Severity {one}" for one in levels)], lines)]


def _detectors(card: Facts) -> Iterator[str]:
    rows = card.results.auroc
    cells = {(row["detector"], row["ood"]): _cell(row) for row in rows.iter_rows(named=True)}
    sets = card.ood_sets
    heads = ["Detector", "Mean over OOD sets", *(f"{ood} ({category})" for ood, category in sets.items())]
    lines = [
        [row["detector"], _cell(row | {"value": row["mean"]}), *(cells.get((row["detector"], ood), "") for ood in sets)]
        for row in card.choice.table.iter_rows(named=True)
    ]
    yield _table(heads, lines[:FIRST])
    if len(lines) > FIRST:
        yield f"<details>\n<summary>The other {len(lines) - FIRST} detectors</summary>"
        yield f"{_table(heads, lines[FIRST:])}\n\n</details>"


def _blind(card: Facts) -> Iterator[str]:
    if not card.blind_spots.is_empty():
        lines = [
            [row["set"], row["part"] or "", f"{row['accepted']:.0%}", row["seen_by"], f"{row['accepted_then']:.0%}"]
            for row in card.blind_spots.iter_rows(named=True)
        ]
        yield f"Share accepted as ID by {escaped(card.recommended)} at the threshold that keeps 95% of ID:"
        yield _table(["OOD set", "Part", "Accepted", "Best seen by", "Accepted then"], lines)
    worst = card.weak_classes.head(WORST)
    if not worst.is_empty():
        lines = [
            [row["set"], row["class"], str(row["n"]), _cell(row | {"value": row["accepted"]})]
            for row in worst.iter_rows(named=True)
        ]
        yield f"Classes of OOD sets that {escaped(card.recommended)} accepts most:"
        yield _table(["OOD set", "Class", "Inputs", "Share accepted [95% interval]"], lines)


def _hardest(card: Facts) -> Iterator[str]:
    if card.hardest:
        yield "### Hardest inputs"
    for place, group in pictures(card):
        yield f"**{escaped(group.title)}.** {escaped(group.note)}".strip()
        told = [f"{escaped(one.about)} (row {one.row})" for one in group.inputs]
        if place:
            yield f"![{escaped(group.title)}](<{place.as_posix()}>)"
            yield f"From left to right: {'; '.join(told)}."
        else:
            texts = [f"“{escaped(one.text)}” " if one.text else "" for one in group.inputs]
            yield "\n".join(f"- {text}{line}" for text, line in zip(texts, told, strict=True))


def pictures(card: Facts) -> Iterator[tuple[Path | None, Group]]:
    """The groups of hardest inputs, and where the pictures of each are, beside the README.md."""
    for i, group in enumerate(card.hardest, 1):
        name = re.sub(r"[^a-z0-9]+", "-", f"{i} {group.title.lower()}")[:80].strip("-")
        yield (Path(PICTURES) / f"{name}.png" if group.inputs[0].picture else None), group


def sheet(group: Group) -> Image.Image:
    """The pictures of a group side by side."""
    made = Image.new("RGB", (len(group.inputs) * (SIDE + 6) - 6, SIDE), "white")
    for i, one in enumerate(group.inputs):
        with Image.open(io.BytesIO(base64.b64decode(one.picture.partition(",")[2]))) as one_of:
            scale = SIDE / max(one_of.size)
            size = max(1, round(one_of.width * scale)), max(1, round(one_of.height * scale))
            made.paste(one_of.convert("RGB").resize(size, Image.Resampling.NEAREST), (i * (SIDE + 6), 0))
    return made


def _cell(row: Mapping[str, Any]) -> str:
    if row.get("low") is None or row.get("high") is None:
        return f"{row['value']:.3f}"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head, *rows = [" | ".join(map(escaped, row)) for row in (heads, *lines)]
    return "\n".join(f"| {row} |" for row in (head, " | ".join(["---"] * len(heads)), *rows))


SIGNS = re.compile(
    r"(\[[-\d.%]+, [-\d.%]+\](?![(\[:]))"  # an interval, which is no link and stays
    r"|[\\`*_|~$@#\[\]]"  # emphasis, code, cells, formulas, mentions, headings, links and pictures
    r"|(?<=:)/(?=/)|(?<=www)\."  # addresses that become links by themselves
    r"|^[-+](?=\s|$)|^[-=](?=[-=]*$)",  # lists, rules and headings
    re.IGNORECASE,
)
"""What Markdown, that of the hub included, would not show as it is."""


def escaped(text: str) -> str:
    r"""Text that Markdown shows as it is, on one line.

    Examples
    --------
    >>> escaped("a|b <!-- *c* -->\nd"), escaped("![x][a]")
    ('a\\|b &lt;!-- \\*c\\* --&gt; d', '!\\[x\\]\\[a\\]')
    """
    literal = SIGNS.sub(lambda sign: sign[1] or rf"\{sign[0]}", html.escape(" ".join(text.split()), quote=False))
    return re.sub(r"^(\d{1,9})([.)])(?=\s|$)", r"\1\\\2", literal)
