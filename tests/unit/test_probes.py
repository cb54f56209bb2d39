"""Probes: what they ask of the model, against the same asked one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from outfield.errors import UserError
from outfield.features.probes.base import Probe
from outfield.registry import create, own
from outfield.testing.world import TinyModel, extract, world
from outfield.types import Outputs

PROBES = own("probes")
FEWER = {"rankfeat": {"blocks": 1}}
"""The network here gives one map."""


@pytest.fixture
def model() -> TinyModel:
    return world().model


@pytest.fixture
def x() -> Tensor:
    return world().test.x[:20]


def values(probe: Probe, model: TinyModel, x: Tensor) -> dict[str, Tensor]:
    return dict(extract(model, x, None, [probe]).layers)


@pytest.mark.parametrize("name", PROBES)
def test_values_are_rows_under_the_key(name: str, model: TinyModel, x: Tensor) -> None:
    probe = create("probes", name)
    for key, value in values(probe, model, x).items():
        assert key.startswith(probe.key)
        assert len(value) == len(x)
        assert value.is_floating_point()
        assert not value.requires_grad


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_says_how_often_it_goes_forward(name: str, model: TinyModel, x: Tensor) -> None:
    probe, before = create("probes", name, **FEWER.get(name, {})), model.forwards
    values(probe, model, x)
    assert model.forwards - before == 1 + probe.forwards
    assert probe.forwards <= probe.passes


@pytest.mark.parametrize("name", PROBES)
def test_a_row_alone_is_the_row_in_a_batch(name: str, model: TinyModel, x: Tensor) -> None:
    probe = create("probes", name)
    together = values(probe, model, x)
    for i in range(len(x)):
        for key, value in values(probe, model, x[i : i + 1]).items():
            torch.testing.assert_close(value[0], together[key][i], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PROBES)
def test_the_model_and_the_inputs_are_left_alone(name: str, model: TinyModel, x: Tensor) -> None:
    before, inputs = [p.clone() for p in model.parameters], x.clone()
    for parameter in model.parameters:
        parameter.grad = None
    values(create("probes", name), model, x)
    assert all(torch.equal(a, b) and a.grad is None for a, b in zip(model.parameters, before, strict=True))
    assert torch.equal(x, inputs)


@pytest.mark.parametrize("temperature", [1.0, 1000.0])
def test_odin_steps_against_the_sign_of_the_gradient(temperature: float, model: TinyModel, x: Tensor) -> None:
    probe = create("probes", "odin", temperature=temperature, epsilon=0.01)
    ours = values(probe, model, x)[probe.key]
    for i in range(len(x)):
        row = x[i : i + 1].clone().requires_grad_()
        logits = model.forward(row).logits
        torch.nn.functional.cross_entropy(logits.double() / temperature, logits.argmax(1)).backward()
        assert row.grad is not None
        stepped = row.detach() - 0.01 * row.grad.sign() / 0.5
        torch.testing.assert_close(ours[i], model.forward(stepped).logits[0].detach(), rtol=1e-4, atol=1e-4)


def test_odin_steps_though_the_model_is_sure() -> None:
    """In float32 the gradient of the cross-entropy underflows at a logit gap of 200; its sign must not."""
    model = TinyModel()
    with torch.no_grad():
        model.linear.weight.mul_(1e6)
    x = world().test.x[:5]
    probe = create("probes", "odin", temperature=1.0, epsilon=0.01)
    out = extract(model, x, None, [probe])
    assert (out.logits.sort(dim=1).values.diff(dim=1)[:, -1] > 200).all()
    assert (out.layers[probe.key] != out.logits).any(1).all()


def test_odin_takes_no_step_without_gradient(x: Tensor) -> None:
    model = TinyModel()
    with torch.no_grad():
        model.conv.weight.zero_()
    probe = create("probes", "odin")
    out = extract(model, x, None, [probe])
    assert torch.equal(out.layers[probe.key], out.logits)


def test_equal_gradients_are_computed_once(model: TinyModel, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **kwargs: (calls.append(1), grad(*args, **kwargs))[1])
    settings = [{"temperature": t, "epsilon": e} for t in (1.0, 10.0) for e in (0.0014, 0.0028)]
    probes = [create("probes", "odin", **setting) for setting in settings]
    model.forwards = 0
    extract(model, x, None, [*probes, create("probes", "adascale")])
    assert len(calls) == 3
    assert model.forwards == 1 + len(probes) + 1


def test_adascale_moves_the_least_important_inputs(model: TinyModel, x: Tensor) -> None:
    probe = create("probes", "adascale", share=0.25)
    ours = values(probe, model, x)[probe.key]
    for i in range(len(x)):
        row = x[i : i + 1].clone().requires_grad_()
        model.forward(row).logits.max().backward()
        assert row.grad is not None
        gradient = row.grad.flatten().numpy()
        least = np.argsort(np.abs(gradient), kind="stable")[:9]
        moved = row.detach().flatten().clone()
        moved[least] += 0.5 * torch.from_numpy(np.sign(gradient[least]))
        torch.testing.assert_close(
            ours[i], model.forward(moved.view_as(row)).features[0].detach(), rtol=1e-4, atol=1e-4
        )


def test_gram_is_the_row_sums_of_gram_matrices(model: TinyModel, x: Tensor) -> None:
    probe = create("probes", "gram", powers=3, layers=("conv",))
    (ours,) = values(probe, model, x).values()
    maps = model.forward(x, ("conv",)).layers["conv"].detach().double().flatten(2)
    expected = []
    for q in (1, 2, 3):
        sums = (maps**q @ (maps**q).transpose(1, 2)).sum(2)
        expected.append(sums.sign() * sums.abs() ** (1 / q))
    torch.testing.assert_close(ours, torch.cat(expected, 1).float())


def test_gram_holds_large_activations() -> None:
    probe = create("probes", "gram", powers=10, layers=("relu",))
    first = Outputs(logits=torch.zeros(1, 2), layers={"relu": torch.full((1, 2, 3), 1e4)})
    (sums,) = probe(TinyModel(), torch.zeros(1), first).values()
    assert torch.isfinite(sums).all()


def test_gram_takes_every_layer_by_default(model: TinyModel, x: Tensor) -> None:
    probe = create("probes", "gram", powers=2)
    assert {key.rpartition("/")[2]: value.shape[1] for key, value in values(probe, model, x).items()} == {
        "conv": 12,
        "hidden": 128,
    }


def test_an_absent_layer_is_named(model: TinyModel, x: Tensor) -> None:
    with pytest.raises(UserError, match="layers conv9.*conv, hidden"):
        values(create("probes", "gram", layers=("conv9",)), model, x)


def test_values_that_were_not_extracted_are_named() -> None:
    with pytest.raises(UserError, match=r"probe odin\(temperature=1000.0,epsilon=0.0014\)"):
        create("probes", "odin").values(Outputs(logits=torch.zeros(1, 2)))
