"""Tags: every plug-in carries them, lists keep exactly those asked for, and the catalogue says the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from outfield import registry, tags
from outfield.cli import _catalogue, _listing, _pages
from outfield.data.base import Source
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.testing._expect import carries_tags

EVERY = [(kind, name) for kind in tags.TAGGED for name in registry.names(kind)]
PAGE = Path(__file__).parents[2] / "docs" / "catalogue.md"


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_plugin_here_and_of_other_packages_carries_tags(kind: str, name: str) -> None:
    tags.check(kind, registry.find(kind, name))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_the_source_says_the_tags_that_the_class_has(kind: str, name: str) -> None:
    page = _pages.page(kind, name)
    assert not page.cls or _catalogue.tags_of(page) == tags.of_class(kind, registry.find(kind, name))


def brute_force(kind: str, task: str = "", modality: str = "", needs: tuple[str, ...] = ()) -> set[str]:
    kept = set()
    for name in registry.names(kind):
        found = tags.of_class(kind, registry.find(kind, name))
        if task and not found.tasks & {task, "any"}:
            continue
        if modality and not found.modality & {modality, "any"}:
            continue
        if all(need in found.needs for need in needs):
            kept.add(name)
    return kept


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("detectors", {"task": "novelty"}),
        ("detectors", {"task": "open-set", "needs": ("features", "head")}),
        ("detectors", {"needs": ("logits",)}),
        ("detectors", {"modality": "tokens"}),
        ("detectors", {"modality": "any"}),
        ("strategies", {"task": "novelty", "modality": "pictures"}),
        ("shifts", {"task": "sensory-anomaly"}),
        ("sources", {"modality": "tokens"}),
    ],
)
def test_a_list_keeps_exactly_those_that_carry_the_tags(kind: str, asked: dict[str, str]) -> None:
    lines = _listing.shown(kind, **asked).splitlines()  # type: ignore[arg-type]  # a mapping of options
    expected = brute_force(kind, **asked)  # type: ignore[arg-type]  # the same
    assert {line.split()[0] for line in lines} == expected and expected


def test_detectors_without_classes_find_novelties_and_others_leave_the_classifier() -> None:
    novelty = brute_force("detectors", task="novelty")
    assert {"knn", "cop", "neco"} <= novelty and not novelty & {"msp", "vim", "mds", "odin"}
    assert {"msp", "vim", "mds", "odin"} <= brute_force("detectors", task="open-set")


def test_a_plugin_without_tags_breaks_its_contract_with_the_line_that_it_lacks() -> None:
    @dataclass(frozen=True)
    class Pixels(Detector):
        needs: ClassVar[frozenset[str]] = frozenset({"inputs"})
        information: ClassVar[str] = "inputs"

    @dataclass(frozen=True)
    class Untagged(Source):
        tasks: ClassVar[frozenset[str]] = frozenset({"oud"})
        modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    with pytest.raises(AssertionError, match=r'modality: ClassVar\[frozenset\[str\]\] = frozenset\(\{"pictures"\}\)'):
        carries_tags("detectors", Pixels)
    with pytest.raises(AssertionError, match="but got oud"):
        carries_tags("sources", Untagged)


@pytest.mark.parametrize(
    ("kind", "asked", "said"),
    [
        ("metrics", {"task": "ood"}, "Expected a kind with such tags"),
        ("sources", {"needs": ("logits",)}, r"\(detectors\), but got 'sources'"),
        ("detectors", {"task": "novelties"}, "Expected a task among"),
        ("detectors", {"modality": "text"}, "tokens"),
        ("detectors", {"needs": ("logit",)}, "Expected a need among"),
        ("", {"task": "ood"}, "Expected a kind"),
    ],
)
def test_tags_that_there_are_not_are_refused(kind: str, asked: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        _listing.shown(kind, **asked)  # type: ignore[arg-type]  # a mapping of options
    with pytest.raises(UserError, match="Leave one of both out"):
        _listing.shown("detectors", "msp", task="ood")


def test_nothing_that_carries_all_tags_is_said() -> None:
    assert _listing.shown("detectors", task="outlier") == "No detector carries all these tags."


def test_the_catalogue_is_what_the_command_writes_of_the_plugins_that_it_names() -> None:
    """A plug-in that was added since does not stand on it yet; what stands on it is what there is."""
    text = PAGE.read_text(encoding="utf-8")
    names = _catalogue.named(text)
    assert names <= {(kind, name) for kind in tags.TAGGED for name in registry.own(kind)} and len(names) > 60
    assert text == _catalogue.written(names), "run: outfield list catalogue > docs/catalogue.md"


def test_every_plugin_stands_on_the_written_catalogue() -> None:
    assert _catalogue.named(_catalogue.written()) == {(k, n) for k in tags.TAGGED for n in registry.own(k)}
