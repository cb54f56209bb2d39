"""What every task keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn

from outfield import registry
from outfield.data.datasets import targets_of
from outfield.data.member import STREAMS, Member, Role
from outfield.features.cache import Cache
from outfield.metrics.base import Merits, PredictionMetric
from outfield.store.subject import Subject
from outfield.strategies import Strategy, train
from outfield.strategies.adamw import AdamW
from outfield.studies.bench import measure
from outfield.studies.job import Job
from outfield.studies.sets import Sets
from outfield.tasks.base import Task
from outfield.testing._expect import all_of, comes_back_from_json, expect, imports_no_torch, is_found_by_its_name
from outfield.types import Outputs

ITEMS = ("pictures", "tokens", "rows", "episodes", "any")
CATEGORIES = ("near", "far", "extreme", "synthetic")
Answers: TypeAlias = Callable[[Member, bool], Outputs]
"""Of a set, and whether they are to be right: what a model says of its items, with the right answers beside."""


def check_task(
    task: Task,
    *,
    network: Callable[..., nn.Module] | None = None,
    strategy: Strategy | None = None,
    answers: Answers | None = None,
) -> None:
    """The contract of a task, on its own sets: give an instance whose sets are small.

    A task that reads files is given one that reads small files, which the test writes into a temporary folder.

    Parameters
    ----------
    task : Task
    network : callable, optional
        Makes a network from what ``task.arguments`` gives, to be trained for two steps and measured. By default the
        network that the task names; without either, nothing is trained.
    strategy : Strategy, optional
        How it is trained; by default AdamW on the task's own loss.
    answers : callable, optional
        ``answers(member, right)`` gives the ``Outputs`` of a model that is right, or wrong, about every item. By
        default made from the labels or targets that the task judges by; a task that judges by none needs them.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.data.sources.diabetes import Diabetes
    >>> from outfield.tasks.regress import Regress
    >>> check_task(Regress({"train": Diabetes("fit"), "val": Diabetes("val"), "test": Diabetes("test")}))
    """
    all_of(CHECKS, Case(task, network, strategy or AdamW(batch_size=32, steps=2), answers))


@dataclass(frozen=True, eq=False)
class Case:
    """A task with what its network is and how it is trained; its sets are loaded once."""

    task: Task
    network: Callable[..., nn.Module] | None
    strategy: Strategy
    answers: Answers | None

    def __repr__(self) -> str:
        return repr(self.task)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Its sets."""
        return tuple(self.task.sets(seed=0))

    def of(self, *roles: str) -> tuple[Member, ...]:
        """Those of some roles."""
        return tuple(one for one in self.members if one.role in roles)

    @cached_property
    def sets(self) -> Sets:
        """Its sets as a study has them, with the task that knows its training set."""
        (train,), (val,), (test,) = (self.of(role) for role in ("train", "val", "test"))
        task, streams = self.task.informed(train), self.of(*STREAMS)
        return Sets(train, val, test, self.of("ood"), self.of("tuning"), self.of("shift"), task=task, streams=streams)

    def untrained(self) -> nn.Module:
        """A fresh network."""
        arguments = self.task.arguments(self.sets.train)
        if self.network is not None:
            return self.network(**arguments)
        made: nn.Module = registry.create("networks", self.task.network, **arguments)
        return made


def fields(case: Case) -> None:
    """It is found by its name, comes back from JSON, and its module imports no torch when it is loaded."""
    is_found_by_its_name("tasks", case.task)
    comes_back_from_json("tasks", case.task)
    imports_no_torch(type(case.task).__module__)


def declares(case: Case) -> None:
    """What it declares is known: kind of items, network, streams, what judges."""
    task = case.task
    expect(task.items in ITEMS, f"items of {ITEMS}", task.items)
    expect(task.judges in ("labels", "targets", ""), "judges of labels, targets or nothing", task.judges)
    expect(task.streams <= set(STREAMS), f"streams of {STREAMS}", set(task.streams))
    known = registry.names("networks")
    expect(not task.network or task.network in known, f"a network of {', '.join(known)}", task.network)


def measures(case: Case) -> None:
    """Its measures are metrics of answers; the first is the performance."""
    expect(case.task.measures, "at least one measure", case.task.measures)
    for name in case.task.measures:
        expect(name in registry.names("metrics"), "measures among `outfield list metrics`", name)
        metric = registry.create("metrics", name)
        judged = metric.inputs in ("predictions", "merit") and not getattr(metric, "of_detector", False)
        expect(judged, "a measure of answers, of merits or predictions", f"{name}, which reads a detector's scores")


def sets(case: Case) -> None:
    """``train``, ``val`` and ``test`` once, each set with a name of its own, a known role, and items."""
    found = [one.role for one in case.members]
    for role in ("train", "val", "test"):
        expect(found.count(role) == 1, f"one set of the role {role}", found.count(role))
    names = [one.name for one in case.members]
    expect(len(set(names)) == len(names), "sets of different names", names)
    expect(set(found) <= set(get_args(Role)), f"roles of {get_args(Role)}", found)
    for one in case.members:
        expect(len(one) > 0, f"items in the {one.label}", "none")
        named = one.role not in ("ood", "tuning") or one.category in CATEGORIES
        expect(named, f"a category of {CATEGORIES} for the {one.label}", one.category)
    loose = {one.name for one in case.task.wanted(seed=0)} - set(names)
    expect(not loose, "every set of `wanted` in `sets`", f"none for {sorted(loose)}")
    streams = {one.role for one in case.of(*STREAMS)}
    expect(streams <= case.task.streams, f"streams of {set(case.task.streams) or 'no role'}, as declared", streams)


def sets_again(case: Case) -> None:
    """A seed gives the same sets again; another seed gives sets of the same names and roles."""
    again, other = (tuple(case.task.sets(seed)) for seed in (0, 1))
    for one, two in zip(case.members, again, strict=True):
        expect(one.data.digest() == two.data.digest(), f"the same items in the {one.label} again", "others")
    places = [[(one.name, one.role) for one in some] for some in (case.members, other)]
    expect(places[0] == places[1], f"sets {places[0]} with every seed", places[1])


def right_answers(case: Case) -> None:
    """The sets that are measured have the right answers that it judges by."""
    for one in case.of("train", "val", "test", "shift"):
        found = {"labels": one.data.labels, "targets": targets_of(one.data), "": ()}[case.task.judges]
        expect(found is not None, f"{case.task.judges} in the {one.label}", "none")


def merit(case: Case) -> None:
    """A merit for each item, finite; right answers have more of it, and the first measure says the same."""
    if not case.task.judges and case.answers is None:
        given = case.network is not None or case.task.network
        expect(given, "right and wrong answers, check_task(..., answers=...), or a network that gives some", "neither")
        return
    for member in case.of("test", "shift"):
        right, wrong = (_answers(case, member, one) for one in (True, False))
        good, bad = (_merits(case, one) for one in (right, wrong))
        expect(float(good.mean()) > float(bad.mean()), f"more merit of right answers to the {member.label}", "less")
        best = all(float(a) >= float(b) for a, b in zip(good, bad, strict=True))
        expect(best, f"no item of the {member.label} whose wrong answer has more merit than the right one", "some")
        _check_direction(case.task.measures[0], [(right, good), (wrong, bad)])


def trains_and_is_measured(case: Case) -> None:
    """A network of its own trains for two steps, and every measure of it is a row with a finite value."""
    if case.network is None and not case.task.network:
        return
    own, streams = case.sets.task, {one.role for one in case.sets.streams}
    case.strategy.check_task(own, streams)
    network = train(case.strategy, case.untrained, case.sets.training_set(), own, seed=0)
    model = own.model(network, case.sets.train.data.read(slice(0, 2)), name="network")
    name = registry.name_of("tasks", own)
    subject = Subject("contract", "network", "none", task=name)
    with tempfile.TemporaryDirectory() as folder:
        (found,) = measure(model, case.sets, own, [Job("model", None)], Cache(Path(folder)), subject=subject)
    expect(not found.failure, "a network that can be measured", found.failure)
    values = {row["metric"]: row["value"] for row in found.rows if row["set_kind"] == "id" and row["role"] == "test"}
    for one in own.measures:
        expect(np.isfinite(values.get(one, np.nan)), f"a row of {one} on the test set", sorted(values))


CHECKS: tuple[Callable[[Case], None], ...] = (
    fields, declares, measures, sets, sets_again, right_answers, merit, trains_and_is_measured
)  # fmt: skip


def _answers(case: Case, member: Member, right: bool) -> Outputs:
    """What a model says that is right, or wrong, about every item."""
    if case.answers is not None:
        return case.answers(member, right)
    items = member.data.read(slice(0, len(member)))
    inputs = torch.as_tensor(items) if isinstance(items, np.ndarray) and items.dtype.kind in "fiub" else None
    if case.task.judges == "labels":
        labels = torch.as_tensor(np.asarray(member.data.labels))
        classes = int(np.asarray(case.sets.train.data.labels).max()) + 1
        said = labels if right else (labels + 1) % classes
        return Outputs(logits=5.0 * nn.functional.one_hot(said, classes).float(), labels=labels, inputs=inputs)
    targets = torch.as_tensor(np.asarray(targets_of(member.data)))
    return Outputs(predictions=targets if right else targets + 1, targets=targets, inputs=inputs)


def _merits(case: Case, out: Outputs) -> Tensor:
    found = case.sets.task.merit(out)
    expect(found.shape == (len(out),), f"a merit for each of {len(out)} items", list(found.shape))
    expect(found.is_floating_point() and found.isfinite().all(), "finite merits as floats", found.dtype)
    return found


def _check_direction(name: str, pairs: list[tuple[Outputs, Tensor]]) -> None:
    """The measure of right answers is better than that of wrong ones, by its ``higher_is_better``."""
    metric = registry.create("metrics", name)
    good, bad = (found.value for found in _measured(metric, pairs))
    better = good > bad if metric.higher_is_better else good < bad
    expect(better, f"a better {name} of right answers", f"{good:g}, and {bad:g} of wrong ones")


def _measured(metric: Any, pairs: list[tuple[Outputs, Tensor]]) -> Iterator[Any]:
    for out, merits in pairs:
        if isinstance(metric, PredictionMetric):
            yield metric(out.logits.numpy(), out.labels.numpy())
        else:
            yield metric.of(Merits(merits.numpy()))
