"""The information-theoretic measures: their identities, and what they tell of errors and of unknown digits."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor, nn

from outfield.data.base import Dataset
from outfield.data.sources.digits import Digits
from outfield.detectors.uncertainty import PredictiveUncertainty, measured
from outfield.errors import UserError
from outfield.features.cache import InMemory
from outfield.features.extract import extract
from outfield.features.probes.passes import Passes
from outfield.metrics.auroc import Auroc
from outfield.metrics.auroc_correct_vs_incorrect import AurocCorrectVsIncorrect
from outfield.models.base import Model, lacking
from outfield.models.ensemble import Ensemble
from outfield.models.torch import TorchModel
from outfield.types import Outputs

KINDS = ("single", "mean", "each")
PAIRS: list[Any] = list(product(KINDS, KINDS))
LOGITS = torch.randn(7, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2


def distributions(kind: str) -> np.ndarray:
    p = softmax(LOGITS.numpy(), axis=2)
    return {"single": p[:, :1], "mean": p.mean(1, keepdims=True), "each": p}[kind]


@pytest.mark.parametrize(("predicting", "truth"), PAIRS)
def test_each_measure_is_its_definition_and_total_is_the_sum(predicting: Any, truth: Any) -> None:
    ours = measured(LOGITS, predicting, truth)
    p, q = distributions(predicting), distributions(truth)
    for i in range(len(LOGITS)):
        pairs = list(product(p[i], q[i]))
        expected = {
            "total": np.mean([-(a * np.log(b)).sum() for a, b in pairs]),
            "aleatoric": np.mean([entropy(a) for a in p[i]]),
            "epistemic": np.mean([entropy(a, b) for a, b in pairs]),
        }
        for part, value in expected.items():
            assert float(ours[part][i]) == pytest.approx(value, abs=1e-10)  # type: ignore[index]
    torch.testing.assert_close(ours["total"], ours["aleatoric"] + ours["epistemic"], rtol=0, atol=1e-10)


def test_expected_pairwise_divergence_is_mutual_information_and_its_reverse() -> None:
    parts = [measured(LOGITS, *pair)["epistemic"] for pair in (("each", "each"), ("each", "mean"), ("mean", "each"))]
    torch.testing.assert_close(parts[0], parts[1] + parts[2], rtol=0, atol=1e-10)
    assert all((part > 1e-3).all() for part in parts)


@pytest.mark.parametrize(("predicting", "truth"), PAIRS)
def test_members_that_agree_are_certain_of_the_model(predicting: Any, truth: Any) -> None:
    found = measured(LOGITS[:, :1].expand(-1, 5, -1), predicting, truth)
    assert found["epistemic"].max() < 1e-12 and found["aleatoric"].min() > 0


def test_surest_members_that_disagree_give_finite_measures() -> None:
    logits = 1e4 * torch.stack([torch.eye(3), torch.eye(3).flip(0)], dim=1)
    for predicting, truth in PAIRS:
        assert all(part.isfinite().all() for part in measured(logits, predicting, truth).values())


def test_other_kinds_are_refused() -> None:
    with pytest.raises(UserError, match="predicting of Predictive uncertainty among single, mean, each, but got 'all'"):
        PredictiveUncertainty(predicting="all")  # type: ignore[arg-type]
    assert lacking(_Offers("logits", "features"), PredictiveUncertainty().fits_with) == ("a linear head",)  # type: ignore[arg-type]
    assert not lacking(_Offers("logits", "features"), PredictiveUncertainty(source="model").fits_with)  # type: ignore[arg-type]


class _Offers:
    def __init__(self, *offers: str) -> None:
        self.offers = frozenset(offers)


def net(dropout: float) -> nn.Module:
    layers = [nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(64, 8))


def trained(x: Tensor, y: Tensor, data: Dataset, seed: int, dropout: float) -> TorchModel:
    torch.manual_seed(seed)
    module = net(dropout)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.003)
    for _ in range(80):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimiser.step()
    return TorchModel(module.eval(), data.read(slice(0, 2)), name=f"net {seed}")


@pytest.fixture(scope="module")
def digits() -> dict[str, Dataset]:
    known = {part: Digits(classes=tuple(range(8)), part=part, side=8).load() for part in ("fit", "test")}
    return {**known, "unknown": Digits(classes=(8, 9), part="all", side=8).load()}


@pytest.fixture(scope="module")
def models(digits: dict[str, Dataset]) -> dict[str, Model]:
    """Trained on 150 digits alone, so that there are errors to find."""
    fit = digits["fit"]
    bare = TorchModel(net(0.0), fit.read(slice(0, 2)))
    x, y = bare.prepare(fit.read(slice(0, 150))), torch.from_numpy(fit.labels[:150])
    members = [trained(x, y, fit, seed, 0.0) for seed in range(5)]
    return {"ensemble": Ensemble(members), "dropout": trained(x, y, fit, 9, 0.4)}


def aurocs(model: Model, digits: dict[str, Dataset]) -> dict[tuple[str, str, str], tuple[float, float]]:
    """AUROC of errors and of unknown digits for each of the measures."""
    detector = PredictiveUncertainty(source="model", samples=20)
    sets = {
        name: extract(model, digits[name], InMemory(), probes=detector.probes()).rows(slice(None))
        for name in ("test", "unknown")
    }
    right = (sets["test"].logits.argmax(1) == sets["test"].labels).numpy()
    assert 10 <= (~right).sum() <= 80
    found = {}
    for predicting, truth in PAIRS:
        for part in ("total", "aleatoric", "epistemic"):
            one = PredictiveUncertainty(predicting, truth, part, "model", 20)  # type: ignore[arg-type]
            known, unknown = (one.score(out, {}).numpy() for out in sets.values())
            found[predicting, truth, part] = (
                AurocCorrectVsIncorrect()(known, right).value,
                Auroc()(known, unknown).value,
            )
    return found


@pytest.mark.parametrize("kind", ["ensemble", "dropout"])
def test_the_best_measure_finds_errors_and_all_find_unknown_digits(
    kind: str, models: dict[str, Model], digits: dict[str, Dataset]
) -> None:
    found = aurocs(models[kind], digits)
    assert max(errors for errors, _ in found.values()) >= 0.85
    total, epistemic = found["each", "mean", "total"][1], found["each", "mean", "epistemic"][1]
    assert min(total, epistemic) > 0.7


def test_an_ensemble_is_a_model_of_its_members(models: dict[str, Model], digits: dict[str, Dataset]) -> None:
    model = models["ensemble"]
    assert isinstance(model, Model) and model.offers == {"logits", "features", "gradients"} and model.head is None
    x = model.prepare(digits["test"].read(slice(0, 6)))
    with model.evaluating(), torch.no_grad():
        out = model.forward(x)
        apart = [member.forward(x) for member in model.members]  # type: ignore[attr-defined]
    mean = torch.stack([one.logits.softmax(1) for one in apart]).mean(0)
    torch.testing.assert_close(out.logits.exp(), mean)
    assert out.features.shape == (6, 5 * 64)
    probe = Passes(source="model")
    torch.testing.assert_close(probe(model, x, out)[probe.key][:, 2], apart[2].logits)
    assert len({model.digest(), Ensemble(model.members[:3]).digest(), Ensemble(model.members[::-1]).digest()}) == 3  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="at least two members"):
        Ensemble(model.members[:1])  # type: ignore[attr-defined]


def test_a_dropout_pass_is_one_network_for_all_rows(models: dict[str, Model], digits: dict[str, Dataset]) -> None:
    model, probe = models["dropout"], Passes(source="model", samples=6, seed=3)
    x = model.prepare(digits["test"].read(slice(0, 9)))
    with model.evaluating():
        together = probe(model, x, Outputs())[probe.key]
        alone = torch.cat([probe(model, row, Outputs())[probe.key] for row in x.split(1)])
        plain = model.forward(x).logits
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-4)
    assert together.std(1).min() > 0 and not torch.equal(plain, together[:, 0])
    assert not any(layer._forward_hooks for layer in model.module.modules())  # type: ignore[attr-defined]


def test_a_dropout_pass_drops_what_its_rate_says() -> None:
    layer = nn.Dropout2d(0.25)
    module = nn.Sequential(nn.Conv2d(1, 400, 1), layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(400, 2)).eval()
    model = TorchModel(module, np.zeros((1, 4, 4, 1), np.uint8))
    seen: list[Tensor] = []
    module[2].register_forward_hook(lambda _, args, __: seen.append(args[0]))
    Passes(source="model", samples=1)(model, torch.rand(3, 1, 4, 4), Outputs())
    dropped = (seen[-1] == 0).flatten(2)
    assert torch.equal(dropped.all(2), dropped.any(2)), "whole channels"
    assert torch.equal(dropped[0], dropped[1]) and 0.18 < float(dropped.float().mean()) < 0.32
