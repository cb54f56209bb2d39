"""Folds: the same numbers however the rows are cut, and those that numpy gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import pinvh
from torch import Tensor

from outfield.errors import UserError
from outfield.features.banks import Bank, priorities
from outfield.features.extract import Values
from outfield.features.fit_data import FitData, InMemory
from outfield.features.folds import Fold, run
from outfield.features.moments import Moments, MomentSums, leading, spectrum, whitener
from outfield.features.quantiles import Activations
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs

CLASSES, DIM = 3, 5


def outputs(n: int = 200, seed: int = 0) -> Outputs:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    features = torch.randn(n, DIM, generator=rng).relu() + labels[:, None]
    return Outputs(torch.randn(n, CLASSES, generator=rng), features, labels)


def sharded(fold: Fold[Any, Any], rows: Outputs, cuts: list[int], chunk: int) -> Any:
    ends = [0, *sorted(cuts), len(rows)]
    shards = [run([fold], rows[a:b].chunks(chunk), first=a) for a, b in pairwise(ends) if b > a]
    total = shards[0][0]
    for (other,) in shards[1:]:
        total = fold.merge(total, other)
    return fold.finish(total)


def whole(fold: Fold[Any, Any], rows: Outputs) -> Any:
    return sharded(fold, rows, [], len(rows))


CUTS = st.lists(st.integers(1, 199), max_size=4, unique=True)


@settings(deadline=None, max_examples=20)
@given(cuts=CUTS, chunk=st.integers(1, 250), on_sphere=st.booleans())
def test_moments_do_not_depend_on_the_cut(cuts: list[int], chunk: int, on_sphere: bool) -> None:
    rows, fold = outputs(), Moments(on_sphere=on_sphere)
    ours, expected = sharded(fold, rows, cuts, chunk), whole(fold, rows)
    for name in ("counts", "sums", "products", "class_means", "within", "covariance"):
        torch.testing.assert_close(getattr(ours, name), getattr(expected, name), rtol=1e-12, atol=1e-12)


def test_moments_are_those_of_numpy() -> None:
    rows = outputs()
    moments: MomentSums = whole(Moments(), rows)
    f, y = rows.features.double().numpy(), rows.labels.numpy()
    means = np.array([f[y == c].mean(0) for c in range(CLASSES)])
    origin = torch.arange(DIM).double()
    np.testing.assert_allclose(moments.mean, f.mean(0))
    np.testing.assert_allclose(moments.class_means, means)
    np.testing.assert_allclose(moments.covariance, np.cov(f.T, bias=True), atol=1e-12)
    np.testing.assert_allclose(moments.within, (f - means[y]).T @ (f - means[y]) / len(f), atol=1e-12)
    np.testing.assert_allclose(moments.about(origin), (f - np.arange(DIM)).T @ (f - np.arange(DIM)) / len(f))


def test_a_class_without_rows_is_named() -> None:
    moments: MomentSums = whole(Moments(), outputs()[::3])
    with pytest.raises(UserError, match="class 1, 2 has none"):
        _ = moments.class_means


def test_the_whitener_is_a_root_of_the_pseudo_inverse() -> None:
    rng = np.random.default_rng(0)
    low_rank = rng.normal(size=(DIM, 3)) @ rng.normal(size=(3, 100))
    covariance = low_rank @ low_rank.T
    root = whitener(torch.from_numpy(covariance))
    assert root.shape == (DIM, 3)
    np.testing.assert_allclose(root @ root.T, pinvh(covariance), atol=1e-10)


@pytest.mark.parametrize(("share", "q"), [(0.49, 1), (0.51, 2), (0.8, 2), (0.81, 3), (1.0, 3)])
def test_leading_eigenvectors_reach_their_share(share: float, q: int) -> None:
    covariance = torch.diag(torch.tensor([0.5, 0.3, 0.2, 0.0], dtype=torch.float64))
    assert leading(spectrum(covariance), share).shape == (4, q)


KINDS = {
    "normal": lambda rng: rng.normal(size=(400, 7)),
    "relu": lambda rng: np.maximum(rng.normal(size=(400, 7)), 0),
    "wide": lambda rng: np.exp(8 * rng.normal(size=(400, 7))),
    "negative": lambda rng: -np.exp(rng.normal(size=(400, 7))),
    "few": lambda rng: rng.integers(3, size=(4, 2)).astype(float),
    "constant": lambda rng: np.full((10, 3), 0.7),
    "zeros": lambda rng: np.zeros((10, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 0.99, 1.0])
def test_quantiles_are_those_of_numpy(kind: str, p: float) -> None:
    values = KINDS[kind](np.random.default_rng(0)).astype(np.float32)
    sketch = whole(Activations(), Outputs(features=torch.from_numpy(values)))
    assert sketch.quantile(p) == pytest.approx(float(np.quantile(values, p)), rel=2**-10, abs=1e-30)


@settings(deadline=None, max_examples=10)
@given(cuts=CUTS, chunk=st.integers(20, 250))
def test_quantile_sketches_add_up_exactly(cuts: list[int], chunk: int) -> None:
    rows = outputs()
    assert torch.equal(sharded(Activations(), rows, cuts, chunk).counts, whole(Activations(), rows).counts)


BANKS = (
    Bank(),
    Bank(share=0.3),
    Bank(limit=17),
    Bank(share=0.5, limit=40, seed=3),
    Bank(("logits", "labels"), limit=9),
)


@pytest.mark.parametrize("bank", BANKS, ids=str)
@settings(deadline=None, max_examples=10)
@given(cuts=CUTS, chunk=st.integers(1, 250))
def test_banks_do_not_depend_on_the_cut(bank: Bank, cuts: list[int], chunk: int) -> None:
    rows = outputs()
    ours, expected = sharded(bank, rows, cuts, chunk), whole(bank, rows)
    assert ours.arrays.keys() == expected.arrays.keys()
    for name in ours.arrays:
        assert torch.equal(ours[name], expected[name])


def test_a_bank_keeps_what_it_is_told() -> None:
    rows = Outputs(torch.randn(50, 2), torch.randn(50, 3), layers={"a/x": torch.randn(50, 1), "b": torch.randn(50, 1)})
    bank: Outputs = whole(Bank(("logits", "a"), limit=20), rows).outputs()
    assert len(bank) == 20
    assert bank.present == ("logits",)
    assert list(bank.layers) == ["a/x"]


def test_a_bank_keeps_the_order_of_the_rows() -> None:
    rows = Outputs(features=torch.arange(300.0)[:, None])
    drawn = whole(Bank(share=0.5, limit=60, seed=1), rows)["features"][:, 0]
    assert torch.equal(drawn, drawn.sort().values)
    assert len(drawn.unique()) == 60


def test_another_seed_draws_other_rows() -> None:
    drawn = [set(whole(Bank(("labels",), share=0.5, seed=seed), numbered())["labels"].tolist()) for seed in range(3)]
    assert all(400 < len(rows) < 600 for rows in drawn)
    assert 150 < len(drawn[0] & drawn[1]) < 350
    assert drawn[1] != drawn[2]


def numbered() -> Outputs:
    return Outputs(labels=torch.arange(1000))


def test_an_empty_draw_is_an_error() -> None:
    with pytest.raises(UserError, match="larger share"):
        whole(Bank(share=1e-6), outputs())


def test_priorities_are_uniform() -> None:
    places = priorities(np.arange(20_000), seed=4)
    assert np.abs(np.histogram(places, bins=10, range=(0, 1))[0] / 2000 - 1).max() < 0.1
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.03
    assert len(np.unique(places)) == len(places)


class Counting:
    """Chunks that count how often they are read."""

    def __init__(self, rows: Outputs) -> None:
        self.inner, self.passes = InMemory(rows, 64), 0

    def __iter__(self) -> Iterator[Outputs]:
        self.passes += 1
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)


def test_folds_share_a_pass_and_are_computed_once() -> None:
    train, val = Counting(outputs()), Counting(outputs(60, seed=1))
    data = FitData(train, val)
    data.prepare([Moments(), Activations(), Bank(limit=5), Moments(), Bank(limit=5, split="val")])
    assert (train.passes, val.passes) == (1, 1)
    _ = data.moments, data.quantile(0.5), data.bank(limit=5), data.fold(Bank(limit=5, split="val"))
    assert (train.passes, val.passes) == (1, 1)


def test_what_settings_share_is_made_once() -> None:
    data, made = FitData.of(outputs()), []
    assert [data.once(("a", 1), lambda: made.append(1) or len(made)) for _ in range(3)] == [1, 1, 1]
    assert data.once(("a", 2), lambda: made.append(1) or len(made)) == 2


def test_labels_outside_the_head_are_named() -> None:
    rows = outputs()
    wrong = Outputs(rows.logits, rows.features, rows.labels + 1)
    with pytest.raises(UserError, match="labels from 0 to 2.*got labels from 1 to 3"):
        _ = FitData.of(wrong).moments


def test_absent_splits_say_so() -> None:
    with pytest.raises(UserError, match="got none"):
        FitData.of(outputs()[:0])
    with pytest.raises(UserError, match="validation split"):
        _ = FitData.of(outputs()).val


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def summed(a: Tensor, b: Tensor) -> Tensor:
        sizes.append(len(a))
        return (a * b).sum(1)

    a, b = torch.randn(23, 4), torch.randn(23, 4)
    monkeypatch.setattr("outfield.features.row_chunks.CELLS", 50)
    torch.testing.assert_close(in_pieces(summed, 10, a, b), (a * b).sum(1))
    assert sizes == [5, 5, 5, 5, 3]


def test_one_bank_serves_all_that_ask_for_its_rows() -> None:
    out = Outputs(logits=torch.rand(50, 3), features=torch.rand(50, 4), labels=torch.arange(50) % 3)
    narrow, wide = Bank(("features",), limit=20), Bank(("features", "logits"), limit=20)
    data = FitData.of(out)
    data.prepare([narrow, wide])
    assert data.fold(narrow)["features"] is data.fold(wide)["features"]
    assert torch.equal(data.fold(narrow)["features"], FitData.of(out).fold(narrow)["features"])
    assert list(data.fold(narrow).arrays) == ["features"]


def stored(out: Outputs, kind: type[np.floating[Any]] = np.float32) -> Values:
    fields = {name: getattr(out, name).numpy() for name in out.present}
    return Values({n: a.astype(kind) if a.dtype.kind == "f" else a for n, a in fields.items()}, size=13)


@pytest.mark.parametrize("bank", BANKS, ids=str)
def test_banks_of_rows_on_disk_are_read_by_number(bank: Bank) -> None:
    rows = outputs()
    expected, ours = FitData.of(rows).fold(bank), FitData(stored(rows)).fold(bank)
    assert ours.arrays.keys() == expected.arrays.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in ours.arrays)


def test_a_bank_of_half_precision_stays_half_until_it_is_read() -> None:
    bank = FitData(stored(outputs(), np.float16)).fold(Bank(limit=30))
    assert bank["features"].dtype == torch.float16
    assert bank.outputs().features.dtype == torch.float32


def test_an_empty_draw_on_disk_is_told_when_it_is_asked_for() -> None:
    data = FitData(stored(outputs()))
    data.prepare([Bank(share=1e-6), Moments()])
    with pytest.raises(UserError, match="larger share"):
        data.fold(Bank(share=1e-6))


@dataclass(frozen=True)
class Seen(Fold[set[str], set[str]]):
    """Names of what a pass hands over."""

    reads: ClassVar[tuple[str, ...] | None] = ("labels", "gram")

    def start(self, like: Outputs) -> set[str]:
        return {*like.present, *like.layers}

    def update(self, total: set[str], chunk: Outputs, first: int) -> set[str]:
        return total

    def merge(self, total: set[str], other: set[str]) -> set[str]:
        return total | other

    def finish(self, total: set[str]) -> set[str]:
        return total


def test_what_no_fold_reads_stays_on_disk() -> None:
    rows = stored(outputs())
    arrays = {**rows.arrays, "gram/1": rows.arrays["logits"], "odin": rows.arrays["logits"]}
    assert FitData(Values(arrays)).fold(Seen()) == {"labels", "gram/1"}


def test_a_covariance_far_from_singular_is_whitened_without_eigenvectors(monkeypatch: pytest.MonkeyPatch) -> None:
    covariance = torch.cov(torch.randn(6, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    by_vectors = torch.linalg.eigh(covariance)
    monkeypatch.setattr("outfield.features.moments.spectrum", lambda _: pytest.fail("eigenvectors"))
    root = whitener(covariance)
    expected = by_vectors.eigenvectors / by_vectors.eigenvalues @ by_vectors.eigenvectors.T
    torch.testing.assert_close(root @ root.T, expected)
    with pytest.raises(pytest.fail.Exception):
        whitener(covariance - (1 - 1e-12) * by_vectors.eigenvalues[0] * torch.eye(6, dtype=torch.float64))
