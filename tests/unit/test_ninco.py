"""NINCO: contaminated OOD sets, unit tests that are failed, FPRs by OOD class, and the folder as it is published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.stats import norm

from outfield import registry, stats
from outfield.data.datasets import parts_of
from outfield.errors import UserError
from outfield.metrics.auroc import Auroc
from outfield.metrics.fpr_at_95_id import FprAt95Id
from outfield.reports.results import Results
from outfield.types import Estimate


@pytest.mark.parametrize("auroc", [0.6, 0.9, 0.99])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_id_inputs_in_an_ood_set_move_its_auroc_by_the_formula(auroc: float, share: float) -> None:
    rng = np.random.default_rng(0)
    known, inside = rng.normal(size=40_000), rng.random(40_000) < share
    scores = rng.normal(size=40_000) + np.where(inside, 0, np.sqrt(2) * norm.ppf(auroc))
    measured = Auroc()(known, scores)
    assert measured.value == pytest.approx(stats.contaminated(auroc, share), abs=0.01)
    assert stats.cleaned(measured, Estimate(share, share, share)).value == pytest.approx(auroc, abs=0.01)


def test_the_inverse_recovers_the_auroc_exactly() -> None:
    for auroc in (0.2, 0.5, 0.77, 1.0):
        for share in (0.0, 0.25, 0.9):
            mixed = stats.contaminated(auroc, share)
            assert stats.cleaned(Estimate(mixed), Estimate(share)).value == pytest.approx(auroc)


def test_an_audit_widens_the_interval_and_its_ends_move_the_right_way() -> None:
    measured = Estimate(0.86, 0.84, 0.88, n=1000)
    known, audit = stats.cleaned(measured, Estimate(0.2, 0.2, 0.2)), stats.cleaned(measured, stats.audited(80, 400))
    assert (known.low, known.high) == pytest.approx((0.925, 0.975))
    assert audit.low < known.low < known.value == audit.value < known.high < audit.high
    below = stats.cleaned(Estimate(0.3, 0.28, 0.32), stats.audited(80, 400))
    assert below.low < 0.25 < below.high and below.value == pytest.approx(0.25)


def test_what_cannot_be_cleaned_is_refused() -> None:
    with pytest.raises(UserError, match="surely OOD in part"):
        stats.cleaned(Estimate(0.5), Estimate(1.0))
    with pytest.raises(UserError, match="Count both again"):
        stats.audited(5, 4)
    with pytest.raises(UserError, match="Divide percent"):
        stats.contaminated(0.9, 20)


def rows(values: dict[tuple[str, str, str], float], category: str, sizes: dict[str, int] | None = None) -> pl.DataFrame:
    made = [
        {"model": model, "strategy": model, "detector": detector, "metric": "fpr_at_95_id", "ood": "pool", "part": part,
         "ood_category": category, "set_kind": "ood", "role": "test", "value": value, "low": value - 0.05,
         "n_ood": (sizes or {}).get(part, 50)}
        for (model, detector, part), value in values.items()
    ]  # fmt: skip
    return pl.DataFrame(made)


def test_the_table_of_failed_unit_tests_counts_those_above_ten_percent() -> None:
    """Five detectors on twelve tests, counted by hand."""
    failing = {"msp": 3, "mls": 0, "energy": 5, "knn": 1, "vim": 12}
    values = {
        ("net", detector, f"t{i:02d}"): 0.11 if i < count else 0.10
        for detector, count in failing.items()
        for i in range(12)
    }
    found = registry.create("analyses", "unit_tests_failed").of(Results.of(rows(values, "synthetic")))
    assert dict(found.frame().select("name", "value").iter_rows()) == {k: float(v) for k, v in failing.items()}
    assert found.sentences()[0] == "Of the 12 unit tests mls fails fewest, 0.0; vim most, 12.0."
    surely = registry.create("analyses", "unit_tests_failed", most=0.05).of(Results.of(rows(values, "synthetic")))
    assert dict(surely.frame().select("name", "surely").iter_rows()) == {k: float(v) for k, v in failing.items()}


def test_counts_are_averaged_over_seeds_then_strategies_and_ties_are_named_together() -> None:
    values = {(m, d, p): 0.5 for m in "ab" for d in ("knn", "msp") for p in ("t1", "t2")}
    values[("a", "knn", "t1")] = values[("b", "msp", "t2")] = 0.0
    found = registry.create("analyses", "unit_tests_failed").of(Results.of(rows(values, "synthetic")))
    assert found.frame().select("value", "low", "high").rows() == [(1.5, 1.0, 2.0)] * 2
    assert found.sentences()[0] == "All detectors fail 1.5 of the 2 unit tests."


def test_an_fpr_averaged_over_classes_equals_the_pooled_one_where_sizes_are_equal() -> None:
    rng = np.random.default_rng(0)
    known, classes = rng.normal(size=500), [rng.normal(shift, size=80) for shift in (0.5, 1.5, 3.0)]
    fpr = FprAt95Id()
    values = {("net", "msp", f"c{i}"): fpr(known, scores).value for i, scores in enumerate(classes)}
    pooled = fpr(known, np.concatenate(classes)).value
    assert np.mean(list(values.values())) == pytest.approx(pooled)
    analysis = registry.create("analyses", "fpr_by_ood_class")
    equal = analysis.of(Results.of(rows(values, "near", dict.fromkeys(("c0", "c1", "c2"), 80)))).frame()
    assert equal["value"][0] == pytest.approx(pooled) == equal["pooled"][0]
    sizes = {"c0": 800, "c1": 80, "c2": 80}
    unequal = analysis.of(Results.of(rows(values, "near", sizes))).frame()
    assert unequal["value"][0] == pytest.approx(pooled)
    assert unequal["pooled"][0] == pytest.approx(np.average(list(values.values()), weights=list(sizes.values())))


def test_the_published_folder_is_read_with_its_classes_as_parts(tmp_path: Path) -> None:
    layout = {"NINCO_OOD_classes": ("waffles", "s_sky"), "NINCO_OOD_unit_tests": ("black",),
              "NINCO_popular_datasets_subsamples": ("textures",)}  # fmt: skip
    for folder, names in layout.items():
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (6, 5), (40 * i, 0, 0)).save(tmp_path / folder / name / f"{i}.png")
    for part, (folder, names) in zip(("classes", "unit_tests", "subsamples"), layout.items(), strict=True):
        data = registry.create("sources", "ninco", path=str(tmp_path), part=part).load()
        inside = registry.create("sources", "ninco", path=str(tmp_path / folder), part=part).load()
        assert parts_of(data).tolist() == sorted(names * 2) and data.labels is None  # type: ignore[union-attr]
        assert data.digest() == inside.digest()


def test_a_folder_that_is_not_nincos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Expected the folder NINCO_OOD_classes of NINCO"):
        registry.create("sources", "ninco", path=str(tmp_path)).load()
    (tmp_path / "NINCO_OOD_classes").mkdir()
    Image.new("RGB", (6, 5)).save(tmp_path / "NINCO_OOD_classes" / "loose.png")
    with pytest.raises(UserError, match="lie in none"):
        registry.create("sources", "ninco", path=str(tmp_path)).load()
    with pytest.raises(UserError, match="Expected a part among"):
        registry.create("sources", "ninco", path=str(tmp_path), part="all")
