"""A run that is followed is the run that it would be alone, and what is left out is said."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from outfield.errors import UserError
from outfield.store import query
from outfield.trajectory import EvalSet, Run, Tracker
from outfield.trajectory.hooks import Schedule, transformers_callback
from outfield.trajectory.tracker import over_checkpoints

SETS = (EvalSet("test", 64, "id"), EvalSet("noisy", 64))
STEPS = (0, 1, 5, 10)


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002  # the global states


def points() -> tuple[Tensor, Tensor]:
    x = torch.randn(64, 5, generator=torch.Generator().manual_seed(1))
    return x, (x[:, 0] > 0).long()


def measure(net: nn.Module) -> dict[str, Any]:
    """Draws by a DataLoader, and by hand."""
    noise = torch.randn(64, 5)
    x, y = points()
    right = torch.cat([net(a).argmax(1) == b for a, b in DataLoader(TensorDataset(x, y), batch_size=16)])
    return {"test": right.numpy(), "noisy": (net(x + noise).argmax(1) == y).numpy()}


def trained(on_step: Callable[[int, nn.Module], object], upto: int = 10) -> Tensor:
    """The weights of a run whose framework sets training mode once."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.5), nn.BatchNorm1d(16), nn.Linear(16, 2)).train()
    optimizer, (x, y) = torch.optim.SGD(net.parameters(), lr=0.5), points()
    on_step(0, net)
    for step in range(1, upto + 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        on_step(step, net)
    return torch.cat([part.flatten() for part in net.state_dict().values()])


def followed(folder: Path, upto: int = 10) -> Tensor:
    return trained(Schedule(Tracker(Run("s", "m"), SETS, folder), STEPS, measure), upto)


def test_a_run_that_is_followed_has_the_weights_of_one_that_is_not(tmp_path: Path) -> None:
    assert torch.equal(followed(tmp_path), trained(lambda step, net: None))


def test_a_run_that_was_killed_and_starts_again_gives_the_same_rows(tmp_path: Path) -> None:
    followed(tmp_path / "whole")
    followed(tmp_path / "killed", upto=5)
    followed(tmp_path / "killed")
    one, other = (query.rows(tmp_path / name).sort("step", "set_kind") for name in ("whole", "killed"))
    assert one.height == 2 * len(STEPS) and one["value"].to_list() == other["value"].to_list()


def test_random_states_and_modes_are_as_before_also_when_measuring_fails(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    net[1].eval()
    before, seen = [module.training for module in net.modules()], []

    def fails(model: nn.Module) -> dict[str, Any]:
        seen.extend(module.training for module in model.modules())
        drawn()
        raise ZeroDivisionError

    at = Schedule(Tracker(Run("s", "m"), SETS, tmp_path), (0,), fails)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  # the global states
    with pytest.raises(ZeroDivisionError):
        at(0, net)
    found = drawn()
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    assert found == drawn() and not any(seen)
    assert [module.training for module in net.modules()] == before


@pytest.mark.parametrize("started", [True, False])
def test_random_states_of_accelerators_that_are_in_use_are_kept(
    started: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {0: torch.tensor([0]), 1: torch.tensor([1])}
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: started)
    monkeypatch.setattr(torch.cuda, "get_rng_state", states.__getitem__)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: states.update({device: state}))

    def draws(model: object) -> dict[str, Any]:
        states.update({0: torch.tensor([7]), 1: torch.tensor([8])})
        return dict.fromkeys(("test", "noisy"), np.ones(64))

    Schedule(Tracker(Run("s", "m"), SETS, tmp_path), (0,), draws)(0, None)
    assert [int(state) for state in states.values()] == ([0, 1] if started else [7, 8])


def test_the_callback_of_transformers_measures_in_evaluation_mode(tmp_path: Path) -> None:
    tracker, net = Tracker(Run("s", "m"), SETS, tmp_path), nn.Dropout()
    modes = []

    def told(model: nn.Module) -> dict[str, Any]:
        modes.append(model.training)
        return dict.fromkeys(("test", "noisy"), np.ones(64))

    callback = transformers_callback(tracker, (0, 2), told)
    callback.on_train_begin(None, SimpleNamespace(global_step=0), None, model=net)
    for step in (1, 2):
        callback.on_step_end(None, SimpleNamespace(global_step=step), None, model=net)
    assert modes == [False, False] and net.training
    assert [tracker.done(step) for step in (0, 1, 2)] == [True, False, True]


def test_a_hook_that_is_not_given_every_set_says_so(tmp_path: Path) -> None:
    tracker = Tracker(Run("s", "m"), SETS, tmp_path)
    at = Schedule(tracker, (0,), lambda model: {"test": np.ones(64)})
    with pytest.raises(UserError, match="step 0, but got none of noisy"):
        at(0, None)
    tracker.log(0, set="noisy", correct=np.ones(64))
    assert not tracker.done(0)


def test_checkpoints_that_are_not_measured_on_every_set_are_said(tmp_path: Path) -> None:
    tracker = Tracker(Run("s", "m"), SETS, tmp_path)
    with pytest.raises(UserError, match="step 1, but got none of noisy"):
        over_checkpoints(tracker, {1: tmp_path}, lambda path: path, lambda path: {"test": np.ones(64)})
    assert not tracker.done(1)
