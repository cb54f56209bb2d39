"""Shards: what is extracted in parts is the same as in one piece, and is not extracted twice."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from outfield.data.datasets import ArrayDataset
from outfield.detectors._requirements import asks
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.features.concatenated import Joined, joined
from outfield.features.extract import Shards, Values, cached, extract, extract_shard, shard_rows
from outfield.features.finite import CheckedStored
from outfield.features.fit_data import FitData
from outfield.models.networks.small_cnn import SmallCNN
from outfield.models.torch import TorchModel
from outfield.registry import create, own
from outfield.studies.scoring import score

CLASSES, ROWS, BATCH = 4, 310, 32
CUTS: tuple[Shards, ...] = (2, 3, 7, (309, 1), (1, 200, 109), (7, 50, 1, 99, 100, 3, 50))
SERVED = [name for name in own("detectors") if not asks(create("detectors", name)) & {"texts", "regions"}]
"""All but those that need a CLIP."""
SMALLER: dict[str, dict[str, Any]] = {"corp": {"m": 96, "limit": 150}, "relation": {"limit": 150}, "knn": {"k": 5}}


def pictures(n: int, seed: int) -> ArrayDataset:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    shapes = np.kron(np.random.default_rng(9).integers(0, 2, (CLASSES, 4, 4, 1)), np.ones((2, 2, 1)))
    noise = rng.integers(0, 56, (n, 8, 8, 1))
    return ArrayDataset((200 * shapes[labels] + noise).astype(np.uint8), labels=labels)


@pytest.fixture(scope="module")
def net() -> TorchModel:
    """A network whose head tells the classes of its random features apart.

    In float64: what a float32 kernel rounds depends on the size of the batch, and no part of it is the shards'.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = SmallCNN(classes=CLASSES, width=4).double().eval()
    model, data = TorchModel(module, pictures(2, 0).read(slice(0, 2)), name="net"), pictures(200, 5)
    with torch.no_grad():
        features = model.forward(model.prepare(data.read(slice(None)))).features.double()
        away = features - features.mean(0)
        targets = torch.nn.functional.one_hot(torch.from_numpy(np.asarray(data.labels)), CLASSES).double() - 0.25
        weight = 8 * torch.linalg.solve(away.T @ away + 1e-2 * torch.eye(away.shape[1]).double(), away.T @ targets).T
        module.head.weight.copy_(weight)
        module.head.bias.copy_(-weight @ features.mean(0))
    return model


def extracted(net: TorchModel, folder: Path, shards: Shards) -> dict[str, Values]:
    probes = dict.fromkeys(probe for name in SERVED for probe in create("detectors", name).probes())
    return {
        split: extract(net, pictures(ROWS, seed), Cache(folder), probes=tuple(probes), batch=BATCH, shards=shards)
        for seed, split in enumerate(("train", "val", "test"))
    }


def scored(values: dict[str, Values]) -> dict[str, np.ndarray]:
    fit = FitData(values["train"], values["val"])
    built = {name: create("detectors", name, **SMALLER.get(name, {})).clipped(fit) for name in SERVED}
    return {name: score(one, one.fit(fit), values["test"], "test") for name, one in built.items()}


@pytest.fixture(scope="module")
def whole(net: TorchModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    return scored(extracted(net, tmp_path_factory.mktemp("whole"), 1))


@pytest.mark.filterwarnings("ignore:.*NNGuide")
@pytest.mark.parametrize("shards", CUTS, ids=str)
def test_every_detector_scores_the_same(
    net: TorchModel, whole: dict[str, np.ndarray], tmp_path: Path, shards: Shards
) -> None:
    for name, scores in scored(extracted(net, tmp_path, shards)).items():
        np.testing.assert_allclose(scores, whole[name], rtol=1e-6, atol=1e-6 * whole[name].std(), err_msg=name)


def test_shards_merge_to_the_fit_of_the_whole(net: TorchModel, whole: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Each shard folded by itself, in any order of work, and the accumulators merged."""
    values = extracted(net, tmp_path, 1)
    fit = Merged(values["train"], values["val"])
    for name in SERVED:
        detector: Detector = create("detectors", name, **SMALLER.get(name, {})).clipped(fit)
        scores = score(detector, detector.fit(fit), values["test"], "test")
        np.testing.assert_allclose(scores, whole[name], rtol=1e-6, atol=1e-6 * whole[name].std(), err_msg=name)


class Merged(FitData):
    """Fit data whose folds run over seven shards, one of a single row, the last first."""

    def _pass(self, wanted: Any, split: Any) -> None:
        from outfield.features.folds import run

        checked = self.train if split == "train" else self.val
        assert isinstance(checked, CheckedStored)
        chunks = checked.chunks
        assert isinstance(chunks, Values)
        chunks = chunks.keeping((*chunks.arrays, "inputs"))
        cuts = list(pairwise((0, *np.cumsum(CUTS[-1]))))
        shards = {cut: run(wanted, [chunks.rows(slice(*cut))], first=cut[0]) for cut in reversed(cuts)}
        for fold, *totals in zip(wanted, *(shards[cut] for cut in cuts), strict=True):
            total = totals[0]
            for other in totals[1:]:
                total = fold.merge(total, other)
            self._results[fold] = fold.finish(total)


def test_a_shard_that_is_there_is_not_made_again(net: TorchModel, tmp_path: Path) -> None:
    data, cache = pictures(ROWS, 0), Cache(tmp_path)
    before = net.forwards
    for shard in (2, 0):
        extract_shard(net, data, cache, shard, 3, batch=BATCH)
    done = net.forwards - before
    assert done == sum(len(shard_rows(ROWS, 3, BATCH)[shard]) for shard in (2, 0))
    extract_shard(net, data, Cache(tmp_path), 2, 3, batch=BATCH)
    assert net.forwards == before + done
    values = extract(net, data, Cache(tmp_path), batch=BATCH, shards=3)
    assert net.forwards == before + ROWS, "only the shard that was missing"
    assert len(values) == ROWS
    assert isinstance(values.arrays["features"], Joined)
    assert all(isinstance(piece, np.memmap) for piece in values.arrays["features"].pieces)


def test_shards_are_found_by_whoever_asks_for_others_or_none(net: TorchModel, tmp_path: Path) -> None:
    data, cache = pictures(ROWS, 0), Cache(tmp_path)
    first = extract(net, data, cache, batch=BATCH, shards=7)
    before = net.forwards
    for shards in (1, 2, (309, 1)):
        again = extract(net, data, Cache(tmp_path), batch=BATCH, shards=shards)
        np.testing.assert_array_equal(again.arrays["logits"], first.arrays["logits"])
    extract_shard(net, data, cache, 0, 2, batch=BATCH)
    found = cached(net.digest(), data, cache)
    assert found is not None
    np.testing.assert_array_equal(found.arrays["features"], first.arrays["features"])
    assert net.forwards == before


def test_a_lost_shard_is_made_again(net: TorchModel, tmp_path: Path) -> None:
    data, cache = pictures(ROWS, 0), Cache(tmp_path)
    first = np.array(extract(net, data, cache, batch=BATCH, shards=2).arrays["logits"])
    lost = next(key for key, about, _ in cache.entries() if "rows 160 to 309" in about["about"])
    cache.remove(lost)
    before = net.forwards
    np.testing.assert_array_equal(extract(net, data, cache, batch=BATCH, shards=2).arrays["logits"], first)
    assert net.forwards == before + 150
    cache.remove(lost)
    assert cached(net.digest(), data, cache) is None
    np.testing.assert_allclose(extract(net, data, cache, batch=BATCH).arrays["logits"], first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shards", [(300,), (310, 0), (), (311, -1)])
def test_shards_that_do_not_add_up_are_named(net: TorchModel, tmp_path: Path, shards: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="add up to 310"):
        extract(net, pictures(ROWS, 0), Cache(tmp_path), shards=shards)


def test_more_shards_than_batches_are_as_many_as_there_are_batches() -> None:
    assert shard_rows(50, 7, batch=32) == (range(32), range(32, 50))
    assert shard_rows(5, 3) == (range(5),)


def test_pieces_are_read_as_one() -> None:
    numbers = np.arange(40).reshape(20, 2)
    both = Joined([numbers[:7], numbers[7:8], numbers[8:]])
    assert both.shape == numbers.shape
    for rows in (slice(None), slice(3, 12), slice(7, 8), slice(19, 99), slice(5, 5), slice(0, 20, 3), slice(30, 40)):
        np.testing.assert_array_equal(both[rows], numbers[rows])
    order = np.array([19, 0, 7, 7, 6, 8])
    np.testing.assert_array_equal(both[order], numbers[order])
    np.testing.assert_array_equal(np.asarray(both), numbers)
    assert isinstance(joined([np.arange(3), np.arange(4)]), np.ndarray)
