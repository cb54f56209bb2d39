"""Our own networks keep their contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from outfield.errors import UserError
from outfield.models.networks._weight_names import under_own_names
from outfield.models.pair_models import PairModel
from outfield.models.torch import load_into
from outfield.registry import create, find, own
from outfield.testing.networks import CHECKS, Built, of
from tests.contracts import frameworks


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [one for one in own("networks") if not issubclass(find("networks", one), PairModel)])
def test_contract(name: str, check: Callable[[Built], None]) -> None:
    for built in of(find("networks", name)):
        check(built)


def test_a_depth_that_no_residual_network_has_is_refused() -> None:
    with pytest.raises(UserError, match="6 n"):
        create("networks", "resnet_cifar", classes=10, depth=18)


def test_the_published_names_of_resnet50_fit() -> None:
    timm = frameworks.vision()
    published = timm.create_model("resnet50", num_classes=7).state_dict()
    network = create("networks", "resnet_imagenet", classes=7)
    load_into(network, under_own_names(network, published))
    x = torch.rand(1, 3, 64, 64)
    reference = timm.create_model("resnet50", num_classes=7).eval()
    reference.load_state_dict(published)
    torch.testing.assert_close(network.eval()(x), reference(x))
