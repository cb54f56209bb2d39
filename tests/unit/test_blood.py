"""BLOOD: its estimator against the exact Jacobian, and what smoothness tells of digits and of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from outfield.data.datasets import ArrayDataset
from outfield.data.sources.digits import Digits
from outfield.detectors._requirements import asks
from outfield.detectors.blood import BLOOD
from outfield.errors import UserError
from outfield.features.cache import InMemory
from outfield.features.extract import extract
from outfield.features.probes.blood import JacobianNorms
from outfield.metrics.auroc import Auroc
from outfield.models.torch import TorchModel
from outfield.types import Outputs


class _Branches:
    layers = ("a", "aside", "b")


class Residual(nn.Module):
    """A residual MLP: a stem, blocks that add to their input, a head."""

    def __init__(self, columns: int, classes: int, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.stem = nn.Linear(columns, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(x)
        return out


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inside(x)
        return out


class TinyTransformer(nn.Module):
    """Words of a fixed number in, logits of the mean token out."""

    def __init__(self, words: int, classes: int, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True) for _ in range(depth)
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.words(x) + self.places
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(x.mean(1))
        return out


LENGTH = 8


def numbers(items: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(items)).long()


def train(module: nn.Module, x: Tensor, y: Tensor, steps: int, rate: float = 0.003) -> None:
    optimiser = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=0.01)
    for _ in range(steps):
        rows = torch.arange(len(x)) if len(x) < 600 else torch.randperm(len(x))[:256]
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(x[rows]), y[rows]).backward()
        optimiser.step()
    module.eval()


def auroc(detector: BLOOD, model: TorchModel, known: ArrayDataset, unknown: ArrayDataset) -> float:
    """Through the whole extraction, nothing fitted."""
    found = []
    for data in (known, unknown):
        values = extract(model, data, InMemory(), probes=detector.probes())
        found.append(detector.score(values.keeping(("blood",)).rows(slice(None)), {}).numpy())
    return Auroc()(*found).value


def as_blocks(names: Sequence[str], depth: int) -> tuple[str, ...]:
    return (*names, *(f"blocks.{i}" for i in range(depth)))


def exact(block: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([torch.func.jacrev(block)(row[None]).square().sum() for row in x])


@pytest.fixture
def eight() -> tuple[TorchModel, Residual]:
    torch.manual_seed(0)
    net = Residual(columns=8, classes=3, width=8, depth=2)
    return TorchModel(net, np.zeros((1, 8), np.float32), layers=("stem", "blocks.0", "blocks.1")), net


def test_the_estimate_is_the_exact_norm(eight: tuple[TorchModel, Residual]) -> None:
    model, net = eight
    x = torch.randn(5, 8)
    layers = ("stem", "blocks.0", "blocks.1")
    first = model.forward(x, layers)
    probe = JacobianNorms(layers, projections=2000)
    norms = probe(model, x, first)[probe.key].mean(0)
    expected = torch.stack([exact(net.blocks[i], first.layers[layers[i]].detach()).mean() for i in range(2)])
    torch.testing.assert_close(norms, expected.detach(), rtol=0.03, atol=0)


def test_a_layer_that_changes_nothing_has_the_norm_of_its_width() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.Identity(), nn.Linear(8, 2))
    model = TorchModel(net, np.zeros((1, 8), np.float32), layers=("0", "1"))
    probe = JacobianNorms(("0", "1"), projections=4000)
    x = torch.randn(3, 8)
    torch.testing.assert_close(
        probe(model, x, model.forward(x, ("0", "1")))[probe.key], torch.full((3, 1), 8.0), rtol=0.03, atol=0
    )


def test_nothing_is_fitted_and_layers_are_all_that_is_asked_for() -> None:
    assert not BLOOD().fits_on and asks(BLOOD()) == {"blood", "layers"}
    norms = {BLOOD().probes()[0].key: torch.tensor([[1.0, 5.0]])}
    assert BLOOD().score(Outputs(layers=norms), {}).item() == 3
    assert BLOOD(of="last").score(Outputs(layers=norms), {}).item() == 5
    with pytest.raises(UserError, match="of 'mean' or 'last'"):
        BLOOD(of="first")  # type: ignore[arg-type]


def test_layers_that_do_not_follow_each_other_are_refused(eight: tuple[TorchModel, Residual]) -> None:
    model, _ = eight
    x = torch.randn(2, 8)
    with pytest.raises(UserError, match=r"blocks\.0 does not depend on blocks\.1"):
        JacobianNorms(("blocks.1", "blocks.0"))(model, x, model.forward(x, ("blocks.0", "blocks.1")))
    branched = Outputs(layers={"a": x.requires_grad_() * 1, "aside": x * 2, "b": x.sum(1, keepdim=True)})
    with pytest.raises(UserError, match="b does not depend on a"):
        JacobianNorms()(_Branches(), x, branched)  # type: ignore[arg-type]
    stem = x * 1
    branched = Outputs(layers={"a": stem, "aside": 2 * stem, "b": 3 * stem})
    (norms,) = JacobianNorms(projections=500)(_Branches(), x, branched).values()  # type: ignore[arg-type]
    torch.testing.assert_close(norms, torch.full((2, 1), 72.0), rtol=0.1, atol=0)
    with pytest.raises(UserError, match="at least two layers"):
        JacobianNorms(("stem",))(model, x, model.forward(x, ("stem",)))
    with pytest.raises(UserError, match="with a graph"), torch.no_grad():
        JacobianNorms(("stem", "blocks.0"))(model, x, model.forward(x, ("stem", "blocks.0")))


def test_held_out_digits_are_rough() -> None:
    torch.manual_seed(0)
    known = [Digits(classes=tuple(range(8)), part=part, side=8).load() for part in ("fit", "test")]
    unknown = Digits(classes=(8, 9), part="all", side=8).load()
    net = Residual(columns=64, classes=8)
    layers = as_blocks(("stem",), 4)
    model = TorchModel(net, known[0].read(slice(0, 2)), layers=layers)
    train(net, model.prepare(known[0].read(slice(None))), torch.from_numpy(known[0].labels), steps=300)
    assert auroc(BLOOD(layers=layers), model, known[1], unknown) >= 0.8


def sentences(rng: np.random.Generator, n: int, subjects: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Templates: five words of a subject's own ten among three of the twenty that all share."""
    labels = rng.integers(len(subjects), size=n)
    own = 20 + 10 * np.asarray(subjects)[labels][:, None] + rng.integers(10, size=(n, 5))
    words = np.concatenate([own, rng.integers(20, size=(n, 3))], axis=1)
    return rng.permuted(words, axis=1), labels


def test_texts_of_an_unknown_subject_are_rough() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = TinyTransformer(words=70, classes=4)
    layers = as_blocks((), 3)
    words, labels = sentences(rng, 1000, range(4))
    model = TorchModel(net, words[:2], preprocess=numbers, layers=layers)
    train(net, torch.from_numpy(words), torch.from_numpy(labels), steps=60)
    known, unknown = (ArrayDataset(sentences(rng, 120, subjects)[0]) for subjects in (range(4), [4]))
    assert auroc(BLOOD(layers=layers), model, known, unknown) >= 0.65
