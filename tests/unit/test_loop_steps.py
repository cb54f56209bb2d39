"""Steps of any kind: several networks and optimisers, streams, groups, a state beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from outfield.data.datasets import ArrayDataset
from outfield.data.member import Member
from outfield.data.sources.diabetes import Diabetes
from outfield.errors import UserError
from outfield.keys import of_tensors
from outfield.registry import create
from outfield.strategies import Moment, Optimizers, Processes, Strategy, train
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.tasks.classify import Classify
from outfield.tasks.regress import Regress
from outfield.types import Batch

TASK = Classify(classes=2)
DELAY = 3


def rows(n: int = 30, *, columns: int = 4, seed: int = 0) -> Batch:
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(n, columns, generator=chance)
    return Batch(x, torch.arange(n) % 2, groups=torch.arange(n) % 5, streams={})


def with_outliers(n: int = 30, outliers: int = 7) -> Batch:
    wild = Batch(torch.arange(outliers * 4.0).view(-1, 4), groups=torch.arange(outliers))
    return Batch(rows(n).x, rows(n).y, rows(n).groups, streams={"outliers": wild})


class Pair(nn.Module):
    """An actor, a critic of it, and what a run knows beside: a slow copy, a multiplier, a count."""

    count: Tensor
    multiplier: Tensor

    def __init__(self, actor: nn.Module) -> None:
        super().__init__()
        self.actor, self.critic, self.slow = actor, nn.Linear(6, 1), nn.Linear(6, 1)
        self.slow.requires_grad_(False).load_state_dict(self.critic.state_dict())
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("multiplier", torch.tensor(1.0))


@dataclass(frozen=True, kw_only=True)
class Delayed(Strategy):
    """A critic that learns the loss of the actor's answers; an actor that follows it, every few steps alone."""

    family: ClassVar[str] = "recipe"
    streams: ClassVar[frozenset[str]] = frozenset({"outliers"})

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return Pair(make())

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def optimizer(self, network: nn.Module) -> Mapping[str, Optimizer]:
        assert isinstance(network, Pair)
        return {
            "critic": Adam(network.critic.parameters(), self.learning_rate),
            "actor": SGD(network.actor.parameters(), self.learning_rate, momentum=0.9),
        }

    def schedule(self, step: int, total: int) -> float:
        return 1 - step / total

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        assert isinstance(network, Pair)
        x = batch.x + 0.01 * torch.randn_like(batch.x)
        answers = network.actor(x)
        judged = network.critic(torch.cat([x, answers.detach()], 1)).squeeze(1)
        losses = nn.functional.cross_entropy(answers.detach(), batch.targets, reduction="none")
        penalty = network.multiplier * network.actor(batch.streams["outliers"].x / 30).square().mean()
        optimizers.descend((judged - losses).square().mean(), "critic")
        if network.count % DELAY == 0:
            optimizers.descend(network.slow(torch.cat([x, answers], 1)).mean() + penalty, "actor")

    def after_step(self, network: nn.Module, batch: Batch, task: Task) -> None:
        assert isinstance(network, Pair)
        network.count += 1
        network.multiplier.mul_(1.1)
        for slow, fast in zip(network.slow.parameters(), network.critic.parameters(), strict=True):
            slow.lerp_(fast.detach(), 0.2)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        assert isinstance(network, Pair)
        return network.actor


def delayed(**options: Any) -> nn.Module:
    strategy = Delayed(batch_size=6, learning_rate=0.05)
    return train(strategy, lambda: nn.Linear(4, 2), with_outliers(), TASK, seed=2, epochs=2, **options)


class Killed(Exception):
    pass


@pytest.mark.parametrize("last", [0, 1, 4, 7])
def test_two_networks_with_delayed_updates_go_on_to_the_same_weights(last: int, tmp_path: Path) -> None:
    def save_and_die(moment: Moment) -> None:
        torch.rand(3)
        if moment.step == last:
            moment.save(tmp_path / "run.ckpt")
        if moment.step == last + 1:
            raise Killed

    whole = delayed()
    with pytest.raises(Killed):
        delayed(on_step=save_and_die)
    assert of_tensors(delayed(resume=tmp_path / "run.ckpt").state_dict()) == of_tensors(whole.state_dict())


def test_a_delayed_optimiser_changes_its_network_on_its_own_steps_alone() -> None:
    seen: list[tuple[str, str]] = []

    def look(moment: Moment) -> None:
        assert isinstance(moment.network, Pair)
        seen.append((of_tensors(moment.network.actor.state_dict()), of_tensors(moment.network.critic.state_dict())))

    delayed(on_step=look)
    changed = [(old[0] != new[0], old[1] != new[1]) for old, new in pairwise(seen)]
    assert changed == [(step % DELAY == 0, True) for step in range(10)]


@dataclass(frozen=True, kw_only=True)
class Seen(Strategy):
    """Notes the batches of its steps."""

    notes: list[Batch] = field(default_factory=list, compare=False)
    size: int = 3

    family: ClassVar[str] = "baseline"
    streams: ClassVar[frozenset[str]] = frozenset({"outliers"})

    def stream_size(self, role: str) -> int:
        return self.size

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        self.notes.append(batch)
        return batch


def seen(data: Batch, **params: Any) -> list[Batch]:
    strategy = Seen(batch_size=10, **params)
    train(strategy, lambda: nn.Linear(4, 2), data, TASK, seed=0, epochs=4)
    return strategy.notes


def test_rows_and_groups_come_with_the_items_of_a_step() -> None:
    data = with_outliers()
    for batch in seen(data):
        assert batch.rows is not None and batch.groups is not None and data.groups is not None
        assert torch.equal(batch.x, data.x[batch.rows]) and torch.equal(batch.groups, data.groups[batch.rows])
        assert torch.equal(batch.targets.argmax(1), data.targets[batch.rows])


def outliers(notes: list[Batch]) -> list[list[int]]:
    """Numbers of the outliers that each step saw."""
    streams = [batch.streams["outliers"] for batch in notes]
    assert all(torch.equal(one.x[:, 0], 4.0 * one.groups) for one in streams if one.groups is not None)
    return [one.groups.tolist() for one in streams if one.groups is not None]


def test_a_stream_has_epochs_and_an_order_of_its_own() -> None:
    drawn = outliers(seen(with_outliers()))
    epochs = [drawn[at] + drawn[at + 1] for at in range(0, 12, 2)]
    assert all(len(set(epoch)) == 6 for epoch in epochs), "two batches of three of seven outliers are an epoch"
    assert len({tuple(one) for one in drawn}) > 6
    assert outliers(seen(with_outliers(n=50)))[:12] == drawn, "whatever the training set is"


def test_a_stream_that_is_smaller_than_a_batch_is_read_whole() -> None:
    assert {len(batch.streams["outliers"]) for batch in seen(with_outliers(outliers=2), size=9)} == {2}


def test_a_stream_that_is_not_there_and_items_that_do_not_fit_are_told() -> None:
    with pytest.raises(UserError, match=r"streams outliers for Delayed, but got none of outliers"):
        train(Delayed(), lambda: nn.Linear(4, 2), rows(), TASK, seed=0)
    baseline = create("strategies", "baseline")
    with pytest.raises(UserError, match=r"pictures as float32 .* \[30, 4\]"):
        train(baseline, lambda: nn.Linear(4, 2), rows(), TASK, seed=0)

    class Texts(Classify):
        items: ClassVar[str] = "tokens"

    with pytest.raises(UserError, match="pictures for Baseline, but the items of Texts are tokens"):
        train(baseline, lambda: nn.Linear(4, 2), rows(), Texts(classes=2), seed=0)


def test_a_task_without_its_number_of_classes_and_an_accelerator_that_is_not_there_are_told() -> None:
    run = partial(train, create("strategies", "adamw"), lambda: nn.Linear(4, 2), rows(), seed=0, epochs=1)
    with pytest.raises(UserError, match=r"Classify\(classes=10\)"):
        run(Classify())
    with pytest.raises(UserError, match="accelerator such as cpu.* 'abacus'"):
        run(TASK, accelerator="abacus")


def test_no_steps_are_refused() -> None:
    with pytest.raises(UserError, match="steps of AdamW from 1"):
        create("strategies", "adamw", steps=0)


def test_adamw_is_that_of_pytorch_with_its_warm_up_and_decay() -> None:
    data = rows(10)
    strategy = create("strategies", "adamw", learning_rate=0.1, weight_decay=0.2, batch_size=4, epochs=2, warm_up=0.5)
    drawn = [torch.randperm(10, generator=torch.Generator().manual_seed(3 * 1_000_003 + epoch)) for epoch in (0, 1)]
    torch.manual_seed(0)
    start = nn.Linear(4, 2)
    trained = train(strategy, lambda: copied(start), data, TASK, seed=3)
    by_hand = copied(start)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.1, weight_decay=0.2)
    for step, chosen in enumerate(part for order in drawn for part in order.split(4)):
        optimizer.param_groups[0]["lr"] = 0.1 * min((step + 1) / 3, (6 - step) / 3)
        optimizer.zero_grad()
        nn.functional.cross_entropy(by_hand(data.x[chosen]), data.targets[chosen]).backward()
        optimizer.step()
    torch.testing.assert_close(trained.state_dict(), by_hand.state_dict(), atol=1e-6, rtol=1e-5)


def copied(layer: nn.Linear) -> nn.Linear:
    made = nn.Linear(layer.in_features, layer.out_features)
    made.load_state_dict(layer.state_dict())
    return made


def test_a_checkpoint_holds_what_is_learned_alone_where_the_strategy_says_so(tmp_path: Path) -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 400).requires_grad_(False), nn.BatchNorm1d(400), nn.Linear(400, 2))

    run = partial(train, create("strategies", "adamw", steps=4), network, rows(), TASK, seed=1)
    run(on_step=lambda moment: moment.save(tmp_path / "run.ckpt") if moment.step == 2 else None)
    held = torch.load(tmp_path / "run.ckpt", weights_only=True)["network"]
    assert not any(name.startswith("0.") for name in held) and "1.running_mean" in held
    assert of_tensors(run(resume=tmp_path / "run.ckpt").state_dict()) == of_tensors(run().state_dict())


@pytest.mark.parametrize(
    "change", [{"about": "other weights"}, {"epochs": 3}, {"seed": 3}], ids=lambda change: next(iter(change))
)
def test_a_checkpoint_of_other_first_weights_length_or_seed_is_told(change: dict[str, Any], tmp_path: Path) -> None:
    run = partial(train, create("strategies", "adamw"), lambda: nn.Linear(4, 2), rows(), TASK)
    run(seed=0, epochs=2, about="weights", on_step=lambda moment: moment.save(tmp_path / "run.ckpt"))
    with pytest.raises(UserError, match="of another strategy, seed, length or data"):
        run(**{"seed": 0, "epochs": 2, "about": "weights", **change}, resume=tmp_path / "run.ckpt")


def test_checkpoints_of_an_earlier_format_are_told(tmp_path: Path) -> None:
    for number, old in enumerate(
        ({"step": 1, "run": "0" * 20, "schedule": {}, "averaged": {}}, {"step": 1, "weights": {}, "accelerators": []})
    ):
        torch.save(old, tmp_path / f"{number}.ckpt")
        with pytest.raises(UserError, match="of another strategy, seed, length or data"):
            train(
                create("strategies", "adamw"), lambda: nn.Linear(4, 2), rows(), TASK, seed=0,
                resume=tmp_path / f"{number}.ckpt",
            )  # fmt: skip


class Second(Processes):
    """The second of two processes, that of the odd rows."""

    rank = 1  # type: ignore[assignment]  # what is a property there
    size = 2  # type: ignore[assignment]


class Shuffled(Seen):
    """Draws an order of the training set before it begins."""

    def data(self, data: Batch, task: Task) -> Batch:
        return data[torch.randperm(len(data))]


@pytest.mark.parametrize("kind", [Seen, Shuffled])
def test_a_process_reads_its_part_of_a_step_and_of_its_streams(kind: type[Seen]) -> None:
    strategies, parts = [kind(batch_size=10) for _ in range(2)], Second("cpu")
    for strategy, processes in zip(strategies, (None, parts), strict=True):
        train(strategy, lambda: nn.Linear(4, 2), with_outliers(), TASK, seed=0, epochs=4, processes=processes)
    for whole, mine in zip(strategies[0].notes, strategies[1].notes, strict=True):
        assert torch.equal(mine.x, whole.x[1::2]) and len(mine) == 5
        assert torch.equal(mine.streams["outliers"].x, whole.streams["outliers"].x[1::2])
    assert parts.share(5) == pytest.approx(4 / 5) and parts.part(torch.tensor([3])).tolist() == [3]


def test_a_regression_task_trains_a_network_of_numbers_to_the_least_squares() -> None:
    ages = {part: Diabetes(part=part.replace("train", "fit")) for part in ("train", "val", "test")}
    task = Regress(ages)
    data = task.batch(next(task.sets(seed=0)))
    standard = replace(data, x=(data.x - data.x.mean(0)) / data.x.std(0), y=(data.targets - 150) / 80)
    strategy = create("strategies", "adamw", learning_rate=0.05, weight_decay=0.0, batch_size=64, epochs=60)
    trained = train(strategy, lambda: nn.Linear(10, 1), standard, task, seed=0)
    columns = torch.cat([standard.x, torch.ones(len(standard), 1)], 1)
    least = (columns @ torch.linalg.lstsq(columns, standard.targets).solution - standard.targets).square().mean()
    with torch.no_grad():
        assert float(task.loss(trained, standard)) == pytest.approx(float(least), rel=0.02)


def test_a_set_with_groups_and_without_labels_is_taken_as_it_is() -> None:
    wild = Member("wild", "outliers", ArrayDataset(np.eye(3, dtype="float32"), groups=[1, 0, 1]))
    found = TASK.batch(wild)
    assert found.y is None and found.groups is not None and found.groups.tolist() == [1, 0, 1]
    assert torch.equal(found.x, torch.eye(3))
