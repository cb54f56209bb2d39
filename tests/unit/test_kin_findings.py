"""What kinship changes in an analysis: levels, intervals, findings, displays."""

import numpy as np
import polars as pl
import pytest

from outfield.errors import UserError
from outfield.reports import analysis_page
from outfield.reports.analysis import Analysis, analyse
from outfield.reports.displays import statistics
from outfield.reports.findings import findings
from outfield.stats import correlation_by_cluster, pearson
from outfield.stats.smooth import SMOOTHERS


def table(names: list[str], *columns: np.ndarray, **more: object) -> pl.DataFrame:
    return pl.DataFrame({"model": names, **dict(zip(("val", "a", "b", "c"), columns, strict=False)), **more})


def run(frame: pl.DataFrame, **options: object) -> Analysis:
    ood = [name for name in ("a", "b", "c") if name in frame.columns]
    return analyse(frame, model="model", id="val", ood=ood, kind="accuracy", **options)


def said(analysis: Analysis, code: str) -> list[str]:
    return [f"{each.severity}: {each.sentence}" for each in findings(analysis) if each.code == code]


def shared(families: int = 12, rows: int = 20, seed: int = 1, own: float = 0.02) -> pl.DataFrame:
    """Families that share nearly all: measures of each are unrelated over families."""
    rng = np.random.default_rng(seed)
    names = [f"{chr(97 + f)}net_{i}" for f in range(families) for i in range(rows)]
    columns = [np.repeat(rng.uniform(0.4, 0.8, families), rows) + rng.normal(0, own, families * rows) for _ in range(4)]
    return table(names, *columns)


def simpson(families: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(families), 10)
    inside = rng.normal(0, 0.01, len(family))
    x, y = 0.3 + 0.08 * family + inside, 0.2 + 0.08 * family - inside + rng.normal(0, 0.002, len(family))
    return table([f"m{i}" for i in range(len(family))], x, y, family=[f"f{each}" for each in family])


# --- seeds ---


def test_six_nets_of_twenty_seeds_are_no_120_units():
    rng = np.random.default_rng(0)
    net = np.repeat(np.arange(6), 20)
    x, y = (rng.uniform(0.4, 0.8, 6)[net] + rng.normal(0, 0.002, 120) for _ in range(2))
    found = run(table([f"net{n}_seed{i}" for n in range(6) for i in range(20)], x, y))
    assert found.measures.level == found.level == "configuration"
    assert found.measures.names == [f"net{i}" for i in range(6)]
    assert found.relations["a"].whole.n_units == 6 and found.relations["a"].whole.p > 1e-3
    assert found.measures.column("val")[0] == pytest.approx(x[:20].mean())
    (sentence,) = said(found, "OF022")
    assert "120 rows differ in a seed alone and are 6 configurations" in sentence and "4.5 times too narrow" in sentence
    assert not said(found, "OF003")


def test_errors_of_averaged_seeds_are_those_of_means():
    rng = np.random.default_rng(0)
    frame = table([f"net{n}_seed{i}" for n in range(5) for i in range(4)], *rng.uniform(0.4, 0.8, (2, 20)))
    found = run(frame.with_columns(val_stderr=pl.lit(0.02), a_stderr=pl.lit(0.04)), error="{}_stderr").measures
    assert found.errors is not None and found.errors["val"].to_list() == pytest.approx([0.01] * 5)


def test_reruns_of_one_configuration_stay_and_say_how_far_they_reach():
    rng = np.random.default_rng(0)
    found = run(table([f"Run {i}" for i in range(30)], *rng.uniform(0.4, 0.8, (2, 30))))
    assert found.level == "run" and found.relations["a"].whole.n_units == 30
    assert "holds for reruns of that configuration" in analysis_page.level(found)
    assert not said(found, "OF003")


# --- families ---


def test_families_are_the_units_of_every_relation():
    found = run(shared())
    assert found.level == "family" and found.n_units == 12
    whole = found.relations["a"].whole
    alone = correlation_by_cluster(found.measures.column("val"), found.measures.column("a"), found.measures.clusters)
    assert (whole.estimate.low, whole.p) == pytest.approx((alone.estimate.low, alone.p))
    assert whole.level == found.lines["a"].level == found.partial.level == "family"
    assert whole.n_units == found.lines["a"].n_units == found.partial.n_units == 12
    assert found.relation_frame()["n"].to_list() == [12, 12, 12]
    assert found.relation_frame()["level"].to_list() == ["family"] * 3


def test_partial_correlations_have_their_intervals_by_family():
    found = run(shared())
    pair = found.pairs["a", "b"]
    naive = run(shared(), unit="row").pairs["a", "b"]
    assert set(pair.estimates) == {"plain", *SMOOTHERS}
    for kind, each in pair.estimates.items():
        assert each.value == pytest.approx(naive.estimates[kind].value, abs=1e-6)
        assert each.high - each.low > 1.5 * (naive.estimates[kind].high - naive.estimates[kind].low), kind


def test_the_largest_families_are_left_out_in_turn():
    found = run(shared()).relations["a"]
    assert len(found.without) == 8 and found.without["anet"].n_units == 11
    assert found.without["anet"].names[0] == "bnet_0" and len(found.without["anet"].x) == 220


def test_what_the_usual_analysis_would_claim_is_told():
    found = run(shared(seed=2))
    (sentence,) = said(found, "OF022")
    usual, ours = found.naive["a"].estimate, found.relations["a"].whole.estimate
    assert usual.low > 0.3 and ours.low < 0 < ours.high
    assert sentence.startswith("warning: 240 rows are of 12 families, and tell as much as about 12 independent ones.")
    assert f"[{usual.low:+.3f}, {usual.high:+.3f}]" in sentence and "(n = 240)" in sentence and "(n = 12)" in sentence


def test_families_that_share_nothing_are_not_told():
    rng = np.random.default_rng(0)
    names = [f"{chr(97 + f)}net_{i}" for f in range(24) for i in range(10)]
    x = rng.uniform(0.3, 0.8, 240)
    found = run(table(names, x, x + rng.normal(0, 0.05, 240)))
    assert found.n_units == 24 and not said(found, "OF022") and not said(found, "OF023")


def test_rows_that_are_asked_for_are_units_as_before():
    found = run(shared(), unit="row")
    values = found.measures.column("val"), found.measures.column("a")
    assert found.level == "model" and found.relations["a"].whole.interval == "bonett-wright"
    assert found.pairs["a", "b"].estimates["plain"].low == pytest.approx(
        pearson(found.measures.column("a"), found.measures.column("b")).estimate.low
    )
    assert not said(found, "OF022") and len(values[0]) == 240


def test_few_families_that_are_asked_for_have_no_interval():
    frame = shared(families=4)
    found = run(frame.with_columns(lab=pl.col("model").str.head(1)), unit="lab")
    whole = found.relations["a"].whole
    assert np.isnan(whole.estimate.low) and "4 clusters are too few" in whole.notes[0]
    assert "by cluster no interval (n = 4)" in said(found, "OF022")[0]
    assert np.isnan(found.relation_frame()["p (Holm)"].to_list()).all()
    assert analysis_page.html(found)


# --- Simpson ---


@pytest.mark.parametrize("families", [3, 8])
def test_simpsons_paradox_is_told_with_every_family(families):
    found = run(simpson(families), family="family")
    (sentence,) = said(found, "OF023")
    assert sentence.startswith("warning: val with a: +0.") and "(Simpson's paradox): f0 -0.9" in sentence
    assert "within families" in sentence and "f2 -0." in sentence


def test_one_family_that_goes_the_other_way_is_told():
    rng = np.random.default_rng(2)
    family = np.repeat(np.arange(8), 12)
    x = rng.uniform(0.3, 0.8, 96)
    y = np.where(family == 3, 0.9 - x, x) + rng.normal(0, 0.02, 96)
    found = run(table([f"{chr(97 + f)}net_{i}" for i, f in enumerate(family)], x, y.clip(0.01, 0.99)))
    (sentence,) = said(found, "OF023")
    assert sentence.startswith("info") and "the other way within dnet -1.00 [-1.00, -0.9" in sentence


def test_a_relation_that_is_the_same_everywhere_is_no_paradox():
    assert not said(run(simpson(8).with_columns(a=pl.col("val") - 0.1), family="family"), "OF023")


# --- pages ---


def test_the_page_has_the_usual_way_beside_ours():
    found = run(shared())
    display = statistics.rows_and_kin(found)
    row = display.table.row(0, named=True)
    assert (
        row["rows"] == 240 and row["units"] == 12 and row["high (rows)"] - row["low (rows)"] < row["high"] - row["low"]
    )
    assert "of 12 families" in statistics.relation(found).caption
    page = analysis_page.html(found)
    assert "The rows tell as much as about 12 independent ones." in page and "240 rows are of 12 families" in page
    assert "Rows taken as independent, and by family" in page


def test_rows_that_stand_alone_have_no_such_table():
    with pytest.raises(UserError, match="Expected rows that are kin"):
        statistics.rows_and_kin(run(shared(), unit="row"))
