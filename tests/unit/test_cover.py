"""CoVer: identities, a planted fixture, and what it must not be given."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from outfield.data.shifts.blur import Blur
from outfield.detectors._requirements import asks
from outfield.detectors.base import Detector
from outfield.detectors.cover import CoVer
from outfield.detectors.energy import Energy
from outfield.detectors.mds import MDS
from outfield.detectors.odin import ODIN
from outfield.errors import UserError
from outfield.features.extract import Values
from outfield.features.fit_data import FitData
from outfield.features.probes.base import Probe
from outfield.features.probes.corrupted import Corrupted
from outfield.metrics.auroc import Auroc
from outfield.metrics.base import IdScores
from outfield.models.base import lacking
from outfield.models.torch import TorchModel
from outfield.studies.tuning import tune
from outfield.testing.world import extract, world
from outfield.types import Outputs

BANK = ("blur", "jpeg", "gaussian_noise")


def test_without_corruptions_it_is_its_base() -> None:
    cover = CoVer(MDS(), corruptions=())
    out, state = world().outputs("test", cover), cover.fit(world().fit_data(cover))
    assert cover.probes() == () and cover.needs == MDS().needs
    assert torch.equal(cover.score(out, state), MDS().score(out, MDS().fit(world().fit_data(MDS()))))


def test_the_order_of_the_corruptions_does_not_count() -> None:
    out = world().outputs("test", CoVer(corruptions=BANK))
    first, *others = (CoVer(corruptions=order).score(out, {}) for order in itertools.permutations(BANK))
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-12, atol=0)


def test_formula() -> None:
    """The mean of the base's scores of the pictures and of pictures that were shifted one by one."""
    cover, model, x = CoVer(Energy(), ("blur",), severity=4), world().model, world().test.x[:30]
    pictures = (x * model.input_std + model.input_mean).permute(0, 2, 3, 1).numpy()
    blurred = np.stack([Blur().apply(one, 4, np.random.default_rng(0)) for one in pictures])
    again = (torch.tensor(blurred).permute(0, 3, 1, 2) - model.input_mean) / model.input_std
    clean, shifted = (model.forward(one).logits.detach() for one in (x, again))
    expected = -(torch.logsumexp(clean, 1) + torch.logsumexp(shifted, 1)) / 2
    out = extract(model, x, None, cover.probes())
    torch.testing.assert_close(cover.score(out, {}), expected, rtol=1e-4, atol=1e-4)


class Patterns(torch.nn.Module):
    """Classes by a coarse half of the picture and by a fine stripe pattern, which one class has beside its half."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.head = torch.nn.Linear(2, 2)
        ramp = torch.linspace(-1, 1, side).expand(side, side)
        stripes = torch.ones(side, side)
        stripes[:, ::2] = -1
        self.register_buffer("filters", torch.stack([ramp, stripes]) / side**2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[8.0, 25.0], [-8.0, -25.0]]))
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(torch.einsum("nhw,khw->nk", x[:, 0] - 0.5, self.filters))
        return found


SIDE, EACH = 16, 400


def planted(seed: int) -> dict[str, np.ndarray]:
    """ID pictures of a coarse ramp with a little of the stripes; OOD pictures of the stripes and noise alone."""
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1, 1], EACH)[:, None, None]
    ramp, stripes = np.linspace(-1, 1, SIDE)[None, None], np.where(np.arange(SIDE) % 2, 1, -1)[None, None]
    strength = rng.uniform(0.2, 0.45, (2, EACH, 1, 1))
    noise = 0.05 * rng.normal(size=(2, EACH, SIDE, SIDE))
    known = 0.5 + sign * strength[0] * (ramp + 0.15 * stripes) + noise[0]
    far = 0.5 + sign * 0.25 * strength[1] * stripes + noise[1]
    return {
        name: np.clip(one, 0, 1)[..., None].astype(np.float32) for name, one in {"known": known, "far": far}.items()
    }


def test_blur_takes_more_of_the_confidence_that_a_fine_pattern_gives() -> None:
    """Five seeds: what the row states of its fixture, on one that is planted in the same way."""
    drops, gains = [], []
    for seed in range(5):
        sets = planted(seed)
        model = TorchModel(Patterns(SIDE), sets["known"][:2])
        cover = CoVer(corruptions=("blur",))
        outs = {name: _said(model, pictures, cover.probes()) for name, pictures in sets.items()}
        confidence = {name: _confidence(out, cover) for name, out in outs.items()}
        drops.append([confidence[name][0] - confidence[name][1] for name in ("known", "far")])
        gains.append([_auroc(one, outs) for one in (cover.base, cover)])
    (known, far), (base, covered) = np.mean(drops, axis=0), np.mean(gains, axis=0)
    assert far > known + 0.05, "measured .11 against .02"
    assert covered >= base, "measured .98 against .80"


def test_corruptions_chosen_on_validation_sets_cost_no_more_than_a_hundredth() -> None:
    sets, fresh = planted(0), planted(1)
    model = TorchModel(Patterns(SIDE), sets["known"][:2])
    probes = tuple(dict.fromkeys(probe for one in CoVer().settings() for probe in one.probes()))
    values = {name: _values(_said(model, pictures, probes)) for name, pictures in sets.items()}
    tuned = tune(CoVer(), FitData(values["known"]), values["known"], {"far": values["far"]})
    outs = {name: _said(model, pictures, probes) for name, pictures in fresh.items()}
    assert _auroc(tuned.detector, outs) >= _auroc(CoVer(corruptions=()), outs) - 0.01
    assert len({detector for detector, *_ in tuned.curve}) == len(CoVer.grid["corruptions"])


def _values(out: Outputs) -> Values:
    return Values({"logits": out.logits.numpy(), **{name: value.numpy() for name, value in out.layers.items()}})


def _said(model: TorchModel, pictures: np.ndarray, probes: Sequence[Probe]) -> Outputs:
    with model.evaluating(), torch.no_grad():
        x = model.prepare(pictures)
        first = model.forward(x)
        layers = {key: value for probe in probes for key, value in probe(model, x, first).items()}
    return Outputs(first.logits, first.features, layers=layers)


def _confidence(out: Outputs, cover: CoVer) -> list[float]:
    (probe,) = cover.probes()
    assert isinstance(probe, Corrupted)
    return [float(torch.softmax(one.logits, 1).amax(1).mean()) for one in (out, probe.outputs(out))]


def _auroc(detector: Detector, outs: dict[str, Outputs]) -> float:
    known, far = (detector.score(outs[name], {}).numpy() for name in ("known", "far"))
    return Auroc().of(IdScores(known).against(far)).value


def test_a_random_corruption_is_the_same_for_the_same_picture() -> None:
    probe, model, x = Corrupted("gaussian_noise"), world().model, world().test.x[:8]
    first, again = (extract(model, x, None, [probe]).layers for _ in range(2))
    for name, value in first.items():
        assert torch.equal(value, again[name])


def test_bases_and_inputs_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="a base that reads features, head, logits alone, but ODIN needs odin"):
        CoVer(ODIN())
    with pytest.raises(UserError, match=r"Expected corruptions among .*blur, .*, but got fog\. Name shifts"):
        CoVer(corruptions=("fog",))
    model = world().model
    with pytest.raises(UserError, match=r"pictures in \[0, 1\] behind the preprocessing, but got .* to 4\.75"):
        Corrupted()(model, torch.full((1, 1, 6, 6), 9.0), Outputs())  # type: ignore[arg-type]  # of a model, what it asks
    with pytest.raises(UserError, match=r"Expected pictures \[n, C, H, W\] to corrupt, .* but got \[3, 4\]"):
        Corrupted()(model, torch.zeros(3, 4), Outputs())  # type: ignore[arg-type]  # the same


def test_a_model_whose_pictures_are_not_known_goes_without() -> None:
    """An own preprocessing may do anything: whether its output is a picture less mean over deviation cannot be told."""
    pictures = planted(0)["known"][:2]
    known = TorchModel(Patterns(SIDE), pictures)
    own = TorchModel(Patterns(SIDE), pictures, preprocess=lambda items: torch.as_tensor(items).permute(0, 3, 1, 2))
    assert lacking(known, asks(CoVer())) == ()
    assert lacking(own, asks(CoVer())) == ("pictures of known mean and deviation as its input",)
    assert lacking(own, asks(CoVer(corruptions=()))) == ()
