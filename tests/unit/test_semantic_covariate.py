"""The grid of semantic and covariate shift, and what detectors gain over MSP in each of its cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from outfield import registry
from outfield.data.base import Dataset
from outfield.data.sources.digits import Digits
from outfield.data.sources.part import Part
from outfield.data.views import shifted
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.metrics.auroc import Auroc
from outfield.metrics.auroc_correct_vs_incorrect import AurocCorrectVsIncorrect
from outfield.metrics.auroc_correct_vs_ood import AurocCorrectVsOod
from outfield.reports.analyses.gain_over_msp import CELLS, QUESTIONS
from outfield.reports.results import Results
from outfield.store import query
from outfield.studies.run import run
from outfield.studies.spec import Spec
from outfield.tasks.semantic_covariate import SemanticCovariate

KNOWN, NEW = (3, 1, 7), (0, 8)
TASK = SemanticCovariate(of=Digits(), known=KNOWN, new=NEW, shifts=("blur", "rotation"), severities=(2, 4))


def pictures(data: Dataset) -> list[bytes]:
    return [np.asarray(one).tobytes() for one in data.read(slice(0, len(data)))]


def test_the_cells_are_what_their_names_say() -> None:
    """Each picture is looked up in the whole set: its class says known or new, its pixels say plain or shifted."""
    whole = Digits().load()
    origin = dict(zip(pictures(whole), np.asarray(whole.labels).tolist(), strict=True))
    members = {one.name: one for one in TASK.sets(seed=0)}
    assert len(members) == 3 + 4 + 1 + 4
    for name in ("train", "val", "test"):
        data = members[name].data
        assert [origin[one] for one in pictures(data)] == [KNOWN[label] for label in np.asarray(data.labels)]
    assert {origin[one] for one in pictures(members["new"].data)} == set(NEW)
    seen = [set(pictures(members[name].data)) for name in ("train", "val", "test", "new")]
    assert sum(map(len, seen)) == len(set.union(*seen))
    for cell, plain in (("known", "test"), ("new", "new")):
        for shift in ("blur", "rotation"):
            for severity in (2, 4):
                member = members[f"{cell}, {shift} {severity}"]
                assert (member.shift, member.severity, member.category) == (shift, severity, "near")
                assert member.kind == ("shift" if cell == "known" else "ood") and member.scored
                of = members[plain].data
                again = shifted(of, registry.create("shifts", shift), severity)
                assert pictures(member.data) == pictures(again) != pictures(of)
                assert np.array_equal(member.data.labels, of.labels)  # type: ignore[arg-type]  # both have labels


def test_a_test_part_of_its_own_is_shown_and_nothing_else() -> None:
    fit, test = Digits(part="fit"), Digits(part="test")
    task = SemanticCovariate(of=fit, test=test, known=KNOWN, new=NEW, shifts=("blur",))
    members = {one.name: one.data for one in task.sets(seed=0)}
    known = set(pictures(Part(test, classes=KNOWN).load()))
    assert set(pictures(members["test"])) == known
    assert set(pictures(members["new"])) == set(pictures(Part(test, classes=NEW).load()))
    learned = set(pictures(Part(fit, classes=KNOWN).load()))
    assert set(pictures(members["train"])) | set(pictures(members["val"])) == learned


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"new": (3, 9)}, r"\[3\] in both"),
        ({"known": ()}, "known and others that are new"),
        ({"of": "digits"}, "Expected a source"),
        ({"shifts": ()}, "Expected a shift and a severity"),
    ],
)
def test_what_makes_no_grid_is_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SemanticCovariate(**{"of": Digits(), "known": KNOWN, "new": NEW, **changed})  # type: ignore[arg-type]


def drawn(seed: int, lift: float) -> dict[str, np.ndarray]:
    """Scores of a detector by cell; ``lift`` is how much further out it scores what is shifted."""
    rng = np.random.default_rng(seed)
    return {
        "known, plain": rng.normal(size=200),
        "known, blur 3": rng.normal(lift, 1, 150),
        "new": rng.normal(1.0, 1, 90),
        "new, blur 3": rng.normal(1.0 + lift, 1, 60),
    }


CORRECT = {
    "known, plain": np.arange(200) % 5 > 0,
    "known, blur 3": np.arange(150) % 3 > 0,
}


def rows_of(model: str, detector: str, scores: dict[str, np.ndarray]) -> list[dict[str, object]]:
    """Rows as a study writes them."""
    known, right = scores["known, plain"], CORRECT["known, plain"]
    common = {"model": model, "strategy": model, "role": "test", "n_id": 200}
    found = [common | {"metric": "accuracy", "set_kind": "id", "value": float(right.mean())}]
    found.append(
        common | {"metric": "accuracy", "set_kind": "shift", "ood": "known, blur 3", "shift": "blur", "value": 2 / 3}
    )
    common |= {"detector": detector}
    errors = AurocCorrectVsIncorrect()
    found.append(
        common | {"metric": "auroc_correct_vs_incorrect", "set_kind": "id", "value": errors(known, right).value}
    )
    moved = errors(scores["known, blur 3"], CORRECT["known, blur 3"]).value
    found.append(
        common
        | {"metric": "auroc_correct_vs_incorrect", "set_kind": "shift", "ood": "known, blur 3", "shift": "blur"}
        | {"severity": 3, "value": moved}
    )
    for name, some in scores.items():
        if name != "known, plain":
            of = {"set_kind": "ood", "ood": name, "n_ood": len(some), "shift": "blur" if "blur" in name else None}
            found.append(common | of | {"metric": "auroc", "value": Auroc()(known, some).value})
            beside = AurocCorrectVsOod()(known, right, some).value
            found.append(common | of | {"metric": "auroc_correct_vs_ood", "value": beside})
    return found


def test_gains_equal_those_of_the_scores_in_every_cell() -> None:
    """Failures beside new classes are one pooled AUROC: right answers against wrong ones and all of the new class."""
    scores = {
        (m, d): drawn(i, 0.8 * (d == "knn")) for i, (m, d) in enumerate((m, d) for m in "ab" for d in ("knn", "msp"))
    }
    rows = [row for (model, detector), some in scores.items() for row in rows_of(model, detector, some)]
    found = registry.create("analyses", "gain_over_msp").of(Results.of(pl.DataFrame(rows, infer_schema_length=None)))
    gains = {(q, c): v for q, c, v in found.frame().select("question", "cell", "value").iter_rows()}

    def gain(of: object) -> float:
        return float(np.mean([of(scores[m, "knn"]) - of(scores[m, "msp"]) for m in "ab"]))  # type: ignore[operator]

    def failures(cell: str) -> object:
        def of(some: dict[str, np.ndarray]) -> float:
            known, right = some["known, plain"], CORRECT["known, plain"]
            return Auroc()(known[right], np.concatenate([known[~right], some[cell]])).value

        return of

    named = {"known, shifted": "known, blur 3", "new, plain": "new", "new, shifted": "new, blur 3"}
    for cell, name in named.items():
        told = gain(lambda some, name=name: Auroc()(some["known, plain"], some[name]).value)
        assert gains[QUESTIONS[0], cell] == pytest.approx(told)
    for cell in ("new, plain", "new, shifted"):
        assert gains[QUESTIONS[1], cell] == pytest.approx(gain(failures(named[cell])))
    for cell, name in (("known, plain", "known, plain"), ("known, shifted", "known, blur 3")):
        alone = gain(lambda some, name=name: AurocCorrectVsIncorrect()(some[name], CORRECT[name]).value)
        assert gains[QUESTIONS[1], cell] == pytest.approx(alone)
    assert len(gains) == 7 and {cell for _, cell in gains} == set(CELLS)
    assert found.sentences()[1].startswith("Detectors that rest on features gain +0.2")


def test_the_interval_is_students_over_strategies() -> None:
    rows = [row for i, m in enumerate("abc") for d, lift in (("knn", 0.3 * i), ("msp", 0.0))
            for row in rows_of(m, d, drawn(i, lift))]  # fmt: skip
    frame = (
        registry.create("analyses", "gain_over_msp")
        .of(Results.of(pl.DataFrame(rows, infer_schema_length=None)))
        .frame()
    )
    (one,) = frame.filter(pl.col("question") == QUESTIONS[0], pl.col("cell") == CELLS[1]).iter_rows(named=True)
    gains = [
        Auroc()(drawn(i, 0.3 * i)["known, plain"], drawn(i, 0.3 * i)["known, blur 3"]).value
        - Auroc()(drawn(i, 0.0)["known, plain"], drawn(i, 0.0)["known, blur 3"]).value
        for i in range(3)
    ]
    half = 4.302653 * np.std(gains, ddof=1) / np.sqrt(3)
    assert (one["value"], one["low"], one["high"]) == pytest.approx(
        (np.mean(gains), np.mean(gains) - half, np.mean(gains) + half)
    )
    assert one["n"] == 3


def test_without_msp_there_is_no_gain() -> None:
    rows = rows_of("a", "knn", drawn(0, 0.5))
    with pytest.raises(UserError, match="Expected AUROCs of msp and of another detector"):
        registry.create("analyses", "gain_over_msp").of(Results.of(pl.DataFrame(rows, infer_schema_length=None)))


def test_a_study_file_gives_the_grid_and_errors_under_shift_are_told_of_each_detector(tmp_path: Path) -> None:
    spec = Spec.parse(
        {
            "name": "grid",
            "task": {
                "name": "semantic_covariate",
                "of": {"name": "part", "of": {"name": "digits", "classes": [0, 1, 8]}, "limit": 240},
                "known": [0, 1],
                "new": [2],
                "shifts": ["gaussian_noise"],
                "severities": [5],
            },
            "network": "small_cnn",
            "epochs": 1,
            "models": [{"strategy": "baseline", "seeds": [0]}],
            "detectors": ["msp", "knn"],
            "resources": {"processes": 1},
        }
    )
    outcome = run(spec, tmp_path / "out", cache=Cache(tmp_path / "cache"))
    assert not outcome.failures
    rows = query.rows(tmp_path / "out")
    told = rows.filter(pl.col("metric") == "auroc", pl.col("detector") == "knn")
    assert set(told["ood"]) == {"new", "new, gaussian_noise 5", "known, gaussian_noise 5"}
    assert rows.filter(pl.col("metric") == "accuracy", pl.col("set_kind") == "shift").height == 1
    errors = rows.filter(pl.col("set_kind") == "shift", pl.col("detector").is_not_null())
    assert set(errors["detector"]) == {"msp", "knn"} and set(errors["ood"]) == {"known, gaussian_noise 5"}
    assert "aurc" in set(errors["metric"]) or "auroc_correct_vs_incorrect" in set(errors["metric"])
    frame = registry.create("analyses", "gain_over_msp").of(Results.of(tmp_path / "out")).frame()
    assert set(frame.filter(pl.col("question") == QUESTIONS[0])["cell"]) == set(CELLS[1:])
