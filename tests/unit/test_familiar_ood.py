"""OOD classes that pre-training has seen: the probe, how linearly separable a set is, and whether detectors follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from outfield import registry
from outfield.data.member import Counted, Member
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.features.separability import DECAY, linear_separability
from outfield.metrics.auroc import Auroc
from outfield.models.heads import last_linear
from outfield.reports.results import Results
from outfield.store import query
from outfield.strategies import train
from outfield.strategies.pretrain_probe import PretrainProbe
from outfield.studies.job import Job
from outfield.studies.run import run
from outfield.studies.spec import Spec
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn
from outfield.types import Batch


def test_separability_is_that_of_leaving_out_each_item_in_turn() -> None:
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(size=(40, 3)), rng.normal(0.8, 1, (25, 3))
    x, y = np.concatenate([known, unknown]), np.repeat([-1.0, 1.0], [40, 25])
    weight = np.repeat([0.5 / 40, 0.5 / 25], [40, 25]) * 65
    z = np.column_stack([np.ones(65), (x - x.mean(0)) / x.std(0)])
    penalty = DECAY * 65 * np.diag([0, 1, 1, 1])
    said = []
    for row in range(65):
        kept = np.arange(65) != row
        w = weight[kept, None]
        beta = np.linalg.solve(z[kept].T @ (w * z[kept]) + penalty, z[kept].T @ (w[:, 0] * y[kept]))
        said.append(z[row] @ beta)
    assert linear_separability(known, unknown) == pytest.approx(Auroc()(said[:40], said[40:]).value)


def test_a_feature_that_never_varies_and_more_features_than_items_are_no_fault() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(30, 80))
    wide[:, 0] = 1.0
    assert 0.5 <= linear_separability(wide[:15], wide[15:]) <= 1


def trained(strategy: PretrainProbe, stream: Batch, labels: torch.Tensor) -> nn.Module:
    data = Batch(pictures(24).x, labels, streams={"learn": stream})
    return train(strategy, lambda: small_cnn(), data, Classify(classes=3), seed=0)


def parts(network: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights of the backbone, and those of the head."""
    name, head = last_linear(network)
    rest = [weight.flatten() for key, weight in network.named_parameters() if not key.startswith(name)]
    return torch.cat(rest), head.weight


@pytest.mark.parametrize("supervised", [True, False])
def test_the_stream_alone_makes_the_backbone_and_the_training_set_the_head(supervised: bool) -> None:
    strategy = PretrainProbe(supervised=supervised, classes=3, batch_size=12, epochs=1)
    stream, labels = pictures(36), torch.arange(24) % 3
    backbone, head = parts(trained(strategy, stream, labels))
    same, other_head = parts(trained(strategy, stream, (labels + 1) % 3))
    assert torch.equal(backbone, same) and not torch.allclose(head, other_head)
    turned, _ = parts(trained(strategy, Batch(stream.x, (stream.y + 1) % 3), labels))  # type: ignore[operator, arg-type]
    assert torch.equal(backbone, turned) is not supervised
    other, _ = parts(trained(strategy, Batch(stream.x.flip(3), stream.y), labels))
    assert not torch.equal(backbone, other)


def test_a_supervised_run_needs_labels_of_the_stream_within_its_classes() -> None:
    strategy = PretrainProbe(supervised=True, classes=2, batch_size=12, epochs=1)
    with pytest.raises(UserError, match="Expected labels from 0 to 1 in the stream 'learn', but it has others"):
        trained(strategy, pictures(36), torch.arange(24) % 3)
    with pytest.raises(UserError, match="it has none"):
        trained(strategy, Batch(pictures(36).x), torch.arange(24) % 3)


def rows(values: dict[str, tuple[float, float]]) -> pl.DataFrame:
    """A separability and an AUROC of each model."""
    made = []
    for model, (separability, auroc) in values.items():
        common = {"model": model, "strategy": model, "set_kind": "ood", "ood": "familiar", "role": "test"}
        made.append(common | {"metric": "linear_separability", "value": separability})
        made.append(common | {"metric": "auroc", "detector": "msp", "value": auroc})
    return pl.DataFrame(made, infer_schema_length=None)


def test_the_table_has_separability_and_auroc_and_their_rank_correlation() -> None:
    values = {f"m{i}": (0.9 + 0.01 * i, 0.6 + 0.03 * i + (0.05 if i == 3 else 0)) for i in range(8)}
    found = registry.create("analyses", "separability_and_detection").of(Results.of(rows(values)))
    (row,) = found.frame().iter_rows(named=True)
    assert row["value"] == pytest.approx(spearmanr(*zip(*values.values(), strict=True)).statistic) and row["n"] == 8
    assert row["separability"] == pytest.approx(0.935) and row["low"] > 0
    assert "rises with separability, its interval above 0, in 1 of 1 pairs" in found.sentences()[0]
    few = registry.create("analyses", "separability_and_detection").of(Results.of(rows(dict(list(values.items())[:4]))))
    assert few.frame()["value"].null_count() == 1 and "of fewer than 5 strategies" in few.sentences()[0]


def test_a_study_gives_the_separability_where_it_asks_for_it(tmp_path: Path) -> None:
    digits = {"name": "digits", "classes": [0, 1]}
    spec = {
        "name": "familiar",
        "id": {part: digits | {"part": of} for part, of in {"train": "fit", "val": "val", "test": "test"}.items()},
        "streams": {"learn": {"name": "digits", "classes": [2, 3, 8], "part": "fit"}},
        "ood": [{"name": "familiar", "category": "near", "source": {"name": "digits", "classes": [8], "part": "test"}}],
        "network": "small_cnn",
        "models": [
            {"strategy": {"name": "pretrain_probe", "supervised": True, "classes": 3, "epochs": 1}, "seeds": [0]}
        ],
        "separability": True,
        "detectors": ["msp"],
        "resources": {"processes": 1},
    }
    cache = Cache(tmp_path / "cache")
    assert not run(Spec.parse(spec), tmp_path / "out", cache=cache).failures
    (row,) = query.rows(tmp_path / "out", "metric = 'linear_separability'").iter_rows(named=True)
    assert (row["ood"], row["set_kind"], row["detector"]) == ("familiar", "ood", None) and 0.5 <= row["value"] <= 1
    far = Member("far", "ood", Counted(9), "far")
    assert not Job("a", None).reads(far) and Job("a", None, separability=True).reads(far)
