"""The card as one HTML file that holds everything and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import jinja2

from outfield.card import displays
from outfield.card.card import Card
from outfield.errors import UserError
from outfield.reports.displays._style import GREY, USED
from outfield.reports.displays.base import Display
from outfield.reports.page import _provenance, _shown, _used, _vega

SECTIONS: dict[str, tuple[Callable[[Card], Display], ...]] = {
    "Which detector to take": (displays.which_detector, displays.blind_spots),
    "On ID data and under shift": (displays.on_id_data, displays.under_shift),
    "Outside": (displays.by_set, displays.parts),
    "Cost": (displays.cost,),
}
"""The card's sections in the order of a reader's questions, and the displays of each."""


def html(card: Card) -> str:
    """The page as text."""
    loaders = [jinja2.PackageLoader("outfield.card"), jinja2.PackageLoader("outfield.reports")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("card.html").render(
        title=card.results.rows["model"][0],
        model=card.model,
        answer=card.sentences,
        facts=_facts(card),
        notes=card.notes,
        left_out=_by_reason(card),
        legend=[(name, USED.get(name, GREY)) for name in _used(card.results)],
        sections={title: [_shown(_built(build, card)) for build in builds] for title, builds in SECTIONS.items()},
        hardest=card.hardest,
        provenance=_provenance(card.results),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        vega=_vega(),
    )


def _built(build: Callable[[Card], Display], card: Card) -> Display:
    """A display, or what is missing for it."""
    try:
        return build(card)
    except UserError as error:
        heading = (build.__doc__ or build.__name__).splitlines()[0].rstrip(".")
        return Display.absent(build.__name__.replace("_", "-"), heading.partition(":")[0], str(error))


def _facts(card: Card) -> list[tuple[str, str]]:
    results = card.results
    shifts = results.rows["shift"].drop_nulls().n_unique()
    facts = {
        "accuracy": f"{card.estimate('accuracy')['value']:.1%}",
        "mean AUROC": f"{card.choice.table['mean'][0]:.3f}",
        "ID test inputs": f"{results.n_id:,}",
        "detectors": str(len(results.detectors)),
        "OOD sets": str(results.auroc["ood"].n_unique()),
    }
    return list((facts | ({"shifts": str(shifts)} if shifts else {})).items())


def _by_reason(card: Card) -> dict[str, str]:
    """Why detectors are left out, and which."""
    found: dict[str, list[str]] = {}
    for name, why in card.left_out.items():
        found.setdefault(why, []).append(name)
    return {why: ", ".join(names) for why, names in found.items()}
