"""Strategies that learn from logged transitions: identities of the papers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.registry import create
from outfield.strategies import Moment, Strategy, train
from outfield.types import Batch
from outfield_control.networks.policy_mlp import PolicyMLP
from outfield_control.strategies.actor_critic import ActorCritic
from outfield_control.strategies.losses import cloning, constrained
from outfield_control.strategies.td3_bc import TD3BC
from outfield_control.tasks.point_mass import PointMass
from outfield_control.transitions import Transitions

OFFLINE = ("bc", "td3_bc", "mcep")
Weights = dict[str, Tensor]


def short(name: str, **params: float) -> Strategy:
    made: Strategy = create("strategies", name, **{"epochs": 1, "updates": 12, "batch_size": 64, **params})
    return made


def trained(strategy: Strategy, data: Batch, task: PointMass, seed: int = 0, **options: object) -> nn.Module:
    return train(strategy, lambda: PolicyMLP(width=16), data, task, seed=seed, **options)  # type: ignore[arg-type]


def weights(module: nn.Module, within: str = "") -> Weights:
    return {name: w.clone() for name, w in module.state_dict().items() if name.startswith(within)}


def same(one: Weights, two: Weights) -> bool:
    assert one and one.keys() == two.keys()
    return all(torch.equal(one[name], two[name]) for name in one)


def followed(strategy: Strategy, data: Batch, task: PointMass) -> list[Weights]:
    """All that the run holds, before the first step and after each."""
    seen: list[Weights] = []
    trained(strategy, data, task, on_step=lambda moment: seen.append(weights(moment.network)))
    return seen


def of(moment: Weights, part: str) -> Weights:
    return {name: weight for name, weight in moment.items() if name.startswith(f"{part}.")}


@pytest.mark.parametrize("name", OFFLINE)
def test_a_trained_policy_is_a_network_as_the_task_makes_it(name: str, task: PointMass, logged: Batch) -> None:
    strategy = short(name)
    policy = trained(strategy, logged, task)
    again = strategy.architecture(lambda: PolicyMLP(width=16), task)
    again.load_state_dict(policy.state_dict())
    assert isinstance(policy, PolicyMLP) and not policy.training
    assert torch.equal(policy(logged.streams["learn"].x), again(logged.streams["learn"].x))


@pytest.mark.parametrize("name", OFFLINE)
def test_the_seed_decides_the_policy(name: str, task: PointMass, logged: Batch) -> None:
    one, again, other = (weights(trained(short(name), logged, task, seed)) for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other)


@pytest.mark.parametrize("name", OFFLINE)
def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    name: str, task: PointMass, logged: Batch, tmp_path: Path
) -> None:
    strategy, checkpoint = short(name), tmp_path / "run.ckpt"

    def stop(moment: Moment) -> None:
        if moment.step == 7:  # after an odd step: the actor rests
            moment.save(checkpoint)
            raise KeyboardInterrupt

    whole = trained(strategy, logged, task)
    with pytest.raises(KeyboardInterrupt):
        trained(strategy, logged, task, on_step=stop)
    assert same(weights(trained(strategy, logged, task, resume=checkpoint)), weights(whole))


def test_without_weight_of_the_value_td3_bc_is_behaviour_cloning(task: PointMass, logged: Batch) -> None:
    cloned = weights(trained(short("bc"), logged, task))
    assert same(weights(trained(short("td3_bc", alpha=0.0, delay=1), logged, task)), cloned)
    assert same(weights(trained(short("mcep", evaluation_alpha=0.0, delay=1), logged, task)), cloned)
    assert not same(weights(trained(short("td3_bc", alpha=2.5, delay=1), logged, task)), cloned)


def test_the_gradient_of_the_actor_nears_that_of_cloning_as_alpha_falls(logged: Batch) -> None:
    agent, steps = ActorCritic(PolicyMLP(width=16), 16), Transitions.of(logged)

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat([one.flatten() for one in torch.autograd.grad(loss, list(agent.policy.parameters()))])

    cloned = gradient(cloning(agent.policy(steps.observation), steps.action))
    apart = [
        float((gradient(TD3BC().actor_loss(agent, agent.policy, steps, alpha)) - cloned).norm())
        for alpha in (1.0, 0.1, 0.01)
    ]
    assert apart[0] == pytest.approx(10 * apart[1], rel=1e-2) == pytest.approx(100 * apart[2], rel=1e-1)


def test_the_weight_of_the_value_is_alpha_over_its_mean_size_and_no_gradient_passes_through_it() -> None:
    values, action = torch.tensor([[1.0], [-3.0]], requires_grad=True), torch.zeros(2, 1)
    loss = constrained(values, action, action, alpha=2.5)
    loss.backward()
    assert loss.item() == pytest.approx(-2.5 / 2 * -1)
    torch.testing.assert_close(values.grad, torch.full((2, 1), -2.5 / 2 / 2))


class Said(nn.Module):
    """Critics that say two numbers whatever they are asked."""

    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.both = first, second

    def forward(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        one, two = (torch.full((len(observation), 1), value) for value in self.both)
        return one, two


@pytest.mark.parametrize("both", [(1.0, 3.0), (3.0, 1.0)])
def test_the_target_is_the_reward_and_the_smaller_value_unless_the_episode_ended(
    both: tuple[float, float], logged: Batch
) -> None:
    agent, steps = ActorCritic(PolicyMLP(width=16), 16), Transitions.of(logged)
    agent.slow_critic = Said(*both)
    steps = replace(steps, terminal=(torch.arange(len(steps.reward))[:, None] % 2).float())
    target = TD3BC(discount=0.5).target(agent, steps)
    torch.testing.assert_close(target, steps.reward + 0.5 * (1 - steps.terminal))


def test_the_slow_policy_is_asked_with_clipped_noise_and_within_the_bounds(logged: Batch) -> None:
    agent, steps, asked = ActorCritic(PolicyMLP(width=16), 16), Transitions.of(logged), []
    agent.slow_critic.register_forward_pre_hook(lambda _, args: asked.append(args[1]))
    TD3BC(noise=5.0, clip=0.3).target(agent, steps)
    answer = agent.slow_policy(steps.following)
    moved = asked[0] - answer
    assert moved.abs().max() <= 0.3 + 1e-6
    assert ((moved.abs() - 0.3).abs() < 1e-6).float().mean() > 0.9, "noise of 5 is nearly always clipped"
    asked.clear()
    TD3BC(noise=5.0, clip=3.0).target(agent, steps)
    assert asked[0].abs().max() == 1, "and no action is beyond what can be done"
    asked.clear()
    TD3BC(noise=0.0).target(agent, steps)
    assert torch.equal(asked[0], answer)


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_actor_and_slow_copies_move_every_so_many_steps_and_the_critics_always(
    delay: int, task: PointMass, logged: Batch
) -> None:
    seen = followed(short("td3_bc", delay=delay), logged, task)
    for step, (before, after) in enumerate(pairwise(seen), start=1):
        assert not same(of(before, "critic"), of(after, "critic"))
        for part in ("policy", "slow_policy", "slow_critic"):
            assert same(of(before, part), of(after, part)) == bool(step % delay), (part, step)


def test_slow_copies_go_a_share_of_the_way(task: PointMass, logged: Batch) -> None:
    before, after = followed(short("td3_bc", delay=1, rate=0.25), logged, task)[:2]
    for part in ("policy", "critic"):
        for name, weight in of(after, part).items():
            torch.testing.assert_close(after[f"slow_{name}"], 0.75 * before[f"slow_{name}"] + 0.25 * weight)


def test_the_critics_know_nothing_of_the_evaluation_policy(task: PointMass, logged: Batch) -> None:
    with_it, without = (followed(short(name), logged, task) for name in ("mcep", "td3_bc"))
    for one, two in zip(with_it, without, strict=True):
        for part in ("critic", "slow_critic", "policy", "slow_policy"):
            assert same(of(one, part), of(two, part)), part
    assert not same(
        {name.removeprefix("evaluation."): w for name, w in of(with_it[-1], "evaluation").items()},
        {name.removeprefix("policy."): w for name, w in of(with_it[-1], "policy").items()},
    )


def test_equal_constraints_make_the_evaluation_policy_its_target_policy(task: PointMass, logged: Batch) -> None:
    played = trained(short("mcep", alpha=2.5, evaluation_alpha=2.5), logged, task)
    assert same(weights(played), weights(trained(short("td3_bc", alpha=2.5), logged, task)))


@pytest.mark.parametrize("name", OFFLINE)
def test_a_task_without_episodes_or_logs_is_told(name: str, task: PointMass, logged: Batch) -> None:
    from outfield.tasks.classify import Classify

    with pytest.raises(UserError, match="none of learn"):
        trained(short(name), replace(logged, streams={}), task)
    with pytest.raises(UserError, match="learn"):
        trained(short(name), Batch(torch.zeros(8, 4), torch.arange(8) % 2), Classify(classes=2))  # type: ignore[arg-type]


def test_a_strategy_that_reads_no_logs_is_told(task: PointMass, logged: Batch) -> None:
    with pytest.raises(UserError, match="Choose one that does: bc, td3_bc or mcep"):
        trained(create("strategies", "adamw", epochs=1), logged, task)


def test_logs_that_are_no_transitions_are_told(logged: Batch) -> None:
    learn = logged.streams["learn"]
    with pytest.raises(UserError, match=r"actions \+ o \+ 2"):
        Transitions.of(replace(logged, streams={"learn": replace(learn, y=learn.targets[:, :3])}))
