"""A linear probe learns the last layer alone, on features that are read once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.strategies import train
from outfield.strategies.linear_probe import LinearProbe
from outfield.tasks.classify import Classify
from outfield.testing.strategies import rows
from outfield.types import Batch


class Body(nn.Module):
    """A network with dropout and batch statistics, which counts the rows that pass it."""

    passed = 0

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        Body.passed += len(x)
        logits: Tensor = self.head(self.body(x))
        return logits


def begun() -> Body:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Body()


def probed(data: Batch, **options: float) -> nn.Module:
    strategy = LinearProbe(batch_size=8, epochs=30, **options)  # type: ignore[arg-type]
    return train(strategy, begun, data, Classify(classes=3), seed=0)


def test_the_body_stays_bit_by_bit_and_the_head_is_learned() -> None:
    before, after = begun().state_dict(), probed(rows(60)).state_dict()
    assert before.keys() == after.keys()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert before.keys() - same == {"head.weight", "head.bias"}


def test_the_training_set_passes_the_network_once() -> None:
    data = rows(60)
    Body.passed = 0
    probed(data)
    assert Body.passed == len(data)


def test_the_head_is_that_of_the_same_steps_on_the_features_themselves() -> None:
    data, network = rows(64), begun().eval()
    with torch.no_grad():
        features = network.body(data.x)
    head = nn.Linear(16, 3)
    head.load_state_dict(network.head.state_dict())
    strategy = LinearProbe(batch_size=8, epochs=30)
    steps = strategy.total_steps(len(data))
    descent = torch.optim.AdamW(head.parameters(), lr=strategy.learning_rate, weight_decay=strategy.weight_decay)
    for step in range(steps):
        epoch, place = divmod(step, 8)
        order = torch.randperm(64, generator=torch.Generator().manual_seed(epoch))[place * 8 :][:8]
        descent.param_groups[0]["lr"] = strategy.learning_rate * strategy.schedule(step, steps)
        descent.zero_grad()
        nn.functional.cross_entropy(head(features[order]), data.targets[order]).backward()
        descent.step()
    torch.testing.assert_close(probed(data).get_parameter("head.weight"), head.weight, atol=1e-5, rtol=0)


def test_a_head_that_reads_every_place_is_refused() -> None:
    network = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Linear(4, 3))
    data = Batch(torch.zeros(6, 1, 6), torch.arange(6) % 3)
    with pytest.raises(UserError, match="one row of features an item"):
        train(LinearProbe(), lambda: network, data, Classify(classes=3), seed=0)
