"""The world, its episodes, and policies that play them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.registry import create, names
from outfield.types import Batch
from outfield_control.environment import PointMassEnv
from outfield_control.networks.policy_mlp import PolicyMLP
from outfield_control.play import play
from outfield_control.policy_model import PolicyModel
from outfield_control.sources.point_mass_episodes import PointMassEpisodes
from outfield_control.sources.point_mass_logs import PointMassLogs
from outfield_control.tasks.point_mass import PointMass
from outfield_control.world import HORIZON, Bodies, gusts


class Spring(nn.Module):
    """A policy by hand: it pushes towards the origin."""

    observations, actions = 4, 2

    def hidden(self, observation: Tensor) -> Tensor:
        return observation

    def act(self, hidden: Tensor) -> Tensor:
        return (-2 * hidden[:, :2] - 2 * hidden[:, 2:]).clamp(-1, 1)


def episodes(count: int = 6, **world: float) -> Tensor:
    return torch.from_numpy(PointMassEpisodes(count, **world).load().read(slice(None)))


def by_hand(row: np.ndarray) -> float:
    """The return of the spring in plain numbers, a step after the other."""
    x, y, vx, vy, wx, wy, gravity, mass, seed = map(float, row)
    total = 0.0
    for gx, gy in np.random.default_rng(int(seed)).standard_normal((HORIZON, 2)):
        ux, uy = (min(1.0, max(-1.0, -2 * place - 2 * speed)) for place, speed in ((x, vx), (y, vy)))
        vx += 0.1 * ((ux + wx + 0.1 * gx) / mass - 0.3 * vx)
        vy += 0.1 * ((uy + wy + 0.1 * gy) / mass - gravity - 0.3 * vy)
        x, y = x + 0.1 * vx, y + 0.1 * vy
        total -= (x * x + y * y) ** 0.5
    return total


@pytest.mark.parametrize("world", [{}, {"wind": 0.4}, {"gravity": 0.5}, {"mass": 3.0}])
def test_the_return_is_that_of_the_equations_in_plain_numbers(world: dict[str, float]) -> None:
    starts = episodes(**world)
    played = play(Spring(), starts).returns
    np.testing.assert_allclose(played.numpy(), [by_hand(row) for row in starts.double().numpy()], rtol=1e-4)


def test_gymnasium_plays_the_same_episodes_to_the_same_returns() -> None:
    starts, policy, world = episodes(wind=0.3), Spring(), PointMassEnv()
    found = []
    for row in starts:
        seen, _ = world.reset(options={"episode": row.numpy()})
        rewards, truncated = [], False
        while not truncated:
            push = policy.act(policy.hidden(torch.from_numpy(seen)[None]))[0].numpy()
            seen, reward, terminated, truncated, _ = world.step(push)
            rewards.append(reward)
        assert len(rewards) == HORIZON and not terminated
        found.append(sum(rewards))
    np.testing.assert_allclose(found, play(policy, starts).returns.numpy(), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*A Box observation space m.*value is.*infinity")
def test_gymnasium_finds_no_fault_in_the_environment() -> None:
    check_env(PointMassEnv(wind=0.1), skip_render_check=True)


def test_gymnasium_is_told_what_is_wrong() -> None:
    world = PointMassEnv()
    with pytest.raises(UserError, match=r"reset\(\)"):
        world.step(np.zeros(2, np.float32))
    with pytest.raises(UserError, match="9 numbers"):
        world.reset(options={"episode": [0.0, 1.0]})


def test_a_return_depends_on_the_episode_alone_and_not_on_those_beside_it() -> None:
    policy, starts = PolicyMLP(), episodes(40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together, apart = play(policy, starts), [play(policy, row[None]) for row in starts]
        shuffled = play(policy, starts[order])
    torch.testing.assert_close(shuffled.returns, together.returns[order])
    torch.testing.assert_close(torch.cat([one.returns for one in apart]), together.returns)
    torch.testing.assert_close(torch.cat([one.features for one in apart]), together.features)


def test_equal_seeds_give_equal_returns_and_other_seeds_other_gusts() -> None:
    starts = episodes(8)
    one, again = (play(Spring(), episodes(8)).returns for _ in range(2))
    starts[:, -1] += 1
    assert torch.equal(one, again)
    assert (play(Spring(), starts).returns != one).all()
    assert np.array_equal(gusts(np.array([5])), gusts(np.array([5])))


def test_a_shift_is_the_test_episodes_in_another_world(task: PointMass) -> None:
    sets = {member.name: member.data.read(slice(None)) for member in task.sets(seed=0)}
    for name in ("wind 0.1", "wind 0.2", "wind 0.4"):
        assert (sets[name][:, [0, 1, 2, 3, 6, 7, 8]] == sets["test"][:, [0, 1, 2, 3, 6, 7, 8]]).all()
        np.testing.assert_allclose(np.hypot(*sets[name][:, 4:6].T), float(name.removeprefix("wind ")), rtol=1e-6)


def test_no_episode_is_in_two_splits(task: PointMass) -> None:
    seeds = [set(m.data.read(slice(None))[:, -1]) for m in task.sets(0) if m.role in ("train", "val", "test")]
    assert sum(map(len, seeds)) == len(set().union(*seeds)) == 3 * task.episodes


def test_gradients_pass_through_the_world() -> None:
    policy = PolicyMLP(width=8)
    play(policy, episodes()).returns.mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in policy.parameters())


def test_the_logs_are_steps_of_the_world_by_two_policies() -> None:
    logs = PointMassLogs(episodes=20).load()
    seen, (action, reward, following, terminal) = logs.items, np.split(logs.targets, (2, 3, 7), axis=1)
    assert (seen[20:] == following[:-20]).all() and not terminal.any()
    np.testing.assert_allclose(reward[:, 0], -np.hypot(following[:, 0], following[:, 1]), rtol=1e-6)
    returns = reward.reshape(HORIZON, 20).sum(axis=0)
    assert returns[:10].mean() < returns[10:].mean() - 5, "the medium policy is better than the random one"
    pushes = action.reshape(HORIZON, 20, 2)
    assert abs(pushes[:, :10].std() - 3**-0.5) < 0.02, "even in [-1, 1]"


def test_a_policy_says_returns_and_its_mean_hidden_states(task: PointMass) -> None:
    policy, (test,) = PolicyMLP(), [member for member in task.sets(0) if member.role == "test"]
    model = task.model(policy, test.data.read(slice(0, 2)), name="mine", layers=None)
    assert isinstance(model, PolicyModel)
    with model.evaluating(), torch.inference_mode():
        out = model.forward(model.prepare(test.data.read(slice(None))))
    assert (out.predictions == task.merit(out)).all() and model.forwards == 64
    bodies, hidden = Bodies.at(torch.from_numpy(test.data.read(slice(None)))), []
    blown = torch.from_numpy(gusts(test.data.read(slice(None))[:, -1]))
    for step in range(HORIZON):
        hidden.append(policy.hidden(bodies.observation))
        bodies = bodies.pushed(policy(bodies.observation), blown[:, step])
    torch.testing.assert_close(out.features, torch.stack(hidden).mean(dim=0), check_device=False)


def test_the_key_of_a_policy_is_its_weights() -> None:
    one, two = PolicyMLP(), PolicyMLP()
    before = PolicyModel(one).digest()
    assert before != PolicyModel(two).digest()
    two.load_state_dict(one.state_dict())
    assert before == PolicyModel(two, name="another").digest()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: PointMass(winds=(0.0,)).sets(0).__next__(), "another|other than in training"),
        (lambda: PointMassEpisodes(mass=0.0).load(), "mass above 0"),
        (lambda: PointMassEpisodes(0).load(), "1 to 16,777,216 episodes"),
        (lambda: PointMassLogs(random=1.5).load(), "share from 0 to 1"),
        (lambda: PolicyModel(nn.Linear(4, 2)), "Expected a policy"),
        (lambda: PointMass().model(PolicyMLP(), None, layers=("trunk",)), "layers"),
        (lambda: PointMass(logs="logs").sets(0).__next__(), "streams.learn: expected a source"),
    ],
)
def test_a_mistake_is_told(wrong: object, told: str) -> None:
    assert callable(wrong)
    with pytest.raises(UserError, match=told):
        wrong()


def test_a_policy_of_other_sizes_is_told(task: PointMass, logged: Batch) -> None:
    with pytest.raises(UserError, match="4 observations and 2 actions"):
        task.check(logged, PolicyMLP(actions=3))


def test_every_plug_in_is_found_by_name() -> None:
    found = {
        "tasks": {"point_mass"},
        "sources": {"point_mass_episodes", "point_mass_logs"},
        "networks": {"policy_mlp"},
        "strategies": {"bc", "td3_bc", "mcep"},
    }
    for kind, wanted in found.items():
        assert wanted <= set(names(kind))
        for name in wanted:
            create(kind, name)
