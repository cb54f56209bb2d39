"""timm's 1,555 rows: the published way's figures, and what they are by family."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from outfield.stats import correlations_by_cluster, independent_units, pearson
from outfield.tables.kin import clusters
from tests.reference.realdata import root

FILES = {"val": "imagenet", "real": "imagenet-real", "v2": "imagenetv2-matched-frequency", "sketch": "sketch",
         "a": "imagenet-a", "r": "imagenet-r"}  # fmt: skip
PLAIN = {"real": 0.988, "v2": 0.996, "sketch": 0.903, "a": 0.896, "r": 0.843}
GIVEN = {("sketch", "r"): 0.945, ("v2", "sketch"): 0.505, ("v2", "a"): 0.419, ("v2", "r"): 0.519,
         ("sketch", "a"): 0.507, ("a", "r"): 0.525}  # fmt: skip


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    folder = root("results/timm") / "results" / "timm"
    whole = None
    for name, file in FILES.items():
        read = pl.read_csv(folder / f"results-{file}.csv").select("model", "img_size", pl.col("top1").alias(name))
        read = read.unique(["model", "img_size"], keep="first", maintain_order=True)
        whole = read if whole is None else whole.join(read, on=["model", "img_size"], maintain_order="left")
    assert whole is not None
    return whole


@pytest.fixture(scope="module")
def probits(table: pl.DataFrame) -> np.ndarray:
    shares = table.select(list(FILES)).to_numpy() / 100
    return np.asarray(stats.norm.ppf(np.clip(shares, 1e-6, 1 - 1e-6)))


@pytest.fixture(scope="module")
def families(table: pl.DataFrame) -> tuple[str, ...]:
    found = clusters(table, table["model"].to_list())
    assert table.height == 1555 and len(set(found.clusters)) == 238
    return found.clusters


def test_the_usual_way_is_reproduced(probits, families):
    plain = correlations_by_cluster(probits, families, kind="pearson", names=list(FILES))
    given = correlations_by_cluster(probits, families, kind="pearson", given=0, names=list(FILES))
    assert {name: plain.of("val", name).value for name in PLAIN} == pytest.approx(PLAIN, abs=0.002)
    assert {pair: given.of(*pair).value for pair in GIVEN} == pytest.approx(GIVEN, abs=0.002)


def test_intervals_by_family_are_wider(probits, families):
    ours = correlations_by_cluster(probits, families, kind="pearson", names=list(FILES)).of("val", "sketch")
    usual = pearson(probits[:, 0], probits[:, 3]).estimate
    assert (usual.low, usual.high) == pytest.approx((0.894, 0.912), abs=0.001)
    assert (ours.low, ours.high) == pytest.approx((0.874, 0.921), abs=0.003)
    assert 250 < independent_units(probits.T, families) < 400
