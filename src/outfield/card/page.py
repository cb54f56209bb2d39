"""The card as one HTML file that holds everything and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from outfield.card import displays
from outfield.card.facts import Facts
from outfield.reports.displays.base import Display
from outfield.reports.displays.estimates import ESTIMATED
from outfield.reports.findings import told
from outfield.reports.html import environment, legends, render_sections, tally, vega
from outfield.reports.page import provenance

SECTIONS: dict[str, tuple[Callable[[Facts], Display], ...]] = {
    "Which detector to take": (displays.which_detector,),
    "On ID data and under shift": (displays.on_id_data, displays.under_shift, displays.without_labels),
    "On OOD data": (displays.by_set, displays.parts),
    "Blind spots": (displays.blind_spots, displays.weak_classes, displays.known_classes),
    "Cost": (displays.cost,),
}
"""The card's sections in the order of a reader's questions, and the displays of each."""


def html(card: Facts) -> str:
    """The page as text."""
    wanted = {title: [build for build in builds if _applies(build, card)] for title, builds in SECTIONS.items()}
    template = environment("outfield.card").get_template("card.html")
    return template.render(
        title=card.name,
        model=card.model,
        answer=card.sentences,
        facts=_facts(card),
        notes=card.notes,
        findings=told(card.findings),
        left_out=_by_reason(card),
        legends=legends(card.results),
        sections=render_sections(wanted, card),
        hardest=card.hardest,
        production=card.production,
        provenance=provenance(card.results),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        vega=vega(),
    )


def _applies(build: Callable[[Facts], Display], card: Facts) -> bool:
    """Whether a display's question can be asked of these inputs at all."""
    if build is displays.under_shift:
        return card.inputs in ("image", "") or not card.results.metric(card.results.performance, "shift").is_empty()
    if build is displays.without_labels:
        return card.results.performance == "accuracy" and bool((card.rows["metric"] == ESTIMATED).any())
    return build is not displays.parts or bool(card.rows["part"].is_not_null().any())


def _facts(card: Facts) -> list[tuple[str, str]]:
    results, held_out = card.results, card.choice.held_out
    shifts = results.rows["shift"].drop_nulls().n_unique()
    facts = {
        card.results.measure.word: card.results.measure.text(card.estimate(card.results.performance)["value"]),
        f"mean AUROC of {card.recommended}": f"{card.choice.table['mean'][0]:.3f}",
        **({} if held_out is None else {"on sets left out of the choice": f"{held_out.value:.3f}"}),
    }
    counts = {
        "ID test inputs": results.n_id,
        "detectors": len(results.detectors),
        "OOD sets": results.auroc["ood"].n_unique(),
        "shifts": shifts,
    }
    return [*facts.items(), *tally(counts)]


def _by_reason(card: Facts) -> dict[str, str]:
    """Why detectors are left out, and which."""
    found: dict[str, list[str]] = {}
    for name, why in card.left_out.items():
        found.setdefault(why, []).append(name)
    return {why: ", ".join(names) for why, names in found.items()}
