"""Weights between a start and an end, exact at both; averages over a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from outfield.keys import of_tensors
from outfield.registry import create
from outfield.strategies import train
from outfield.strategies._averages import beta_weights, between
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn

TASK = Classify(classes=3)


def trained(name: str, **params: float) -> torch.nn.Module:
    return train(create("strategies", name, **params), small_cnn, pictures(36), TASK, seed=0, epochs=1)


@pytest.mark.parametrize("name", ["wise_ft", "bang"])
def test_the_ends_are_the_start_and_the_fine_tuned_network(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = small_cnn()
    weights = {key: value for key, value in trained(name, share=0.0).state_dict().items() if "num_batches" not in key}
    for key, value in weights.items():
        assert torch.equal(value, start.state_dict()[key])
    if name == "wise_ft":
        assert of_tensors(trained(name, share=1.0).state_dict()) == of_tensors(trained("baseline").state_dict())


def test_without_smoothing_and_mixup_it_is_wise_ft() -> None:
    one, other = trained("bang", smoothing=0.0, alpha=0.0), trained("wise_ft")
    assert of_tensors(one.state_dict()) == of_tensors(other.state_dict())


def test_the_middle_is_the_mean() -> None:
    start, end = ({"w": torch.randn(3, 2), "count": torch.tensor(n)} for n in (1, 5))
    found = between(start, end, 0.5)
    assert torch.allclose(found["w"], (start["w"] + end["w"]) / 2) and found["count"] == 5


def test_beta_weights_sum_to_one_and_have_the_shape_of_a_u() -> None:
    weights = beta_weights(20, 0.5).numpy()
    assert weights.sum() == pytest.approx(1) and np.allclose(weights, weights[::-1])
    assert (np.diff(weights[:11]) < 0).all()
    assert np.allclose(beta_weights(20, 1.0), 1 / 21)
