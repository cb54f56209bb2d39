"""What every network keeps, found by name."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
import torch
from torch import nn

from outfield.errors import UserError
from outfield.models.networks._weight_names import renamed, under_own_names
from outfield.models.pair_models import PairModel
from outfield.models.torch import load_into
from outfield.registry import create, find, names
from tests.contracts import frameworks

NETWORKS = [name for name in names("networks") if not issubclass(find("networks", name), PairModel)]
"""Those that read pictures."""


def made(name: str, **params: Any) -> nn.Module:
    """For pictures of 16 pixels a side, where the network has to know."""
    side = {"side": 16} if "side" in inspect.signature(find("networks", name)).parameters else {}
    return create("networks", name, **params, **side)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_come_from_a_linear_head_named_head(name: str, channels: int) -> None:
    network = made(name, classes=5, channels=channels)
    seen = []
    network.head.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    logits = network.eval()(torch.rand(3, channels, 16, 16))
    assert isinstance(network.head, nn.Linear)
    assert logits.shape == (3, 5) and logits.isfinite().all()
    assert torch.equal(seen[0][1], logits)
    rectified = any(isinstance(module, nn.ReLU) for module in network.modules())
    assert not rectified or (seen[0][0] >= 0).all(), "features that follow a ReLU"


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_plain_json(name: str) -> None:
    defaults = [p.default for p in inspect.signature(find("networks", name)).parameters.values() if p.name != "classes"]
    assert json.loads(json.dumps(defaults)) == defaults


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_random_state_gives_equal_weights(name: str) -> None:
    def weights() -> dict[str, torch.Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return dict(made(name, classes=2, channels=1).state_dict())

    one, two = weights(), weights()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_picture_is_judged_alone(name: str) -> None:
    network = made(name, classes=4, channels=1).eval()
    x = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(network(x)[1:2], network(x[1:2]))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns(name: str) -> None:
    network = made(name, classes=3, channels=1)
    network(torch.rand(8, 1, 16, 16)).logsumexp(1).sum().backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None] == []


def test_a_depth_that_no_residual_network_has_is_refused() -> None:
    with pytest.raises(UserError, match="6 n"):
        create("networks", "resnet_cifar", classes=10, depth=18)


@pytest.mark.parametrize("name", NETWORKS)
def test_published_names_leave_our_own_as_they_are(name: str) -> None:
    names = made(name, classes=3, channels=1).state_dict()
    assert renamed(names, getattr(find("networks", name), "published", {})) == names


def test_the_published_names_of_resnet50_fit() -> None:
    timm = frameworks.vision()
    published = timm.create_model("resnet50", num_classes=7).state_dict()
    network = create("networks", "resnet_imagenet", classes=7)
    load_into(network, under_own_names(network, published))
    x = torch.rand(1, 3, 64, 64)
    reference = timm.create_model("resnet50", num_classes=7).eval()
    reference.load_state_dict(published)
    torch.testing.assert_close(network.eval()(x), reference(x))
