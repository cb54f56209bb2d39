"""Checks of a board: rows out of line, copies, errors of zero, a best of many, one outlier, constant measures, ties."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from outfield.cli import app
from outfield.errors import UserError
from outfield.reports import headline
from outfield.reports.analysis import Analysis, analyse
from outfield.reports.analysis_page import displays
from outfield.reports.displays import statistics as shown
from outfield.reports.displays.detectors import best_per_strategy
from outfield.reports.findings import Finding
from outfield.reports.findings import checks as every
from outfield.reports.findings.cell_errors import best_of_many, error_of_zero
from outfield.reports.findings.columns import constant, uneven_mean
from outfield.reports.findings.copies import near_duplicates
from outfield.reports.findings.outliers import one_row, out_of_line_with_kin, unlike_its_kin
from outfield.reports.results import Results
from outfield.stats.influence import influence
from outfield.stats.outliers import out_of_line
from outfield.stats.partial import PartialCorrelation
from outfield.stats.winner import winner
from outfield.tables.directions import directions
from outfield.types import Estimate

BOARDS = Path(os.environ.get("OUTFIELD_DATA", Path(__file__).parents[3] / "shared" / "data"))
BOARDS = BOARDS / "results" / "openood_leaderboard"
real = pytest.mark.skipif(not BOARDS.is_dir(), reason=f"the boards of OpenOOD are not at {BOARDS} (set OUTFIELD_DATA)")
CELLS = {"near": "Near-OOD_AUROC", "far": "Far-OOD_AUROC", "acc": "ID_Accuracy"}
Check = Callable[[Analysis], object]


def board(name: str, *, by: str = "Arch") -> Analysis:
    """A board of OpenOOD, a row a detector and network; values and errors taken apart here."""
    raw = pl.read_csv(BOARDS / f"{name}.csv", infer_schema_length=0)
    half = {short: pl.col(column).str.split(" ± ").list for short, column in CELLS.items()}
    table = raw.select(
        pl.concat_str("Training", "Postprocessor", "Arch", separator=" ").alias("name"), "Arch",
        pl.concat_str("Training", "Arch", "Additional_Description", separator=" ").alias("network"),
        *(each.get(0).str.strip_chars().cast(pl.Float64, strict=False).alias(short) for short, each in half.items()),
        *(
            (each.get(1, null_on_oob=True).cast(pl.Float64, strict=False) / 100).alias(f"± {short}")
            for short, each in half.items()
        ),
    ).drop_nulls(["near", "far", "acc"])  # fmt: skip
    found = analyse(table, model="name", family="Arch", id="acc", ood=["near", "far"], kind="auroc")
    assert found.measures.units.height == table.height
    errors = table.select(pl.col(f"± {short}").alias(short) for short in CELLS)
    known = errors if errors["near"].null_count() < table.height else None
    clusters = tuple(table["network"]) if by == "network" else ()
    return replace(found, measures=replace(found.measures, errors=known, clusters=clusters))


def said(check: Check, analysis: Analysis, severity: str = "") -> list[str]:
    found: list[Finding] = list(check(analysis))  # type: ignore[call-overload]  # checks are generators
    return [one.sentence for one in found if severity in ("", one.severity)]


def wide(n: int = 40, seed: int = 0, **columns: object) -> pl.DataFrame:
    """Models whose near and far AUROC go together."""
    rng = np.random.default_rng(seed)
    level = rng.normal(1.2, 0.5, n)
    made = {"near": level + rng.normal(0, 0.15, n), "far": level + 0.5 + rng.normal(0, 0.15, n)}
    shares = {name: (1 / (1 + np.exp(-values))).round(4) for name, values in made.items()}
    own = {"model": [f"m{i}" for i in range(n)], "acc": rng.uniform(0.6, 0.8, n).round(4), **shares}
    return pl.DataFrame(own | columns)


def analysed(table: pl.DataFrame, ood: tuple[str, ...] = ("near", "far"), **options: Any) -> Analysis:
    return analyse(table, id="acc", ood=list(ood), **{"kind": "auroc", **options})


# --- OF026: a row out of line ---


OUT = {
    "cifar10": [], "cifar100": [], "imagenet200_ood": ["CrossEntropy CombOOD ResNet18"], "imagenet200_fsood": [],
    "imagenet1k_ood": ["CrossEntropy CombOOD ResNet50"], "imagenet1k_fsood": [],
}  # fmt: skip


@real
@pytest.mark.parametrize("name", OUT)
def test_of_all_boards_only_combood_is_out_of_line(name: str) -> None:
    found = said(out_of_line_with_kin, board(name), "warning")
    assert [text.split("'")[1] for text in found] == OUT[name]


@real
def test_the_sentence_on_combood_has_what_was_expected() -> None:
    (text,) = said(out_of_line_with_kin, board("imagenet1k_ood"))
    assert "near 0.952 and far 0.902 do not fit together" in text
    assert "near is expected at 0.755; with this near, far at 0.996 (+10.2 and -8.7 robust" in text


@real
def test_a_doubtful_row_is_named_as_doubtful() -> None:
    (text,) = said(out_of_line_with_kin, board("cifar10"), "info")
    assert text.startswith("Doubtful: 'ASCOOD AdaSCALE-L ResNet18' (near -3.5, far +6.6 robust")


@pytest.mark.parametrize("ood", [("near", "far"), ("near", "far", "other")])
def test_one_wrong_cell_of_a_made_table_is_found(ood: tuple[str, ...]) -> None:
    table = wide().with_columns(other=pl.Series(np.random.default_rng(3).uniform(0.6, 0.9, 40)))
    wrong = table.with_columns(near=pl.when(pl.col("model") == "m7").then(pl.lit(0.97)).otherwise("near"))
    assert not said(out_of_line_with_kin, analysed(table, ood), "warning")
    found = said(out_of_line_with_kin, analysed(wrong, ood), "warning")
    assert len(found) == 1 and found[0].startswith("'m7' is out of line: near 0.970 and far")


def test_a_row_that_is_extreme_in_both_measures_is_in_line() -> None:
    table = wide().with_columns(
        near=pl.when(pl.col("model") == "m7").then(pl.lit(0.2)).otherwise("near"),
        far=pl.when(pl.col("model") == "m7").then(pl.lit(0.29)).otherwise("far"),
    )
    assert not said(out_of_line_with_kin, analysed(table), "warning")


def test_a_group_apart_is_not_to_blame() -> None:
    table = wide(60)
    odds = pl.col("near") / (1 - pl.col("near")) * pl.when(pl.int_range(60) < 5).then(4).otherwise(1)
    apart = table.with_columns(near=odds / (1 + odds))
    assert len(out_of_line(apart["near"], apart["far"]).rows) > 3
    assert not said(out_of_line_with_kin, analysed(apart), "warning")


def test_few_tables_without_a_wrong_cell_name_one() -> None:
    rng = np.random.default_rng(5)
    pairs = [rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 60) for _ in range(150)]
    assert np.mean([len(out_of_line(*pair.T).rows) > 0 for pair in pairs]) <= 0.07


def test_rows_that_lie_on_a_line_exactly_are_an_error() -> None:
    x = np.linspace(0.5, 0.9, 30)
    with pytest.raises(UserError, match="more than half of them lie on it exactly"):
        out_of_line(x, np.log(x / (1 - x)) * 0 + x)


# --- OF027: ID accuracies ---


@real
def test_networks_whose_accuracy_is_told_in_two_ways() -> None:
    found = said(unlike_its_kin, board("imagenet1k_ood"), "info")
    assert [text.partition(":")[0] for text in found] == ["RegNet_Y_16GF", "ResNet50", "Swin-T"]
    assert "25 of 50 rows state acc 76.18%, but 6 nearly that" in found[1] and "NAC ResNet50' 76.19%" in found[1]
    assert "17 of 19 rows state acc 81.59%, but 2 nearly that" in found[2] and "RMDS++ Swin-T' 81.60%" in found[2]


@real
def test_rows_of_one_network_by_cluster() -> None:
    (text,) = said(unlike_its_kin, board("cifar10", by="network"))
    assert "30 of 32 rows state acc 95.06%, but 2 nearly that" in text
    assert "'CrossEntropy fDBD ResNet18' 95.22% and 'CrossEntropy NCI ResNet18' 95.22%" in text


@real
def test_a_training_that_costs_accuracy() -> None:
    (text,) = said(unlike_its_kin, board("imagenet200_ood"), "warning")
    assert text.startswith("ResNet18: acc is far from that of its kin (median 85.87%) in 1 of 53 rows: 'UDG MSP ")


@real
def test_a_network_of_another_kind_is_not_far_from_its_kin() -> None:
    found = board("imagenet1k_ood")
    apart = replace(found.measures, units=found.measures.units.with_columns(family=pl.lit("")))
    assert not said(unlike_its_kin, replace(found, measures=apart), "warning")
    each = [text.partition(", but")[0] for text in said(unlike_its_kin, replace(found, measures=apart), "info")]
    assert each == [f"{n} of 95 rows state acc {share}" for n, share in ((25, "76.18%"), (17, "81.59%"), (4, "86.11%"))]


def test_accuracies_that_all_differ_are_no_board_of_networks() -> None:
    table = wide()
    low = table.with_columns(acc=pl.when(pl.col("model") == "m7").then(pl.lit(0.2)).otherwise("acc"))
    assert not said(unlike_its_kin, analysed(low))
    one = table.with_columns(acc=pl.Series([0.7618] * 38 + [0.7619, 0.7617]))
    (text,) = said(unlike_its_kin, analysed(one))
    assert text.startswith("38 of 40 rows state acc 76.18%, but 2 nearly that: 'm38' 76.19% and 'm39' 76.17%.")


# --- OF025: an error of zero ---


@real
@pytest.mark.parametrize(
    ("name", "rows"), [("cifar10", 5), ("cifar100", 5), ("imagenet200_ood", 1), ("imagenet200_fsood", 0)]
)
def test_errors_of_zero_on_the_boards(name: str, rows: int) -> None:
    found = said(error_of_zero, board(name))
    assert len(found) == (rows > 0)
    assert not rows or ("CombOOD" in found[0] and found[0].count("ResNet18") == rows)


def test_an_error_of_zero_is_named_with_its_rows() -> None:
    analysis = analysed(wide())
    errors = pl.DataFrame({"near": [0.01] * 39 + [0.0], "far": [None, *[0.02] * 39]})
    (text,) = said(error_of_zero, replace(analysis, measures=replace(analysis.measures, errors=errors)))
    assert text.startswith(
        "The error is 0 in 1 cells (1 of near), in the rows 'm39'. The others of these measures are 0.01"
    )
    assert not said(error_of_zero, analysis)


# --- OF028: the best of many ---


@real
def test_the_rows_that_tie_with_the_best_of_a_board() -> None:
    near = said(best_of_many, board("cifar10"))[0]
    assert "'RotPred + PixMix RotPred ResNet18' has the best value of 57, 0.9486" in near
    assert "'LogitNorm + PixMix MSP ResNet18' and 'OE MSP ResNet18' cannot be told apart from it" in near


def test_a_winner_of_noise_alone_is_taken_back_to_the_mean() -> None:
    found = winner(0.8 + 0.01 * np.random.default_rng(0).standard_normal(50), [0.01] * 50)
    assert found.value > 0.815 and found.shrunken == pytest.approx(0.8, abs=0.006) and len(found.alike) > 40
    assert found.value - found.curse == pytest.approx(found.shrunken) and max(found.probability.values()) < 0.3


@pytest.mark.parametrize("tail", ["normal", "left", "none"])
def test_the_winners_curse_is_what_choosing_it_costs(tail: str) -> None:
    """True values are normal, or most of them good and some far worse, or all alike."""
    rng, over, left, sure, right = np.random.default_rng(1), [], [], [], []
    for _ in range(150):
        truths = {"normal": rng.normal(0, 0.01, 40), "left": -rng.gamma(1, 0.03, 40), "none": rng.normal(0, 1e-4, 40)}
        truth = truths[tail]
        errors = rng.uniform(0.003, 0.012, 40)
        values = truth + errors * rng.standard_normal(40)
        found, best = winner(values, errors), int(values.argmax())
        over.append(values[best] - truth[best])
        left.append(found.shrunken - truth[best])
        sure.append(found.probability[f"row {best}"])
        right.append(best == truth.argmax())
    assert np.mean(over) > 0.01 and abs(np.mean(left)) < 0.2 * np.mean(over)
    assert np.mean(sure) == pytest.approx(np.mean(right), abs=0.12)


def test_a_winner_far_ahead_keeps_its_value() -> None:
    found = winner([0.95, *np.linspace(0.5, 0.8, 30)], [0.005] * 31, names=["best", *map(str, range(30))])
    assert found.alike == ("best",) and found.probability["best"] > 0.999 and abs(found.curse) < 5e-4


def test_the_best_of_a_measure_of_which_lower_is_better() -> None:
    found = winner([0.3, 0.1, 0.2], [0.01] * 3, names=list("abc"), higher_is_better=False)
    assert found.best == ("b",) and found.value == 0.1 and found.shrunken >= 0.1


def test_the_set_of_the_best_holds_the_truly_best() -> None:
    rng, held = np.random.default_rng(2), []
    for _ in range(200):
        truth = rng.normal(0, 0.01, 15)
        errors = rng.uniform(0.005, 0.02, 15)
        found = winner(truth + errors * rng.standard_normal(15), errors)
        held.append(f"row {truth.argmax()}" in found.alike)
    assert np.mean(held) >= 0.93


def test_errors_that_are_not_known_have_the_median_of_the_others() -> None:
    found = winner([0.9, 0.89, 0.7, 0.6], [0.0, 0.01, 0.02, np.nan], names=list("abcd"))
    assert found.filled == ("a", "d") and found.alike == ("a", "b")
    with pytest.raises(UserError, match="3 of 4 are 0 or missing"):
        winner([0.9, 0.89, 0.7, 0.6], [0.0, 0.0, 0.0, 0.1])


def test_two_that_tie_for_the_best_are_both_named() -> None:
    table = wide().with_columns(near=pl.when(pl.col("model").is_in(["m3", "m5"])).then(pl.lit(0.97)).otherwise("near"))
    analysis = analysed(table)
    errors = pl.DataFrame({"near": [0.001] * 40})
    (text,) = said(best_of_many, replace(analysis, measures=replace(analysis.measures, errors=errors)))
    assert text.startswith("near: 'm3' and 'm5' tie at the best value of 40, 0.9700")
    assert not said(best_of_many, analysis)


# --- OF029: a correlation that hangs on one row ---


def test_an_outlier_that_makes_a_correlation() -> None:
    rng = np.random.default_rng(4)
    x, y = 0.1 + 0.02 * rng.standard_normal((2, 20))
    table = pl.DataFrame({"model": [f"m{i}" for i in range(21)], "acc": [*x, 0.95], "near": [*y, 0.96]})
    (text,) = said(one_row, analysed(table, ("near",)))
    assert text.startswith("acc with near hangs on one of 21 rows: Pearson +0.99") and "with 'm20'" in text
    assert "(Spearman " in text
    assert not said(one_row, analysed(table.head(20), ("near",)))


def test_a_correlation_of_all_rows_hangs_on_none() -> None:
    table = wide()
    assert not said(one_row, analyse(table, id="near", ood=["far"], kind="auroc"))


def test_the_most_influential_row_is_that_of_all_correlations_without_one() -> None:
    x, y = np.random.default_rng(6).normal(size=(2, 25))
    each = np.array([np.corrcoef(np.delete(x, i), np.delete(y, i))[0, 1] for i in range(25)])
    found = influence(x, y, kind="pearson")
    assert found.at == np.abs(each - np.corrcoef(x, y)[0, 1]).argmax()
    assert found.without.estimate.value == pytest.approx(each[found.at])


# --- OF004: copies ---


@real
@pytest.mark.parametrize("name", OUT)
def test_detectors_on_one_network_are_no_copies(name: str) -> None:
    assert not said(near_duplicates, board(name))


def test_copies_under_other_names_are_sets() -> None:
    table = wide(30)
    copies = [table[[i]].with_columns(model=pl.lit(f"copy {k} of {i}")) for i, k in ((3, 1), (3, 2), (8, 1))]
    found = said(near_duplicates, analysed(pl.concat([table, *copies])))
    assert [text.partition(" agree")[0] for text in found] == [
        "'m3', 'copy 1 of 3' and 'copy 2 of 3'", "'m8' and 'copy 1 of 8'",
    ]  # fmt: skip
    assert found[0].endswith("counted 3 times.")


@pytest.mark.parametrize(("digits", "count"), [(4, 6), (2, 0)])
def test_two_measures_are_enough_with_digits_enough(digits: int, count: int) -> None:
    table = wide(6, seed=1).with_columns(pl.col("acc", "far").round(digits))
    twice = pl.concat([table, table.with_columns(model=pl.col("model") + "b")])
    found = said(near_duplicates, analysed(twice, ("far",)))
    assert len(found) == (min(count, 5) + (count > 5))
    if count:
        assert "agree on both measures" in found[0] and found[-1] == "So do 1 sets more, of 2 models together."


def test_a_table_of_few_digits_is_not_full_of_copies() -> None:
    table = wide(60).with_columns(pl.col("acc", "near", "far").round(2))
    assert not said(near_duplicates, analysed(table, ("far",)))


# --- OF030: constant measures ---


def test_the_analysis_goes_on_without_a_constant_measure() -> None:
    analysis = analysed(wide(near=0.8))
    assert analysis.measures.ood == ("far",) and analysis.constant == {"near": 0.8}
    assert said(constant, analysis) == [
        "All 40 units have the same value: near 0.8. So it says nothing of how models differ, and no statistic uses "
        "it. Check whether the right column was read."
    ]
    assert "ID against OOD" in displays(analysis)


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"all 40 units have the same value: near 0.8 and far 0.9\. Name other columns"):
        analysed(wide(near=0.8, far=0.9))
    wide(acc=0.7).write_csv(tmp_path / "table.csv")
    run = CliRunner().invoke(app(), ["analyse", str(tmp_path / "table.csv"), "--id", "acc", "--ood", "near"])
    assert run.exit_code != 0
    assert "OF030 error" in run.stdout


# --- OF031: means over other detectors ---


def rows(detectors: dict[str, list[str]], value: Callable[[str, str, str], float]) -> pl.DataFrame:
    """Long rows: models, their detectors, two OOD sets."""
    out: list[dict[str, object]] = []
    for i, (model, own) in enumerate(detectors.items()):
        base = {"study": "s", "model": model, "role": "test"}
        out.append({**base, "metric": "accuracy", "value": 0.6 + 0.01 * i, "set_kind": "id"})
        out += [
            {**base, "metric": "auroc", "value": value(model, d, o), "set_kind": "ood", "detector": d, "ood": o,
             "ood_category": o}
            for d in own for o in ("near", "far")
        ]  # fmt: skip
    return pl.DataFrame(out, infer_schema_length=None)


def test_means_over_other_detectors_are_named() -> None:
    many = ["msp", *(f"d{i}" for i in range(24))]
    used = {f"m{i}": ["msp"] for i in range(19)} | {"odd": many}
    table = rows(used, lambda m, d, o: (0.9 if d == "msp" else 0.6) + (0.002 * int(m[1:]) if m != "odd" else 0))
    (text,) = said(uneven_mean, analyse(table))
    assert text.startswith("Of 20 units, 19 with 1 detector and 1 with 25 detectors")
    assert "All have msp: over that alone 'odd' has 0.900, over its own detectors 0.612." in text


def test_no_shared_detector_and_the_same_everywhere() -> None:
    apart = {f"m{i}": ["msp" if i % 2 else "knn"] for i in range(6)}
    (text,) = said(uneven_mean, analyse(rows(apart, lambda m, d, o: 0.7 + 0.01 * int(m[1:]))))
    assert "No detector was used on all of them" in text
    same = {f"m{i}": ["msp", "knn"] for i in range(6)}
    assert not said(uneven_mean, analyse(rows(same, lambda m, d, o: 0.7 + 0.01 * int(m[1:]))))


# --- directions ---


def test_an_fpr_is_no_auroc_and_ranks_the_other_way() -> None:
    names = list("abcdef")
    table = pl.DataFrame(
        {"model": names, "acc": [0.5, 0.6, 0.7, 0.72, 0.8, 0.9], "auroc": [0.9, 0.8, 0.7, 0.65, 0.6, 0.55],
         "fpr": [0.1, 0.2, 0.3, 0.35, 0.4, 0.45]}
    )  # fmt: skip
    for options in ({}, {"kind": "auroc"}):
        analysis = analyse(table, id="acc", ood=["auroc", "fpr"], **options)
        assert not said(every.below_half, analysis)
        assert list(analysis.friedman.mean_ranks) == [1, 2, 3, 4, 5, 6]
        assert shown.mean_ranks(analysis).table["name"].to_list() == names
    with pytest.raises(UserError, match="lower is better"):
        _ = analyse(table, id="acc", ood=["fpr", "auroc"], kind="accuracy").lines


def test_what_a_name_says_stands_against_what_is_known_of_the_others() -> None:
    assert directions(["near", "fpr95", "1 - auroc"], [], [], True) == {"near": True, "fpr95": False}


def test_saturation_is_at_the_good_end() -> None:
    values = np.linspace(0.96, 0.99, 8)
    table = pl.DataFrame(
        {"model": list("abcdefgh"), "acc": np.random.default_rng(0).uniform(0.5, 0.9, 8), "far": values}
    )
    stated: list[tuple[dict[str, Any], int]] = [({"higher": ["far"]}, 1), ({"lower": ["far"]}, 0), ({}, 0)]
    for options, texts in stated:
        found = said(every.saturated, analyse(table, id="acc", ood=["far"], **options))
        assert sum("no longer separates" in text for text in found) == texts
    turned = table.with_columns(far=1 - pl.col("far"))
    (text,) = said(every.saturated, analyse(turned, id="acc", ood=["far"], lower=["far"]))
    assert "the median is 0.025" in text


# --- ties ---


def alike(detector_values: dict[str, float]) -> pl.DataFrame:
    used = {f"m{i}": list(detector_values) for i in range(6)}
    return rows(used, lambda m, d, o: detector_values[d])


def test_no_detector_is_recommended_where_all_tie() -> None:
    table = alike(dict.fromkeys(["d0", "d1", "d2"], 0.8))
    caption = shown.recommendation(analyse(table)).caption
    assert caption.startswith("No detector is a safer choice than another: d0, d1 and d2 tie exactly")
    assert "100%" not in caption
    assert headline.sentences(table)[2].startswith("No detector is a safer choice than another: d0, d1 and d2")
    assert "With" not in " ".join(best_per_strategy(Results.of(table)).headings().values())
    assert shown.mean_ranks(analyse(table)).table["place"].to_list() == [1, 1, 1]


def test_two_safest_detectors_are_both_named() -> None:
    table = alike({"a": 0.8, "b": 0.8, "c": 0.7})
    headings = best_per_strategy(Results.of(table)).headings()
    assert headings["safest"] == "With a or b"
    assert best_per_strategy(Results.of(table)).table["safest"].to_list() == pytest.approx([0.8] * 6)
    assert "a and b (tied exactly)" in headline.sentences(table)[2]


def test_a_trade_names_all_of_both_sides() -> None:
    value = {"near": {"a": 0.80, "b": 0.80, "c": 0.99, "d": 0.99, "e": 0.60, "f": 0.60},
             "far": {"a": 0.80, "b": 0.80, "c": 0.70, "d": 0.70, "e": 0.90, "f": 0.60}}  # fmt: skip
    used = {f"m{i}": list("abcdef") for i in range(6)}
    text = headline.sentences(rows(used, lambda m, d, o: value[o][d]))[2]
    assert text.startswith("The safest choice is a and b (tied exactly)")
    assert "The best mean AUROC has c and d (tied exactly)" in text
    assert "but on far c's mean rank is 4.5" in text and "and on far d's mean rank is 4.5" in text
    assert "Take a or b where any OOD input may come, and c or d where the mean" in text


def test_places_of_models_that_tie() -> None:
    table = pl.DataFrame({"model": list("abcd"), "acc": [0.5, 0.6, 0.7, 0.8], "auroc x": [0.9, 0.9, 0.7, 0.6],
                          "auroc y": [0.8, 0.8, 0.7, 0.9]})  # fmt: skip
    found = shown.mean_ranks(analyse(table, id="acc", ood=["auroc x", "auroc y"])).table
    assert found.filter(pl.col("name").is_in(["a", "b"]))["place"].to_list() == [1, 1]
    assert found["place"].max() == 4


# --- words ---


def test_a_smoother_without_a_value_is_said_to_be_undefined() -> None:
    estimates = {k: Estimate(v) for k, v in (("plain", 0.5), ("linear", 0.4), ("rank", float("nan")), ("spline", -0.1))}
    pair = SimpleNamespace(estimates=estimates, sign_differs=True)
    analysis = SimpleNamespace(pairs={("a", "b"): pair}, measures=SimpleNamespace(id_word="acc"))
    assert said(every.smoother_decides, analysis) == [  # type: ignore[arg-type]  # as much as it reads
        "a and b given acc: linear +0.40, rank not defined, spline -0.10 (plain +0.50)."
    ]


@pytest.mark.parametrize("values", [(np.nan, 0.4, -0.1), (0.4, -0.1, np.nan)])
def test_smoothers_differ_in_sign_beside_one_without_a_value(values: tuple[float, ...]) -> None:
    estimates = {kind: Estimate(value) for kind, value in zip(("linear", "rank", "cubic"), values, strict=True)}
    assert PartialCorrelation(estimates, {}, {}).sign_differs


def test_smoothers_without_values_do_not_differ_in_sign() -> None:
    assert not PartialCorrelation({"plain": Estimate(0.5), "linear": Estimate(np.nan)}, {}, {}).sign_differs


def test_the_terminal_has_the_notes_of_the_page(tmp_path: Path) -> None:
    table = wide(8)
    pl.concat([table, table.with_columns(pl.col("acc", "near", "far") * 0.99)]).write_csv(tmp_path / "table.csv")
    command = ["analyse", str(tmp_path / "table.csv"), "--id", "acc", "--ood", "near", "--ood", "far"]
    run = CliRunner().invoke(app(), command)
    assert "Averaged 16 rows over 8 models" in " ".join(run.stdout.split())


def test_a_spread_that_is_a_measure_itself_is_no_error() -> None:
    assert analyse(example="krumpl2026").measures.errors is None
