"""The AUROCs that Outlier Exposure published for MNIST, from its weights and our MSP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from outfield.features.cache import Cache
from outfield.store import query
from outfield.studies.run import run
from outfield.studies.spec import Spec, shipped
from tests.reference import realdata

PUBLISHED = {
    ("baseline", "Fashion-MNIST"): 0.9931,
    ("baseline", "notMNIST"): 0.9604,
    ("OE tuned", "Fashion-MNIST"): 0.9990,
    ("OE tuned", "notMNIST"): 0.9837,
}


def shortened(root: Path) -> dict[str, Any]:
    """The shipped study with these two models, two sets and MSP alone."""
    study = Spec.load(shipped("mnist_oe"), root)
    keep = study.model_dump(mode="json")
    keep["models"] = [model for model in keep["models"] if model["label"] in {name for name, _ in PUBLISHED}]
    keep["ood"] = [one for one in keep["ood"] if one["name"] in {name for _, name in PUBLISHED}]
    return keep | {"detectors": ["msp"], "shifts": []}


def test_the_published_aurocs_and_errors_of_msp_come_back(tmp_path: Path) -> None:
    root = realdata.root("vision/mnist_test.zip", "vision/notmnist_test.npz", "weights/mnist/oe_tune.pt")
    outcome = run(Spec.parse(shortened(root)), tmp_path / "results", cache=Cache(tmp_path / "cache")).check()
    rows = query.rows(outcome.folder).filter(pl.col("part").is_null())
    aurocs = {
        (model, ood): value for model, ood, value in rows.filter(metric="auroc").select("model", "ood", "value").rows()
    }
    assert aurocs == {key: pytest.approx(value, abs=0.0015) for key, value in PUBLISHED.items()}
    accuracy = dict(rows.filter(metric="accuracy", set_kind="id").select("model", "value").rows())
    assert accuracy == {"baseline": pytest.approx(0.9906), "OE tuned": pytest.approx(0.9908)}
