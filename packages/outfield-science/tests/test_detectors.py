"""The one-class methods: each against a second opinion, and all by what every detector keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn import decomposition, ensemble, svm
from sklearn.metrics import roc_auc_score
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.registry import create, names
from outfield.types import Outputs, State
from outfield_science import spd
from outfield_science.sources.micro_doppler import MicroDoppler

ALL: list[tuple[str, dict[str, Any]]] = [
    *((name, {"representation": one}) for name in ("oc_svm", "input_forest", "rpo") for one in
      ("spectrum", "covariance", "tangent")),
    ("tangent_pca", {}),
]  # fmt: skip


def signatures(blades: tuple[int, ...], n: int, part: str = "fit") -> Outputs:
    data = MicroDoppler(blades, n=n, part=part, pulses=16, bursts=16).load()  # type: ignore[arg-type]
    return Outputs(inputs=torch.from_numpy(np.asarray(data.read(slice(None)))).permute(0, 3, 1, 2))


TRAIN, TEST, NOISE = signatures((1, 2), 100), signatures((1, 2), 40, "test"), signatures((6,), 80, "test")


def fitted(name: str, **params: Any) -> tuple[Detector, State]:
    detector: Detector = create("detectors", name, **params)
    return detector, detector.fit(FitData.of(TRAIN))


def rows(variance: float, of: Outputs) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Principal components of the spectra, by scikit-learn."""
    pca = decomposition.PCA(variance, svd_solver="full").fit(TRAIN.inputs.flatten(1).double().numpy())
    return np.asarray(pca.transform(of.inputs.flatten(1).double().numpy()))


def ordered_alike(ours: Tensor, theirs: Any) -> None:
    np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), rtol=1e-6, atol=1e-9)


def test_the_packages_detectors_are_found_by_name() -> None:
    assert {"input_forest", "oc_svm", "rpo", "svdd", "tangent_pca"} <= set(names("detectors"))


def test_oc_svm_is_minus_the_decision_of_scikit_learn() -> None:
    detector, state = fitted("oc_svm", nu=0.1)
    peer = svm.OneClassSVM(nu=0.1, gamma="scale").fit(rows(0.95, TRAIN))
    ordered_alike(detector.score(TEST, state), -peer.decision_function(rows(0.95, TEST)))


def test_isolation_forest_is_minus_the_score_of_scikit_learn() -> None:
    detector, state = fitted("input_forest", variance=0.8, seed=3)
    projected = (TRAIN.inputs.flatten(1).double() - state["mean"]) @ state["components"]
    forest = ensemble.IsolationForest(max_samples=200, random_state=3).fit(projected.float().numpy())
    seen = (TEST.inputs.flatten(1).double() - state["mean"]) @ state["components"]
    ordered_alike(detector.score(TEST, state), -forest.score_samples(seen.float().numpy()))


def test_rpo_is_the_formula_in_numpy() -> None:
    detector, state = fitted("rpo", projections=50)
    u = state["directions"].numpy()
    np.testing.assert_allclose(np.linalg.norm(u, axis=0), 1)
    train, test = ((out.inputs.flatten(1).double() - state["mean"]) @ state["components"] for out in (TRAIN, TEST))
    along, median = test.numpy() @ u, np.median(train.numpy() @ u, axis=0)
    mad = np.median(np.abs(train.numpy() @ u - median), axis=0)
    ordered_alike(detector.score(TEST, state), (np.abs(along - median) / mad).max(1))


def test_tangent_pca_is_pca_of_tangent_vectors_by_scikit_learn() -> None:
    detector, state = fitted("tangent_pca", components=20, last=10)
    train, test = (spd.tangent(state["base"], spd.matrices(out.inputs, 1e-3)).numpy() for out in (TRAIN, TEST))
    peer = decomposition.PCA(20, svd_solver="full").fit(train)
    ordered_alike(detector.score(TEST, state), (peer.transform(test)[:, -10:] ** 2).sum(1))


@pytest.mark.parametrize(("name", "params"), ALL)
def test_a_score_is_of_its_row_alone_finite_and_the_same_after_safetensors(name: str, params: dict[str, Any]) -> None:
    detector, state = fitted(name, **params)
    together = detector.score(TEST, load(save(state)))
    assert together.shape == (80,) and together.isfinite().all()
    alone = torch.cat([detector.score(chunk, state) for chunk in TEST.chunks(7)])
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("name", "params"), ALL)
def test_six_blades_lie_further_out_than_one_and_two(name: str, params: dict[str, Any]) -> None:
    detector, state = fitted(name, **params)
    scores = torch.cat([detector.score(out, state) for out in (TEST, NOISE)])
    assert roc_auc_score(np.repeat([0, 1], 80), scores) > 0.6


def test_a_representation_that_there_is_not_is_told() -> None:
    with pytest.raises(UserError, match="Expected a representation among spectrum, covariance, tangent, but got 'x'"):
        create("detectors", "rpo", representation="x")
