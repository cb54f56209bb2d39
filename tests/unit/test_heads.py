"""The head is found wherever it is, and only where it makes the logits from the features."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.models.torch import TorchModel

PICTURES = np.random.default_rng(0).random((5, 8, 8, 3), dtype=np.float32)


class Net(nn.Module):
    """A convolution, and an end that the test chooses."""

    def __init__(self, end: Callable[[nn.Module, Tensor], Any], **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(6, 6, 3), nn.ReLU())
        self.end = end
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.end(self, self.body(self.stem(x)))


def pooled(maps: Tensor) -> Tensor:
    return maps.mean((2, 3))


def conv(size: int = 1, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(6, 4, size, **options)


TIED = nn.Embedding(4, 6)
SHARED = nn.Linear(6, 6)
FOUND: dict[str, tuple[Net, str, str]] = {
    "linear": (Net(lambda net, x: net.fc(pooled(x)), fc=nn.Linear(6, 4)), "fc", "as it is"),
    "no bias": (Net(lambda net, x: net.fc(pooled(x)), fc=nn.Linear(6, 4, bias=False)), "fc", "as it is"),
    "flattened maps": (Net(lambda net, x: net.fc(x.flatten(1)), fc=nn.Linear(96, 4)), "fc", "as it is"),
    "several layers": (
        Net(lambda net, x: net.mlp(pooled(x)), mlp=nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4))),
        "mlp.2",
        "as it is",
    ),
    "1x1 convolution after pooling": (
        Net(lambda net, x: net.conv(functional.adaptive_avg_pool2d(x, 1)).flatten(1), conv=conv()),
        "conv",
        "flattened",
    ),
    "1x1 convolution before pooling": (Net(lambda net, x: pooled(net.conv(x)), conv=conv()), "conv", "channel means"),
    "convolution over the whole map": (Net(lambda net, x: net.conv(x).flatten(1), conv=conv(4)), "conv", "flattened"),
    "linear on channels last, then pooled": (
        Net(lambda net, x: net.fc(x.permute(0, 2, 3, 1)).mean((1, 2)), fc=nn.Linear(6, 4)),
        "fc",
        "token means",
    ),
    "one token of many": (
        Net(lambda net, x: net.fc(x.flatten(2).transpose(1, 2))[:, -1], fc=nn.Linear(6, 4)),
        "fc",
        "one token",
    ),
    "weights used through a function": (
        Net(lambda net, x: functional.linear(pooled(x), net.weight), weight=nn.Parameter(torch.randn(4, 6))),
        "weight",
        "as it is",
    ),
    "a layer's weights used through a function": (
        Net(lambda net, x: functional.linear(pooled(x), net.fc.weight, net.fc.bias), fc=nn.Linear(6, 4)),
        "fc.weight",
        "as it is",
    ),
    "tied to an embedding": (
        Net(lambda net, x: functional.linear(pooled(x), net.table.weight), table=TIED),
        "table.weight",
        "as it is",
    ),
    "weight norm": (
        Net(lambda net, x: net.fc(pooled(x)), fc=nn.utils.parametrizations.weight_norm(nn.Linear(6, 4))),
        "fc",
        "as it is",
    ),
    "an object": (Net(lambda net, x: SimpleNamespace(logits=net.fc(pooled(x))), fc=nn.Linear(6, 4)), "fc", "as it is"),
    "a mapping": (Net(lambda net, x: {"aux": x, "logits": net.fc(pooled(x))}, fc=nn.Linear(6, 4)), "fc", "as it is"),
    "a tuple": (Net(lambda net, x: (net.fc(pooled(x)), x), fc=nn.Linear(6, 4)), "fc", "as it is"),
}


def randomised(net: Net) -> Net:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for weight in net.parameters():
            weight.copy_(torch.randn_like(weight))
    return net


@pytest.mark.parametrize("what", FOUND)
def test_it_is_found(what: str) -> None:
    net, name, pool = FOUND[what]
    model = TorchModel(randomised(net), PICTURES)
    assert model.site is not None and (model.site.name, model.site.pool) == (name, pool)
    out = model.forward(model.prepare(PICTURES[::-1]))
    torch.testing.assert_close(out.head(out.features), out.logits, rtol=1e-4, atol=1e-4)
    assert out.head.weight.shape == (4, out.features.shape[1])
    assert name in repr(model) and "no linear head" not in repr(model)


LEFT_OUT = {
    "softmax": Net(lambda net, x: net.fc(pooled(x)).softmax(1), fc=nn.Linear(6, 4)),
    "scaled logits": Net(lambda net, x: 3 * net.fc(pooled(x)), fc=nn.Linear(6, 4)),
    "a relu between convolution and pooling": Net(lambda net, x: pooled(net.conv(x).relu()), conv=conv()),
    "grouped convolution": Net(lambda net, x: pooled(net.conv(x)), conv=nn.Conv2d(6, 4, 1, groups=2)),
    "maximum over places": Net(lambda net, x: net.conv(x).amax((2, 3)), conv=conv()),
    "cosine": Net(
        lambda net, x: functional.linear(functional.normalize(pooled(x)), functional.normalize(net.weight)),
        weight=nn.Parameter(torch.randn(4, 6)),
    ),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_is_no_linear_head_is_not_taken_for_one(what: str) -> None:
    model = TorchModel(randomised(LEFT_OUT[what]), PICTURES)
    assert model.head is None and model.offers == {"logits", "layers", "gradients", "pictures"}
    assert "no linear head" in repr(model)
    assert not model.forward(model.prepare(PICTURES)).has("features")


def test_features_of_a_named_layer_serve_where_there_is_no_head() -> None:
    model = TorchModel(randomised(LEFT_OUT["softmax"]), PICTURES, features="body")
    out = model.forward(model.prepare(PICTURES))
    assert out.features.shape == (5, 6) and not out.has("head") and "features" in model.offers
    assert "features of 'body'" in repr(model)


def test_zero_logits_of_two_heads_decide_nothing() -> None:
    heads = {"first": nn.Linear(6, 4), "second": nn.Linear(6, 4)}
    net = Net(lambda net, x: (net.first(pooled(x)) + net.second(pooled(x))) / 2, **heads)
    for head in heads.values():
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    assert TorchModel(net, PICTURES).head is None


def test_maps_of_attention_are_no_layers() -> None:
    encoder = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    net = Net(
        lambda net, x: net.fc(net.encoder(x.flatten(2).transpose(1, 2)).mean(1)), encoder=encoder, fc=nn.Linear(6, 4)
    )
    assert TorchModel(net, PICTURES).layers == ("stem", "body")


class Twice(nn.Module):
    """A linear layer that is used twice; the second use makes the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.fc(x.flatten(1)[:, :4]).relu())
        return logits


def test_a_layer_used_twice_gives_the_features_of_the_right_use() -> None:
    model = TorchModel(Twice(), PICTURES)
    assert model.site is not None and model.site.call == 1
    out = model.forward(model.prepare(PICTURES))
    torch.testing.assert_close(out.head(out.features), out.logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    model = TorchModel(randomised(FOUND["linear"][0]).to(dtype), PICTURES)
    out = model.forward(model.prepare(PICTURES))
    assert model.site is not None and out.logits.dtype == out.features.dtype == torch.float32
    before = model.digest()
    with torch.no_grad():
        model.module.fc.bias[0] = 1.5
    assert model.digest() != before
    FOUND["linear"][0].float()


def test_wrappers_are_taken_off() -> None:
    net = randomised(FOUND["linear"][0])
    plain = TorchModel(net, PICTURES)
    parallel = TorchModel(nn.DataParallel(net), PICTURES)
    assert parallel.digest() == plain.digest() and parallel.site == plain.site


def test_named_heads_are_checked() -> None:
    net = randomised(FOUND["several layers"][0])
    assert TorchModel(net, PICTURES, head="mlp.2").site == TorchModel(net, PICTURES).site
    with pytest.raises(UserError, match=r"has no 'fc'. Linear layers with 4 outputs: mlp.0, mlp.2"):
        TorchModel(net, PICTURES, head="fc")
    with pytest.raises(UserError, match=r"that of 'mlp.0' differs by up to"):
        TorchModel(net, PICTURES, head="mlp.0")
    with pytest.raises(UserError, match=r"'stem.1' \(ReLU\) is none"):
        TorchModel(net, PICTURES, head="stem.1")


def test_layers_are_blocks_and_can_be_named() -> None:
    net = FOUND["linear"][0]
    assert TorchModel(net, PICTURES).layers == ("stem", "body")
    chosen = TorchModel(net, PICTURES, layers=["body.0"])
    assert chosen.forward(chosen.prepare(PICTURES), ["body.0"]).layers["body.0"].shape == (5, 6, 4, 4)
    with pytest.raises(UserError, match="no tail"):
        TorchModel(net, PICTURES, layers=["tail"])
    with pytest.raises(UserError, match="no tail"):
        TorchModel(net, PICTURES, features="tail")


def test_hooks_are_gone_after_an_error() -> None:
    net = FOUND["linear"][0]
    model = TorchModel(net, PICTURES)
    with pytest.raises(UserError):
        model.forward(torch.zeros(2, 1, 8, 8), model.layers)
    with pytest.raises(UserError):
        TorchModel(net, PICTURES[..., :1])
    assert not any(layer._forward_hooks for layer in net.modules())


def test_buffers_count_in_the_key() -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192), nn.Linear(192, 3))
    net.register_buffer("shift", torch.zeros(1), persistent=False)
    model = TorchModel(net, PICTURES)
    keys = [model.digest()]
    net[1].running_mean.add_(1)
    keys.append(model.digest())
    net.shift.add_(1)
    keys.append(model.digest())
    assert len(set(keys)) == 3


def made(forward: str) -> nn.Module:
    """A module of a class that no file holds, as in a notebook."""
    space: dict[str, Any] = {"nn": nn, "__name__": "notebook"}
    exec(f"class Made(nn.Sequential):\n    def forward(self, x): return {forward}", space)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return space["Made"](nn.Flatten(), nn.Linear(192, 3))


def test_another_forward_is_another_key() -> None:
    keys = [TorchModel(made(code), PICTURES).digest() for code in ("self[1](self[0](x))", "-self[1](self[0](x))")]
    assert keys[0] != keys[1]
    assert keys[0] == TorchModel(made("self[1](self[0](x))"), PICTURES).digest()
