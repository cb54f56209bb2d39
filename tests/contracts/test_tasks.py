"""Our own tasks keep their contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from outfield.data.sources.diabetes import Diabetes
from outfield.data.sources.digits import Digits
from outfield.data.sources.domains import Domains as Sites
from outfield.data.sources.glyphs import Glyphs
from outfield.data.sources.part import Part
from outfield.data.sources.text import Text
from outfield.registry import create, own
from outfield.strategies.adamw import AdamW
from outfield.tasks.base import Wanted
from outfield.tasks.classify import Classify
from outfield.tasks.domains import Domains
from outfield.tasks.pairs import Pairs
from outfield.tasks.regress import Regress
from outfield.tasks.semantic_covariate import SemanticCovariate
from outfield.testing._expect import imports_no_torch, is_found_by_its_name
from outfield.testing.tasks import CHECKS, Case, declares, fields, measures, sets, sets_again

PARTS = {"train": "fit", "val": "val", "test": "test"}


def classify() -> Case:
    known = tuple(Wanted(role, role, Digits(classes=(0, 1, 2), part=part)) for role, part in PARTS.items())  # type: ignore[arg-type]
    letters = Wanted("letters", "ood", Glyphs(kind="letters", n=20), "far")
    return Case(
        Classify((*known, letters)), lambda classes: create("networks", "small_cnn", classes=classes), PLAN, None
    )


def regress() -> Case:
    young = {role: Diabetes(part=part, ages=(0, 60)) for role, part in PARTS.items()}
    task = Regress(young, shift={"60 and older": Diabetes(ages=(60, 120))})
    return Case(task, lambda classes: nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, classes)), PLAN, None)


def semantic_covariate() -> Case:
    task = SemanticCovariate(of=Digits(), known=(0, 1, 2), new=(8, 9), shifts=("blur",), severities=(2,))
    return Case(task, lambda classes: create("networks", "small_cnn", classes=classes), PLAN, None)


def domains() -> Case:
    task = Domains(source=Sites("site", side=8), leave_out=("site 4",))
    return Case(task, lambda classes: create("networks", "small_cnn", classes=classes, channels=3), PLAN, None)


PLAN = AdamW(batch_size=32, steps=2)
MADE: dict[str, Callable[[], Case]] = {
    "classify": classify,
    "regress": regress,
    "domains": domains,
    "semantic_covariate": semantic_covariate,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [name for name in own("tasks") if name != "pairs"])
def test_contract(name: str, check: Callable[[Case], None]) -> None:
    if name == "classify" and check is fields:
        check = _without_json  # a study file gives its sets beside the task, not within
    check(MADE[name]())


@pytest.mark.parametrize("check", [fields, declares, measures, sets, sets_again], ids=lambda check: check.__name__)
def test_contract_of_pairs_of_texts(check: Callable[[Case], None], tmp_path: Path) -> None:
    """Its networks are language models: those train in tests/integration/test_trajectory_nli.py."""
    texts = tmp_path / "texts.csv"
    texts.write_text("text,label\n" + "".join(f"number {i},{i % 2}\n" for i in range(12)), encoding="utf-8")
    parts = {role: Part(Text(str(texts), label="label"), start=i / 3, stop=(i + 1) / 3) for i, role in enumerate(PARTS)}
    check(Case(Pairs(id=parts), lambda classes: nn.Linear(1, classes), PLAN, None))


def _without_json(case: Case) -> None:
    is_found_by_its_name("tasks", case.task)
    imports_no_torch(type(case.task).__module__)
