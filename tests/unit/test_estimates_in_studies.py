"""Accuracy without labels as rows of a study, and as its report shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression

from outfield import registry
from outfield.card.page import html
from outfield.card.run import evaluate
from outfield.data.datasets import ArrayDataset
from outfield.data.member import Member
from outfield.errors import UserError
from outfield.estimators.base import Estimator
from outfield.features.cache import Cache, InMemory
from outfield.models.sklearn import SklearnModel
from outfield.reports.displays.estimates import ESTIMATED as SHOWN
from outfield.reports.displays.estimates import errors, estimated_accuracy, estimates
from outfield.reports.results import Results
from outfield.store import schema
from outfield.store.subject import Subject
from outfield.studies.bench import ESTIMATED, Measured, measure
from outfield.studies.job import Job
from outfield.studies.plan import Basis, jobs_of
from outfield.studies.sets import Sets
from outfield.studies.spec import Spec
from outfield.tasks.classify import Classify
from outfield.testing import simulated
from outfield.trajectory.nli.spec import Nli

CHEAP = ("average_confidence", "difference_of_confidences")


def estimators(*names: str) -> tuple[Estimator, ...]:
    return tuple(registry.create("estimators", name) for name in names)


def member(name: str, role: Any, scale: float, n: int = 1200, **columns: Any) -> Member:
    """Two classes whose labels follow one logistic law; ``scale`` says how far items lie from its boundary."""
    rng = np.random.default_rng(len(name) + n)
    x = scale * rng.normal(size=(n, 2))
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
    return Member(name, role, ArrayDataset(x, y), **columns)


@pytest.fixture(scope="module")
def sets() -> Sets:
    shift = member("near boundary 3", "shift", 0.4, 4000, shift="near boundary", severity=3)
    known = (member("train", "train", 2.0, 1500), member("val", "val", 2.0, 1400), member("test", "test", 2.0, 1300))
    return Sets(*known, ood=(), tuning=(), shifts=(shift,))


def measured(sets: Sets, *names: str) -> Measured:
    train = sets.train.data
    items = np.asarray(train.read(slice(0, len(train))))
    model = SklearnModel(LogisticRegression().fit(items, np.asarray(train.labels)))
    job = Job("a1", None, estimators=estimators(*names))
    (found,) = measure(model, sets, Classify(classes=2), [job], InMemory(), subject=Subject("demo", "tiny", "logistic"))
    return found


def test_estimators_make_rows_of_the_test_set_and_of_every_shift(sets: Sets) -> None:
    table = schema.frame(measured(sets, *CHEAP).rows)
    found = table.filter(pl.col("metric") == ESTIMATED)
    assert found.select("set_kind", "ood", "params").rows() == [
        (kind, ood, f'{{"estimator":"{name}"}}')
        for kind, ood in (("id", None), ("shift", "near boundary 3"))
        for name in CHEAP
    ]
    truth = table.filter(pl.col("metric") == "accuracy", pl.col("set_kind") == "shift")["value"].item()
    shifted = found.filter(pl.col("set_kind") == "shift")
    assert truth < 0.75
    assert shifted["value"].to_list() == pytest.approx([truth, truth], abs=0.03)
    assert found.filter(pl.col("low").ge(pl.col("value")) | pl.col("high").le(pl.col("value"))).is_empty()


def test_rows_without_estimators_are_those_with_them_less_theirs(sets: Sets) -> None:
    def values(found: Measured) -> list[Any]:
        return [(row["metric"], row["ood"], row["value"], row["low"]) for row in found.rows]

    plain, more = values(measured(sets)), values(measured(sets, *CHEAP))
    assert not [row for row in plain if row[0] == ESTIMATED]
    assert plain == [row for row in more if row[0] != ESTIMATED]


def test_a_study_without_estimators_has_the_keys_that_it_had() -> None:
    basis = Basis({"study": "demo"}, [], {})
    asked = [next(jobs_of({"model": "ab12"}, "net", [], basis, estimators=estimators(*some))).key
             for some in ((), CHEAP[:1], CHEAP)]  # fmt: skip
    assert asked[0] == next(jobs_of({"model": "ab12"}, "net", [], basis)).key
    assert len(set(asked)) == 3


def test_a_job_without_estimators_does_not_read_the_validation_set(sets: Sets) -> None:
    assert not Job("a1", None).reads(sets.val)
    assert Job("a1", None, estimators=estimators(*CHEAP)).reads(sets.val)


def test_too_few_labelled_items_are_told(sets: Sets) -> None:
    few = Sets(sets.train, member("val", "val", 2.0, 20), sets.test, ood=(), tuning=(), shifts=())
    assert "at least 30 items" in measured(few, *CHEAP).failure
    assert not measured(few).failure


STUDY: dict[str, Any] = {
    "name": "tiny", "network": "small_cnn", "models": [{"strategy": "baseline"}],
    "id": dict.fromkeys(("train", "val", "test"), "digits"),
    "ood": [{"name": "far", "category": "far", "source": "digits"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("average_confidenc", r"estimators\[0\]: .*average_confidence"),
        ({"name": "average_confidence", "warmth": 2}, r"estimators\[0\].*no parameter 'warmth'"),
        ("agreement", r"estimators\[0\]: 'agreement' compares two models"),
    ],
)
def test_a_study_file_tells_of_estimators_that_it_cannot_use(named: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Spec.parse(STUDY | {"estimators": [named]})
    with pytest.raises(UserError, match=r"no_such_field[\s\S]*" + said):
        Spec.parse(STUDY | {"estimators": [named], "no_such_field": 1})
    assert Spec.parse(STUDY | {"estimators": list(CHEAP)}).estimators[1].name == CHEAP[1]


def test_trajectories_of_nli_take_estimators() -> None:
    one = {"name": "SNLI", "format": "snli", "path": "dev.tsv"}
    study: dict[str, Any] = {
        "name": "tiny", "models": [{"label": "net", "path": "net"}], "train": [one], "id": one,
        "ood": [{"name": "HANS", "format": "hans", "path": "hans.txt"}], "items": {"id": 60},
    }  # fmt: skip
    assert Nli.parse(study | {"estimators": list(CHEAP)}).estimators[0].name == CHEAP[0]
    with pytest.raises(UserError, match=r"items\.id: missing; estimators read labelled pairs"):
        Nli.parse(study | {"estimators": list(CHEAP), "items": {}})
    with pytest.raises(UserError, match="compares two models"):
        Nli.parse(study | {"estimators": ["agreement"]})


def pairs(truth: np.ndarray, estimate: np.ndarray, seeds: int = 1) -> pl.DataFrame:
    """Estimates of models [models, sets], ``seeds`` models a strategy."""
    models, sets = truth.shape
    rows = [
        {
            "model": f"m{i}", "strategy": f"s{i // seeds}", "family": "other", "estimator": "doc", "ood": f"set {j}",
            "truth": truth[i, j], "estimate": estimate[i, j], "low": estimate[i, j] - 0.05,
            "high": estimate[i, j] + 0.05,
        }
        for i in range(models)
        for j in range(sets)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def test_errors_are_those_of_the_highest_replicated_unit() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.3, 0.9, (6, 5))
    over = np.repeat(rng.uniform(0, 0.2, 3), 2)[:, None] + np.zeros((6, 5))
    (found,) = errors(pairs(truth, truth + over, seeds=2)).to_dicts()
    assert found["units"] == 3
    of_strategies = over[::2, 0]
    half = stats.t.ppf(0.975, 2) * stats.sem(of_strategies)
    assert found["error"] == pytest.approx(of_strategies.mean())
    assert (found["low_error"], found["high_error"]) == pytest.approx(
        (max(0.0, of_strategies.mean() - half), of_strategies.mean() + half)
    )
    assert found["agreement"] == pytest.approx(1.0)
    assert found["high_agreement"] == pytest.approx(1.0)
    assert found["excess"] == pytest.approx(over.max())
    assert found["held"] == pytest.approx((over < 0.05).mean())


def test_rank_agreement_knows_its_direction_and_needs_values_that_differ() -> None:
    truth = np.array([[0.3, 0.5, 0.7, 0.9], [0.4, 0.5, 0.6, 0.8]])
    (turned,) = errors(pairs(truth, 1 - truth)).to_dicts()
    assert turned["agreement"] == pytest.approx(-1.0)
    (level,) = errors(pairs(truth, np.full_like(truth, 0.5))).to_dicts()
    assert level["agreement"] is None
    (two,) = errors(pairs(truth[:, :2], truth[:, :2])).to_dicts()
    assert two["agreement"] is None


def test_no_interval_reaches_beyond_what_a_measure_can_be() -> None:
    truth = np.tile([0.3, 0.4, 0.5, 0.6], (3, 1))
    estimate = truth.copy()
    estimate[0] = truth[0][[0, 1, 3, 2]] + 0.3
    (found,) = errors(pairs(truth, estimate)).to_dicts()
    assert found["agreement"] == pytest.approx((0.8 + 1 + 1) / 3)
    assert found["high_agreement"] == 1.0
    assert found["low_error"] == 0.0


def test_one_model_has_no_interval() -> None:
    truth = np.array([[0.3, 0.5, 0.7]])
    (found,) = errors(pairs(truth, truth + 0.1)).to_dicts()
    assert found["error"] == pytest.approx(0.1)
    assert found["low_error"] is None
    assert found["high_error"] is None


def test_the_report_shows_estimates_beside_the_truth() -> None:
    rows = simulated.estimates(simulated.rows(seeds=2, detectors=("msp", "knn"), shifts=("blur",)))
    shown = estimated_accuracy(Results.of(rows))
    assert "12 strategies" in shown.caption
    assert [figure.title for figure in shown.figures] == ["average confidence"]
    assert estimates(rows).height == 24 * 5
    with pytest.raises(UserError, match="Name `estimators:`"):
        estimated_accuracy(Results.of(simulated.rows(seeds=1, detectors=("msp",))))


def test_the_metric_of_the_rows_is_the_one_that_is_shown() -> None:
    assert ESTIMATED == SHOWN


def test_a_card_with_held_out_labels_says_what_estimators_would_have_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(600, 8, 8, 1)).astype(np.float32)
    y = (x.mean(axis=(1, 2, 3)) + rng.normal(0, 0.02, 600) > 0.5).astype(int)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    given = {"id_train": (x[:200], y[:200]), "id_test": (x[200:400], y[200:400]), "ood": {"far": 1 - 0.1 * x[:60]}}
    asked: dict[str, Any] = {"shifts": ["gaussian_noise"], "detectors": ["msp"], "cache": Cache(tmp_path), "batch": 100}
    plain = evaluate(net, **given, **asked)
    assert plain.rows.filter(pl.col("metric") == ESTIMATED).is_empty()
    card = evaluate(net, **given, **asked, id_val=(x[400:], y[400:]))
    assert estimates(card.rows).height == 3 * 3
    assert "estimated without labels" in html(card)
    assert "estimated without labels" not in html(plain)
    same = ["set_kind", "ood", "detector", "metric", "value"]
    both = [one.rows.filter(pl.col("metric") == "accuracy").select(same) for one in (plain, card)]
    assert both[0].equals(both[1])
