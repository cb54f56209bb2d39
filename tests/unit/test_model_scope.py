"""What the model gets wrong, OOD or not: the metric, its identities, and the study that reports it beside the AUROC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from outfield import registry
from outfield.metrics.base import IdScores
from outfield.reports.results import Results
from outfield.store import query
from tests.support import run_small

SCOPE, AUROC = (registry.create("metrics", name) for name in ("auroc_out_of_scope", "auroc"))
RNG = np.random.default_rng(0)


def test_a_perfect_ood_monitor_is_not_perfect_where_the_model_errs() -> None:
    """ID at 0, four shifted inputs at 1, two of them right: perfect as a monitor of OOD, not as one of errors."""
    id_scores, shifted = np.zeros(4), np.ones(4)
    assert AUROC(id_scores, shifted).value == 1.0
    right = [True] * 4 + [True, True, False, False]
    wrong = SCOPE(np.concatenate([id_scores, shifted])[:7], right[:7], [1.0]).value
    # 6 right (4 at 0, 2 at 1) against 2 wrong at 1: 4/6 below, 2/6 tied
    assert wrong == pytest.approx(4 / 6 + 2 / 6 / 2) and wrong < 1


def test_without_ood_it_is_misclassification_detection() -> None:
    scores, correct = RNG.normal(size=200), RNG.random(200) < 0.7
    known = registry.create("metrics", "auroc_correct_vs_incorrect")(scores, correct).value
    # one OOD input whose weight is next to nothing: no OOD case
    assert SCOPE(scores, correct, [0.0], ood_weights=[1e-12]).value == pytest.approx(known, abs=1e-9)


def test_of_a_model_without_errors_it_is_the_auroc() -> None:
    scores, ood = RNG.normal(size=50), RNG.normal(1, 1, 30)
    assert SCOPE(scores, np.ones(50, bool), ood).value == AUROC(scores, ood).value


def test_an_oracle_of_correctness_gives_one() -> None:
    correct = RNG.random(80) < 0.8
    assert SCOPE(1.0 - correct, correct, np.ones(20)).value == 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_it_equals_scikit_learn_on_the_pooled_inputs(weighted: bool) -> None:
    scores, correct, ood = RNG.normal(size=90).round(1), RNG.random(90) < 0.6, RNG.normal(1, 1, 40).round(1)
    w, v = (RNG.uniform(0.5, 2, n) if weighted else np.ones(n) for n in (90, 40))
    expected = roc_auc_score(
        np.concatenate([~correct, np.ones(40, bool)]),
        np.concatenate([scores, ood]),
        sample_weight=np.concatenate([w, v]),
    )
    found = SCOPE(scores, correct, ood, weights=w, ood_weights=v) if weighted else SCOPE(scores, correct, ood)
    assert found.value == pytest.approx(expected, abs=1e-12)


def test_sources_add_up_to_the_whole() -> None:
    scores, correct, ood = RNG.normal(size=90), RNG.random(90) < 0.6, RNG.normal(1, 1, 40)
    wrong = int((~correct).sum())
    parts = [
        registry.create("metrics", "auroc_correct_vs_incorrect")(scores, correct).value,
        registry.create("metrics", "auroc_correct_vs_ood")(scores, correct, ood).value,
    ]
    assert SCOPE(scores, correct, ood).value == pytest.approx((wrong * parts[0] + 40 * parts[1]) / (wrong + 40))


def test_the_fpr_is_that_of_right_inputs_at_the_threshold_of_all_wrong() -> None:
    scores, correct, ood = RNG.normal(size=90), RNG.random(90) < 0.6, RNG.normal(1, 1, 40)
    wrong = np.sort(np.concatenate([scores[~correct], ood]))
    bound = wrong[len(wrong) - int(np.ceil(0.95 * len(wrong)))]
    found = registry.create("metrics", "fpr_out_of_scope")(scores, correct, ood).value
    assert found == pytest.approx((scores[correct] >= bound).mean())


# --- in a study -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = [{"strategy": name, "seeds": [0]} for name in ("baseline", "label_noise", "mixup")]
    changes = {"full_spectrum": True, "models": models, "detectors": ["msp", "energy", "mds", "knn", "odin"]}
    return run_small(tmp_path_factory.mktemp("scope"), **changes, epochs=3).folder


def test_a_study_reports_both_and_how_the_ranking_changes(study: Path) -> None:
    results = Results.of(study)
    found = registry.create("analyses", "model_scope").of(results)
    table = found.frame()
    assert set(table["detector"]) == {"msp", "energy", "mds", "knn", "odin"} and results.models.height == 3
    scope = results.metric("auroc_out_of_scope", "ood").group_by("detector").agg(pl.col("value").mean())
    assert dict(table.select("detector", "scope").iter_rows()) == pytest.approx(dict(scope.iter_rows()))
    assert "Kendall's tau" in found.sentences()[0] and table["scope full spectrum"].null_count() == 0
    n, ood = results.n_id, 174 + 12
    assert f"of {n + ood} inputs" in " ".join(found.sentences())


def test_full_spectrum_measures_are_those_of_id_and_shifted_id_together(study: Path) -> None:
    rows = query.rows(study).filter(pl.col("detector") == "mds", pl.col("model") == "baseline-0")
    from outfield.store import scores

    kept = scores.of_model(study, "baseline-0").filter(pl.col("detector") == "mds")
    familiar = kept.filter(pl.col("set").is_in(["test", "gaussian_noise 1", "gaussian_noise 5"]))["score"]
    ood = kept.filter(pl.col("set") == "digit 8")["score"]
    truth, pooled = np.repeat([0, 1], [len(familiar), len(ood)]), np.concatenate([familiar, ood]).astype(float)
    assert len(familiar) == 3 * Results.of(study).n_id

    def value(metric: str) -> float:
        found = rows.filter(pl.col("metric") == f"{metric}_full_spectrum", pl.col("ood") == "digit 8")
        assert found["low"].null_count() == 1, "no interval: shifted versions of an input are not independent"
        return float(found["value"].item())

    assert value("auroc") == pytest.approx(roc_auc_score(truth, pooled), abs=1e-12)
    assert value("aupr_out") == pytest.approx(average_precision_score(truth, pooled), abs=1e-12)
    plain = rows.filter(pl.col("metric") == "auroc", pl.col("ood") == "digit 8")
    assert plain["low"].null_count() == 0 and plain["value"].item() != value("auroc")
    assert rows.filter(pl.col("set_kind") == "shift").is_empty(), "a shifted ID set is no OOD set"


def test_fitting_on_right_samples_changes_what_is_fitted_and_nothing_else(tmp_path: Path) -> None:
    few = {"models": [{"strategy": "label_noise", "seeds": [0]}], "detectors": ["msp", "knn"], "epochs": 4}
    whole = query.rows(run_small(tmp_path, **few).folder)
    right = query.rows(run_small(tmp_path / "right", **few, fit_on="right").folder)
    by = ["model", "detector", "metric", "ood", "part", "severity"]
    both = whole.join(right, on=by, nulls_equal=True, suffix=" right", validate="1:1")
    assert both.height == whole.height == right.height
    same = both.with_columns(same=pl.col("value").eq_missing(pl.col("value right")))
    unfitted = pl.col("detector").is_null() | (pl.col("detector") == "msp")
    assert same.filter(unfitted)["same"].all(), "the model and a detector without a fit are as they were"
    assert (both["data_digest"] == both["data_digest right"]).all()
    assert not same.filter(pl.col("detector") == "knn", pl.col("metric") == "auroc")["same"].all()


def test_the_fit_is_that_of_the_right_rows_alone() -> None:
    from outfield.features.extract import Values
    from outfield.studies.bench import _right

    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    values = Values({"logits": logits, "features": np.arange(8.0).reshape(4, 2), "labels": np.array([0, 2, 2, 1])})
    assert _right(values).arrays["features"].tolist() == [[0.0, 1.0], [4.0, 5.0]]
    assert IdScores([0.0, 1.0]).correct is None
