"""The guard's promises on real scores: ResNet-20 on CIFAR-10, drawn with replacement so that every rate is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from outfield import registry
from outfield.data.base import Dataset
from outfield.data.in_memory import in_memory
from outfield.data.sampling import sample
from outfield.errors import UserError
from outfield.features.cache import InMemory
from outfield.features.extract import Values, extract
from outfield.features.fit_data import FitData
from outfield.guard.abstention import select
from outfield.guard.batches import verdict_of_batch
from outfield.guard.thresholds import RUNGS, certify, ladder
from outfield.models.networks._weight_names import under_own_names
from outfield.models.preprocess import Pictures
from outfield.models.torch import TorchModel, load_into, load_weights
from outfield.studies.scoring import score
from outfield.types import Array
from tests.reference import realdata

DELTA = 0.05
CALIBRATIONS = 1000
DETECTORS = ("msp", "energy", "knn")
SETS = {"train": "cifar10_train500", "test": "cifar10_test", "tiny": "tiny_imagenet_openood"}


@dataclass(frozen=True, eq=False)
class Real:
    """Scores of each detector on the population of ID items and on Tiny-ImageNet, and which ID items are wrong."""

    known: Mapping[str, Array]
    unknown: Mapping[str, Array]
    wrong: Array

    def rate(self, detector: str, threshold: float) -> float:
        """The population's false-alarm rate at a threshold, exactly."""
        return float((self.known[detector] > threshold).mean())

    def drawn(self, rng: np.random.Generator, n: int) -> Array:
        return rng.integers(len(self.wrong), size=n)


@pytest.fixture(scope="module")
def real() -> Real:
    weights = "weights/cifar10/resnet20-12fca82f.th"
    root = realdata.root(weights, *(f"vision/{name}.zip" for name in SETS.values()))
    data = {name: pictures(root / "vision" / f"{file}.zip") for name, file in SETS.items()}
    module = registry.create("networks", "resnet_cifar", classes=10, depth=20)
    load_into(module, under_own_names(module, load_weights(root / weights))).eval()
    scaled = Pictures(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    model = TorchModel(module, data["test"].read(slice(0, 2)), preprocess=scaled)
    values = {name: extract(model, some, InMemory()) for name, some in data.items()}
    return scored(values)


def pictures(path: Path) -> Dataset:
    read = registry.create("sources", "zip", path=str(path), channels=3, side=32).load()
    return in_memory(sample(read, 2000) if path.stem == SETS["tiny"] else read)


def scored(values: Mapping[str, Values]) -> Real:
    known, unknown = {}, {}
    for name in DETECTORS:
        detector = registry.create("detectors", name)
        fit = FitData(values["train"], None)
        fit.prepare(detector.folds())
        state = detector.fit(fit)
        known[name] = score(detector, state, values["test"], "the test set")
        unknown[name] = score(detector, state, values["tiny"], "Tiny-ImageNet")
    arrays = values["test"].arrays
    return Real(known, unknown, np.asarray(arrays["logits"]).argmax(1) != np.asarray(arrays["labels"]))


def broken(real: Real, detector: str, n: int, alpha: float, threshold: Callable[[Array], float]) -> float:
    """Share of calibrations whose threshold flags more than alpha of the population."""
    rng = np.random.default_rng([n, round(1000 * alpha), DETECTORS.index(detector)])
    scores = real.known[detector]
    found = [threshold(scores[real.drawn(rng, n)]) for _ in range(CALIBRATIONS)]
    above = len(scores) - np.searchsorted(np.sort(scores), found, side="right")
    return float((above / len(scores) > alpha).mean())


def test_the_population_is_the_published_network(real: Real) -> None:
    assert real.wrong.sum() == 827
    assert {name: len(scores) for name, scores in real.known.items()} == dict.fromkeys(DETECTORS, 10_000)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize(("n", "alpha"), [(200, 0.05), (1000, 0.01), (1000, 0.05), (5000, 0.01), (5000, 0.05)])
def test_certified_thresholds_break_alpha_in_few_calibrations(real: Real, detector: str, n: int, alpha: float) -> None:
    assert broken(real, detector, n, alpha, lambda scores: certify(scores, alpha, DELTA).value) <= DELTA + 0.02


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize(("n", "alpha"), [(200, 0.05), (1000, 0.01), (1000, 0.05), (5000, 0.01), (5000, 0.05)])
def test_a_quantile_breaks_alpha_in_half_of_them(real: Real, detector: str, n: int, alpha: float) -> None:
    assert broken(real, detector, n, alpha, lambda scores: float(np.quantile(scores, 1 - alpha))) > 0.4


@pytest.mark.parametrize("detector", DETECTORS)
def test_two_hundred_items_certify_no_rate_of_one_percent(real: Real, detector: str) -> None:
    with pytest.raises(UserError, match="at least 299 calibration items"):
        certify(real.known[detector][:200], 0.01, DELTA)


@pytest.mark.parametrize("n", [200, 1000, 5000])
def test_rungs_are_those_of_the_exact_interval(real: Real, n: int) -> None:
    """The upper end of scipy's interval for the flagged calibration items is at or below the rate; one more is not."""
    scores = real.known["energy"][:n]
    rungs = ladder(scores, delta=DELTA)
    level = DELTA / len(rungs.rates)
    assert set(rungs.rates) <= set(RUNGS)
    for rate, value in zip(rungs.rates, rungs.values, strict=True):
        flagged = int((scores > value).sum())
        ends = [stats.binomtest(k, n).proportion_ci(1 - 2 * level, "exact").high for k in (flagged, flagged + 1)]
        assert ends[0] <= rate < ends[1]


def test_all_rungs_hold_at_once(real: Real) -> None:
    rng = np.random.default_rng(1)
    population = np.sort(real.known["energy"])

    def held() -> bool:
        rungs = ladder(population[real.drawn(rng, 1000)])
        rates = 1 - np.searchsorted(population, rungs.values, side="right") / len(population)
        return bool((rates <= rungs.rates).all())

    assert np.mean([held() for _ in range(300)]) >= 1 - DELTA


@pytest.mark.parametrize("kinds", [1, 11])
def test_ties_cost_power_and_never_the_promise(real: Real, kinds: int) -> None:
    ranks = stats.rankdata(real.known["energy"], method="ordinal") - 1
    coarse = Real({"energy": np.floor(ranks / len(ranks) * kinds)}, {}, real.wrong)
    assert len(np.unique(coarse.known["energy"])) == kinds
    assert broken(coarse, "energy", 1000, 0.05, lambda scores: certify(scores, 0.05, DELTA).value) <= DELTA + 0.02
    if kinds == 1:
        assert coarse.rate("energy", certify(coarse.known["energy"]).value) == 0.0


def test_batches_raise_few_false_alarms_and_show_a_tenth_of_tiny_imagenet(real: Real) -> None:
    rng = np.random.default_rng(2)
    known, unknown = real.known["energy"], real.unknown["energy"]

    def verdict(share: float) -> tuple[bool, float]:
        rungs = ladder(known[real.drawn(rng, 5000)])
        far = rng.integers(len(unknown), size=rng.binomial(1000, share))
        said = verdict_of_batch(np.r_[known[real.drawn(rng, 1000 - len(far))], unknown[far]], rungs)
        return said.shifted, said.ood_share

    null, shifted = ([verdict(share) for _ in range(300)] for share in (0.0, 0.1))
    assert np.mean([found for found, _ in null]) <= 0.05
    assert np.mean([found for found, _ in shifted]) >= 0.95
    assert max(share for _, share in shifted) <= 0.1


def oracle(uncertainty: Array, wrong: Array, rate: float) -> float:
    """The largest coverage of the population whose error among answers is at most the rate."""
    order = np.argsort(uncertainty)
    error = np.cumsum(wrong[order]) / np.arange(1, len(wrong) + 1)
    return float(np.flatnonzero(error <= rate)[-1] + 1) / len(wrong)


def test_answers_of_a_model_that_may_abstain_keep_their_certified_error(real: Real) -> None:
    rng, rate = np.random.default_rng(3), 0.02
    uncertainty = real.known["msp"]
    candidates = np.quantile(uncertainty[real.drawn(rng, 5000)], np.linspace(0, 1, 201))
    covered, violated = [], []
    for _ in range(500):
        rows = real.drawn(rng, 5000)
        found = select(uncertainty[rows], real.wrong[rows], rate=rate, delta=DELTA, thresholds=candidates)
        answered = uncertainty <= found.threshold
        covered.append(answered.mean())
        violated.append(real.wrong[answered].mean() > rate)
    assert np.mean(violated) <= DELTA + 0.02
    assert np.mean(covered) >= 0.97 * oracle(uncertainty, real.wrong, rate)
