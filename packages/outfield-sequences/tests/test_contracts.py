"""The plug-ins keep the contracts of outfield."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from outfield.data.base import Source
from outfield.testing import check_network, check_source, check_strategy, check_task, plugins_of
from outfield_sequences.networks.max_attention import MaxAttention
from outfield_sequences.networks.maze_cnn import MazeCNN
from outfield_sequences.networks.maze_transformer import MazeTransformer
from outfield_sequences.sources.mazes import Mazes
from outfield_sequences.sources.priorities import Priorities
from outfield_sequences.strategies.adaptive_temperature import AdaptiveTemperature
from outfield_sequences.tasks.max_retrieval import MaxRetrieval
from outfield_sequences.tasks.maze_step import MazeStep

SMALL = {
    "mazes": {"n": 12},
    "priorities": {"n": 12},
    "maze_step": {"train": 60, "test": 40, "side": 3, "sides": [4], "fewest": 1},
    "max_retrieval": {"train": 60, "test": 40, "entries": [32]},
}
APART = ("max_attention", "maze_cnn", "maze_transformer", "adaptive_temperature", "attention_entropy")
"""What reads other items than pictures, or a layer that outfield's own small network has not."""


@pytest.mark.parametrize("contract", plugins_of("outfield-sequences", SMALL, apart=APART), ids=str)
def test_contract(contract: Any) -> None:
    contract()


def test_mazes_as_tokens_keep_the_contracts() -> None:
    check_source(Mazes(n=12, form="tokens"))
    check_task(MazeStep(60, 40, side=3, sides=(4,), form="tokens", fewest=1))


@pytest.mark.parametrize(
    ("network", "source", "arguments"),
    [
        (MazeCNN, Mazes(n=6), {}),
        (MazeTransformer, Mazes(n=6, form="tokens"), {}),
        (MaxAttention, Priorities(n=6), {}),
        (MaxAttention, Priorities(n=6), {"temperature": "adaptive"}),
    ],
    ids=["maze_cnn", "maze_transformer", "max_attention", "max_attention, adaptive"],
)
def test_a_network_keeps_the_contract(network: type[nn.Module], source: Source, arguments: dict[str, Any]) -> None:
    items = torch.from_numpy(source.load().read(slice(0, 6)))
    x = items if items.ndim == 2 else items.permute(0, 3, 1, 2) / 255
    check_network(network, x, classes=10, **arguments)


def test_the_strategy_keeps_the_contract() -> None:
    task = MaxRetrieval(train=40)
    data = task.batch(next(task.wanted(seed=0)).load())
    strategy = AdaptiveTemperature(steps=3, batch_size=10)
    check_strategy(strategy, task=task, data=data, network=lambda: MaxAttention(classes=10, width=8))
