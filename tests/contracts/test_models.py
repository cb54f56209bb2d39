"""What every model adapter keeps, over five frameworks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from outfield.data.views import subset
from outfield.features.cache import Cache
from outfield.features.extract import Values, extract
from outfield.features.fit_data import FitData
from outfield.models.base import Model, lacking
from outfield.registry import create
from outfield.studies.scoring import score
from tests.contracts.frameworks import CASES, CLASSES, Case

pytestmark = pytest.mark.filterwarnings("ignore")  # of the frameworks, when they are imported


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return CASES[request.param](tmp_path_factory.mktemp("model"))


@pytest.fixture
def fresh(case: Case) -> Case:
    """The same case with a model of its own, to be changed."""
    return Case(case.reopen(), case.own, case.data, case.reopen, case.change, case.head)


def outputs(case: Case, rows: slice = slice(None)) -> Any:
    model = case.model
    with model.evaluating(), torch.inference_mode():
        return model.forward(model.prepare(case.data.read(rows)))


def everything(model: Model, case: Case, folder: Path, detectors: tuple[str, ...]) -> dict[str, np.ndarray]:
    """A whole evaluation: probes, fit and scores of each detector that applies."""
    chosen = [create("detectors", name) for name in detectors]
    chosen = [one for one in chosen if not lacking(model, wants(one))]
    probes = [probe for one in chosen for probe in one.probes()]
    values = extract(model, case.data, Cache(folder), probes=probes, batch=4)
    fit = FitData(values)
    return {type(one).__name__: score(one, one.fit(fit), values, "test") for one in chosen}


def wants(detector: Any) -> set[str]:
    graph = any(probe.needs_graph for probe in detector.probes())
    return set(detector.needs) | ({"gradients"} if graph else set())


def test_it_is_a_model(case: Case) -> None:
    assert isinstance(case.model, Model)
    assert case.model.forwards == 0, "opening a model counts no inputs"
    assert case.model.name in repr(case.model)


def test_logits_are_the_frameworks_own(case: Case) -> None:
    own = case.own_logits()
    scale = max(1.0, float(own.abs().max()))
    assert own.shape == (len(case.data), CLASSES) and own.std() > 0
    torch.testing.assert_close(outputs(case).logits.float(), own, rtol=0, atol=1e-5 * scale)


def test_the_head_makes_the_logits_from_the_features(case: Case) -> None:
    out = outputs(case)
    assert ("head" in case.model.offers) == case.head == (case.model.head is not None) == out.has("head")
    assert ("features" in case.model.offers) == out.has("features")
    if case.head:
        scale = max(1.0, float(out.logits.abs().max()))
        torch.testing.assert_close(
            case.model.head(out.features), out.logits, rtol=0, atol=1e-4 * scale, check_dtype=False
        )
        assert "no linear head" not in repr(case.model)
    else:
        assert "no linear head" in repr(case.model)


def test_what_it_offers_is_there(case: Case) -> None:
    model = case.model
    assert {"logits"} <= model.offers <= {"logits", "features", "head", "layers", "gradients", "pictures"}
    assert ("layers" in model.offers) == bool(model.layers)
    with model.evaluating():
        x = model.prepare(case.data.read(slice(0, 3)))
        out = model.forward(x.requires_grad_("gradients" in model.offers), model.layers)
    assert set(out.layers) == set(model.layers) and all(len(value) == 3 for value in out.layers.values())
    if "gradients" in model.offers:
        (gradient,) = torch.autograd.grad(out.logits.sum(), x)
        assert gradient.shape == x.shape and gradient.isfinite().all() and gradient.any()


def test_the_step_of_the_preprocessing_is_known(case: Case) -> None:
    x = case.model.prepare(case.data.read(slice(0, 1)))
    assert (case.model.input_std > 0).all()
    assert case.model.input_mean.isfinite().all()
    if "gradients" in case.model.offers:
        assert (x / case.model.input_std).shape == x.shape


@pytest.mark.parametrize("batch", [1, 4])
def test_neither_batch_size_nor_order_matter(case: Case, batch: int, tmp_path: Path) -> None:
    order = np.random.default_rng(batch).permutation(len(case.data))
    whole = extract(case.model, case.data, Cache(tmp_path))
    mixed = extract(case.model, subset(case.data, order), Cache(tmp_path), batch=batch)
    for name in ("logits", *(["features"] if case.head else [])):
        scale = max(1.0, float(np.abs(whole.arrays[name]).max()))
        np.testing.assert_allclose(mixed.arrays[name], whole.arrays[name][order], rtol=0, atol=1e-5 * scale)


def test_an_evaluation_leaves_model_and_mode_as_they_were(fresh: Case, tmp_path: Path) -> None:
    model: Any = fresh.model
    module = getattr(model, "module", None)
    before = model.digest()
    if module is not None:
        module.train()
        next(iter(module.children())).eval()
        modes = [layer.training for layer in module.modules()]
        weights = {name: value.clone() for name, value in module.state_dict().items()}
    everything(model, fresh, tmp_path, ("msp", "mds", "odin"))
    assert model.digest() == before
    if module is not None:
        assert [layer.training for layer in module.modules()] == modes
        assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
        assert not any(layer._forward_hooks for layer in module.modules())
        assert all(weight.grad is None for weight in module.parameters())


def test_evaluation_mode_ends_with_an_error_too(fresh: Case) -> None:
    module = getattr(fresh.model, "module", None)
    if module is None:
        pytest.skip("it has no training mode")
    module.train()
    with pytest.raises(KeyError), fresh.model.evaluating():
        assert not any(layer.training for layer in module.modules())
        raise KeyError
    assert all(layer.training for layer in module.modules())


def test_two_detectors_do_not_disturb_each_other(case: Case, tmp_path: Path) -> None:
    names = ("msp", "energy", "mds", "ash", "odin")
    together = everything(case.model, case, tmp_path / "all", names)
    again = everything(case.model, case, tmp_path / "all", names[::-1])
    for name in names:
        for found, scores in everything(case.model, case, tmp_path / name, (name,)).items():
            np.testing.assert_allclose(scores, together[found], rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(together[found], again[found])


def test_a_changed_weight_changes_key_and_numbers(fresh: Case, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    before, first = fresh.model.digest(), np.array(extract(fresh.model, fresh.data, cache).arrays["logits"])
    head = None if fresh.model.head is None else fresh.model.head.bias.clone()
    kept: Values = extract(fresh.model, fresh.data, cache)
    changed = fresh.change(fresh.model)
    assert changed.digest() != before
    assert not np.allclose(extract(changed, fresh.data, cache).arrays["logits"], first)
    np.testing.assert_array_equal(kept.arrays["logits"], first)
    assert head is None or (kept.head is not None and torch.equal(kept.head.bias, head)), "values keep their own head"


def test_opening_again_gives_the_same_key_and_numbers(case: Case, tmp_path: Path) -> None:
    other = case.reopen()
    assert other.digest() == case.model.digest()
    extract(case.model, case.data, Cache(tmp_path))
    extract(other, case.data, Cache(tmp_path))
    assert other.forwards == 0, "the first one's values serve"


def test_it_counts_its_inputs(fresh: Case, tmp_path: Path) -> None:
    extract(fresh.model, fresh.data, Cache(tmp_path), batch=3)
    assert fresh.model.forwards == len(fresh.data)


def test_one_item_is_enough_and_a_list_serves_as_well(case: Case) -> None:
    one = outputs(case, slice(2, 3))
    model = case.model
    with model.evaluating(), torch.inference_mode():
        listed = model.forward(model.prepare(list(case.data.read(slice(2, 3)))))
    assert len(one) == 1
    torch.testing.assert_close(one.logits, listed.logits)
