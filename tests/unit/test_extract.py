"""Extraction: one pass, values that depend on model and data alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from outfield.data.datasets import ArrayDataset
from outfield.data.views import subset
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.banks import Bank
from outfield.features.cache import Cache
from outfield.features.extract import Values, check_labels, extract
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.probes.base import Probe
from outfield.models.base import Model
from outfield.models.torch import TorchModel
from outfield.studies.scoring import score
from outfield.types import Head, Outputs, State
from tests.plugin_example.src.outfield_example.standardised import Standardised


@dataclass(frozen=True)
class Slope(Probe):
    """Gradient of the first logit with respect to the input, as a probe of the tests."""

    passes: ClassVar[int] = 1
    needs_graph: ClassVar[bool] = True
    times: float = 1.0

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        (slope,) = torch.autograd.grad(first.logits[:, 0].sum(), x, retain_graph=True)
        return {self.key: self.times * slope.flatten(1)}


def data(n: int = 23) -> ArrayDataset:
    pictures = np.random.default_rng(0).integers(0, 256, (n, 6, 6, 1), dtype=np.uint8)
    return ArrayDataset(pictures, labels=np.arange(n) % 3)


def model(seed: int = 0) -> TorchModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3)]
        return TorchModel(nn.Sequential(*layers), data(2).read(slice(0, 2)), name="net")


def test_values_are_those_of_the_model(tmp_path: Path) -> None:
    net = model()
    values = extract(net, data(), Cache(tmp_path))
    out = next(iter(values))
    with net.evaluating(), torch.inference_mode():
        logits = net.module(net.prepare(data().read(slice(0, 23))))
    torch.testing.assert_close(out.logits, logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out.head(out.features), logits, rtol=1e-4, atol=1e-4)
    assert out.labels.tolist() == (np.arange(23) % 3).tolist()


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batch_size_does_not_matter(tmp_path: Path, batch: int) -> None:
    one = extract(model(), data(), Cache(tmp_path / "a"), probes=[Slope()])
    other = extract(model(), data(), Cache(tmp_path / "b"), probes=[Slope()], batch=batch)
    for name, array in one.arrays.items():
        np.testing.assert_allclose(array, other.arrays[name], rtol=1e-5, atol=1e-6)


def test_order_does_not_matter(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(23)
    straight = extract(model(), data(), Cache(tmp_path))
    shuffled = extract(model(), subset(data(), order), Cache(tmp_path))
    np.testing.assert_allclose(straight.arrays["logits"][order], shuffled.arrays["logits"], rtol=1e-5, atol=1e-6)


def test_a_second_time_costs_nothing_and_a_further_probe_writes_no_features_again(tmp_path: Path) -> None:
    net, cache = model(), Cache(tmp_path)
    extract(net, data(), cache)
    before = net.forwards
    extract(net, data(), cache)
    assert net.forwards == before
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/features.npy")}
    probed = extract(net, data(), cache, probes=[Slope(), Slope(), Slope(times=2.0)])
    assert net.forwards == before + 23, "one pass serves both probes"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/features.npy")} == written
    np.testing.assert_allclose(probed.arrays[Slope(times=2.0).key], 2 * probed.arrays[Slope().key])


def test_changed_weights_or_data_give_other_keys(tmp_path: Path) -> None:
    cache, net = Cache(tmp_path), model()
    first = extract(net, data(), cache).arrays["logits"]
    with torch.no_grad():
        net.module[-1].bias.add_(1)  # type: ignore[union-attr,operator]
    np.testing.assert_allclose(extract(net, data(), cache).arrays["logits"], first + 1, rtol=1e-4, atol=1e-5)
    assert len(extract(net, data(22), cache)) == 22
    assert len(list(tmp_path.iterdir())) == 3


def test_weights_and_mode_are_untouched(tmp_path: Path) -> None:
    net = model()
    net.module.train()
    net.module[1].eval()
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    extract(net, data(), Cache(tmp_path), probes=[Slope()])
    assert all(torch.equal(value, before[name]) for name, value in net.module.state_dict().items())
    assert [layer.training for layer in net.module] == [True, False, True, True, True, True]
    assert all(weight.grad is None for weight in net.module.parameters())
    assert not any(layer._forward_hooks for layer in net.module.modules())


def test_half_precision_is_kept_on_disk_and_widened_when_read(tmp_path: Path) -> None:
    values = extract(model(), data(), Cache(tmp_path), half=True)
    assert values.arrays["features"].dtype == np.float16
    assert values.arrays["logits"].dtype == np.float32
    assert next(iter(values)).features.dtype == torch.float32


def test_features_that_half_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    net = model()
    with torch.no_grad():
        net.module[1].weight.fill_(1e6)  # type: ignore[union-attr,operator]
    with pytest.raises(UserError, match=r"at most 65,504 .* model 'net' gave .* Set `half: false`"):
        extract(net, data(), Cache(tmp_path), half=True, about="model 'net'")
    assert not list(tmp_path.iterdir())
    assert np.isfinite(extract(net, data(), Cache(tmp_path)).arrays["features"]).all()


class Empty(ArrayDataset):
    def __len__(self) -> int:
        return 0


def test_no_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="inputs in the far set, but it is empty"):
        extract(model(), Empty(np.zeros((1, 6, 6))), Cache(tmp_path), about="the far set")


def test_nan_logits_name_where(tmp_path: Path) -> None:
    net = model()
    with torch.no_grad():
        net.module[-1].weight.fill_(float("nan"))  # type: ignore[union-attr,operator]
    with pytest.raises(
        UserError, match=r"finite head, but the weight of model 'net' on x holds NaN .* in 3 of 3 classes"
    ):
        extract(net, data(), Cache(tmp_path), about="model 'net' on x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["logits", "features"])
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_no_value_that_is_not_finite_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, odd: float
) -> None:
    net = model()
    forward = net.forward

    def spoilt(x: Any, layers: Any = ()) -> Outputs:
        out = forward(x, layers)
        values = getattr(out, what).clone()
        values[[1, 4], 0] = odd
        return Outputs(**{"logits": out.logits, "features": out.features, what: values})

    monkeypatch.setattr(net, "forward", spoilt)
    for half in (False, True):
        with pytest.raises(
            UserError, match=rf"finite {what}, but far gave NaN or infinity for 2 of 23 .*\(rows 1, 4\)"
        ):
            extract(net, data(), Cache(tmp_path), about="far", half=half)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("labels", "message"), [([0, 1, 7], "labels from 0 to 2 .* but got 0 to 7"), (None, "no")])
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: list[int] | None, message: str) -> None:
    odd = ArrayDataset(np.zeros((3, 6, 6, 1), np.uint8), labels=labels)
    with pytest.raises(UserError, match=message):
        check_labels(extract(model(), odd, Cache(tmp_path)), "the test set")


class Regressor(TorchModel):
    """The same network whose first logit is read as a number."""

    def forward(self, x: Tensor, layers: Any = ()) -> Outputs:
        out = super().forward(x, layers)
        return Outputs(features=out.features, predictions=out.logits[:, 0])


def test_a_model_without_logits_gives_predictions_and_its_data_the_targets(tmp_path: Path) -> None:
    net = model()
    net.__class__ = Regressor
    plain = data()
    targets = np.stack([np.arange(23), np.arange(100, 123)], axis=1)
    measured = ArrayDataset(plain.read(slice(0, 23)), targets=targets)
    values = extract(net, measured, Cache(tmp_path), half=True, batch=7)
    check_labels(values, "the test set")
    assert set(values.arrays) == {"predictions", "features", "targets"}
    out = next(iter(values))
    assert out.targets.tolist() == [[i, i + 100] for i in range(23)] and out.targets.dtype == torch.float64
    torch.testing.assert_close(
        out.predictions, extract(model(), plain, Cache(tmp_path / "plain")).rows(slice(0, 23)).logits[:, 0]
    )
    assert values.at(np.array([5]), ("targets", "predictions"))["targets"].tolist() == [[5, 105]]


def test_targets_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    odd = ArrayDataset(np.zeros((3, 6, 6, 1), np.uint8))
    odd.targets = np.array(["a", "b", "c"])
    with pytest.raises(UserError, match="targets of far as numbers"):
        extract(model(), odd, Cache(tmp_path), about="far")


@dataclass(frozen=True)
class MeanInput(Fold[Tensor, Tensor]):
    """Mean of what the model is given."""

    reads: ClassVar[tuple[str, ...] | None] = ("inputs",)

    def start(self, like: Outputs) -> Tensor:
        return torch.zeros(1 + like.inputs[0].numel(), dtype=torch.float64)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        rows = chunk.inputs.flatten(1).double()
        return total + torch.cat([torch.tensor([len(rows)]), rows.sum(0)])

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> Tensor:
        return total[1:] / total[0]


@dataclass(frozen=True)
class FromMeanInput(Detector):
    """Distance to the mean input."""

    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})
    information: ClassVar[str] = "outputs"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})

    def fit(self, data: FitData) -> State:
        return {"mean": data.fold(MeanInput())}

    def score(self, out: Outputs, state: State) -> Tensor:
        assert not out.has("logits"), "what is not needed is not read"
        return (out.inputs.flatten(1).double() - state["mean"]).norm(dim=1)


def test_inputs_are_read_from_the_set_in_fit_and_in_score_and_never_stored(tmp_path: Path) -> None:
    net = model()
    values = extract(net, data(600), Cache(tmp_path))
    stored = sorted(tmp_path.rglob("*"))
    forwards = net.forwards
    x = net.prepare(data(600).read(slice(None))).flatten(1).double()
    detector = FromMeanInput()
    state = detector.fit(FitData(values))
    torch.testing.assert_close(state["mean"], x.mean(0))
    found = score(detector, state, values, "here")
    np.testing.assert_allclose(found, (x - x.mean(0)).norm(dim=1).numpy())
    assert sorted(tmp_path.rglob("*")) == stored and net.forwards == forwards
    assert not any(chunk.has("inputs") for chunk in values), "who does not ask is given none"


def test_a_wrapper_reads_inputs_for_its_base(tmp_path: Path) -> None:
    values = extract(model(), data(600), Cache(tmp_path))
    detector = Standardised(FromMeanInput())
    found = score(detector, detector.fit(FitData(values, values)), values, "here")
    assert found.mean() == pytest.approx(0, abs=1e-9) and found.std(ddof=1) == pytest.approx(1)


def test_a_bank_of_inputs_holds_the_rows_that_it_names(tmp_path: Path) -> None:
    net = model()
    values = extract(net, data(600), Cache(tmp_path))
    bank = FitData(values).bank(("inputs", "labels"), limit=300)
    rows = Bank(limit=300).numbers(600)
    assert torch.equal(bank.inputs, net.prepare(data(600).read(rows)))
    whole = np.asarray(values.keeping(("inputs",)).arrays["inputs"], dtype=np.float64)
    assert np.array_equal(whole[rows], bank.inputs.numpy())
    assert bank.labels.tolist() == (rows % 3).tolist()


@dataclass(frozen=True)
class Placed(Detector):
    """Notes where its state and its head are."""

    needs: ClassVar[frozenset[str]] = frozenset()  # values without numbers cannot be looked at
    information: ClassVar[str] = "features"

    def score(self, out: Outputs, state: State) -> Tensor:
        SEEN.append((state["a"], out.features.device.type, out.head.weight.device.type))
        return torch.zeros(len(out))


SEEN: list[tuple[Tensor, str, str]] = []


def test_a_state_is_moved_once_to_where_the_values_are() -> None:
    SEEN.clear()
    head = Head(torch.eye(2), torch.zeros(2)).to("meta")
    values = Values({"features": np.zeros((10, 2), np.float32)}, head, size=3, device="meta")
    score(Placed(), {"a": torch.zeros(1)}, values, "here")
    assert [places for _, *places in SEEN] == [["meta", "meta"]] * 4
    assert {id(state) for state, *_ in SEEN} == {id(SEEN[0][0])} and SEEN[0][0].is_meta
