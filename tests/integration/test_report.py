"""The report: one file, every question answered from the rows or its absence explained, nothing from the network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import altair as alt
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

from outfield.errors import UserError
from outfield.reports import headline, page
from outfield.reports.analyses import performance_against_detection
from outfield.reports.displays import calibration
from outfield.reports.displays.analyses import answer
from outfield.reports.displays.base import Display, Figure
from outfield.reports.html import render
from outfield.reports.results import Results
from outfield.store import write
from outfield.store.performance import Performance
from outfield.store.query import MissingRowsWarning
from outfield.testing import simulated
from outfield.types import Estimate

OTHER_ROWS = {"analysis_critical_bands", "analysis_choice_on_id_validation", "analysis_performance_by_domain"}
"""Analyses that read rows which this study has none of; their contract has them."""
BUILDERS = [build for builds in page.sections().values() for build in builds if build.__name__ not in OTHER_ROWS]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def rows():
    return simulated.estimates(
        simulated.rows(seeds=2, detectors=("msp", "energy", "mds", "knn", "gradnorm", "gram"), shifts=("blur",))
    )


@pytest.fixture(scope="module")
def results(rows, tmp_path_factory):
    return Results.of(simulated.folder(tmp_path_factory.mktemp("simulated"), rows), simulated.items(rows))


@pytest.fixture(scope="module")
def text(results):
    return page.html(results, command="outfield quickstart")


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and the text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.script = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.script = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.script = self.script and tag not in ("script", "style")

    def handle_data(self, data):
        if not self.script:
            self.words.append(data)


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_every_display_has_numbers_a_caption_and_valid_charts(build, results):
    display = build(results)
    assert isinstance(display, Display)
    assert display.frame().height > 0
    assert display.title and len(display.caption) > 40
    assert set(display.headings()) <= set(display.frame().columns)
    for figure in display.figures:
        assert figure.spec()["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
        assert "config" not in figure.spec()
    if display.figures:
        assert display.plot().to_dict()["config"]


def test_codes_are_unique(results):
    codes = [build(results).code for build in BUILDERS]
    assert len(set(codes)) == len(codes)


def test_page_asks_the_network_for_nothing(text):
    for tag, attrs in Tags(text).tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attrs.get(name) or "#").startswith(("#", "data:")), (tag, attrs)
    assert "@import" not in text.split("<script", 1)[0]
    assert not re.search(r"url\(", text.split("</style>", 1)[0])


def test_page_holds_each_chart_and_table(text, results):
    ids = {attrs.get("id") for _, attrs in Tags(text).tags}
    wanted = {attrs["data-spec"] for _, attrs in Tags(text).tags if "data-spec" in attrs}
    assert wanted <= ids
    assert len(wanted) == sum(len(build(results).figures) for build in BUILDERS)
    assert {f"csv-{build(results).code}" for build in BUILDERS} <= ids


def test_answer_states_the_numbers_that_the_rows_hold(rows, results):
    first, second, third = headline.sentences(rows)
    test = rows.filter(pl.col("role") == "test", pl.col("part").is_null())
    auroc = test.filter(pl.col("metric") == "auroc").group_by("strategy").agg(pl.col("value").mean()).sort("strategy")
    accuracy = (
        test.filter(pl.col("metric") == "accuracy", pl.col("set_kind") == "id")
        .group_by("strategy")
        .agg(pl.col("value").mean())
        .sort("strategy")
    )
    rho = stats.spearmanr(auroc["value"], accuracy["value"]).statistic
    assert f"over 12 strategies, Spearman's rho of accuracy with mean AUROC is {rho:.2f} [" in first
    assert f"decides {results.variance.row('strategy x detector')['eta2']:.1%} [" in second
    assert f"The safest choice is {results.recommendation.best}:" in third
    assert "of 6. " in third


@pytest.mark.parametrize(
    ("low", "high", "higher", "says"),
    [
        (0.1, 0.8, True, "Here the models of higher accuracy also detect OOD inputs better"),
        (-0.8, -0.1, True, "Here the models of higher accuracy detect OOD inputs worse"),
        (-0.5, 0.5, True, "higher accuracy also detect OOD inputs better, these data do not settle"),
        (-0.8, -0.1, False, "Here the models of lower error also detect OOD inputs better"),
        (0.1, 0.8, False, "Here the models of lower error detect OOD inputs worse"),
        (-0.5, 0.5, False, "lower error also detect OOD inputs better, these data do not settle"),
    ],
)
def test_the_verdict_follows_the_interval_and_the_direction(low, high, higher, says):
    measure = Performance("m", "Accuracy" if higher else "Error", higher)
    assert says in performance_against_detection._verdict(Estimate((low + high) / 2, low, high, 12), measure)


def models(strategies):
    """Rows of one model a strategy: its family, its accuracy, and the AUROC of one detector on one set."""
    common = {"detector": None, "ood": None, "set_kind": "id"}
    found = []
    for i, (family, accuracy, auroc) in enumerate(strategies):
        one = {"model": f"m{i}", "strategy": f"s{i}", "family": family, "seed": 0}
        found.append(one | common | {"metric": "accuracy", "value": accuracy})
        detected = {"detector": "msp", "ood": "far", "set_kind": "ood", "ood_category": "far"}
        found.append(one | detected | {"metric": "auroc", "value": auroc})
    return pl.DataFrame(found, infer_schema_length=None)


def test_what_one_family_can_turn_is_not_settled():
    weak = [("small data", 0.1, 0.5), ("label noise", 0.2, 0.6), ("under-trained", 0.3, 0.55)]
    rest = [("baseline", 0.9 + 0.01 * i, value) for i, value in enumerate((0.72, 0.75, 0.7, 0.73, 0.74, 0.71, 0.76))]
    results = Results.of(models([*weak, *rest]))
    found = results.correlation
    assert found.whole.estimate.low > 0 and set(results.turned_by) == {"small data", "label noise", "under-trained"}
    first = headline.sentences(results)[0]
    values = [one.estimate.value for one in found.without.values()]
    assert first.startswith(
        "Whether the models of higher accuracy also detect OOD inputs better, these data do not settle"
    )
    assert f"leaves rho between {min(values):.2f} and {max(values):.2f}." in first
    assert "Without small data, label noise or under-trained its interval includes 0." in first
    assert "So 3 of 3 families can turn the verdict. Without baseline too few strategies are left" in first
    assert answer("one_family_out", results).sentences()[0] in first


def test_what_no_family_turns_is_said_to_hold_without_each():
    results = Results.of(models([(f"f{i // 2}", 0.5 + 0.03 * i, 0.6 + 0.02 * i) for i in range(12)]))
    first = headline.sentences(results)[0]
    assert first.startswith("Here the models of higher accuracy also detect OOD inputs better")
    assert "Leaving out one family leaves rho between 1.00 and 1.00, and its interval lies above 0 each time." in first


def traded():
    """One set on which the detector of the best mean is the worst of four, and another is never worse than second."""
    values = {
        "brave": (0.99, 0.99, 0.99, 0.60),
        "safe": (0.95, 0.95, 0.95, 0.90),
        "third": (0.80, 0.81, 0.80, 0.95),
        "last": (0.70, 0.70, 0.71, 0.70),
    }
    return pl.DataFrame(
        {"model": f"m{i}", "strategy": f"s{i}", "seed": 0, "metric": "auroc", "detector": name, "ood": ood,
         "ood_category": "near" if ood == "w" else "far", "value": value - 0.001 * i}
        for i in range(4) for name, row in values.items() for ood, value in zip("xyzw", row, strict=True)
    )  # fmt: skip


def test_a_detector_that_is_both_is_named_once():
    third = headline.sentences(traded())[2]
    assert "The safest choice is safe: even on x, y, z and w, where it is worst, its mean rank is 2.0" in third
    assert f"Its mean AUROC over OOD sets, {np.mean([0.95, 0.95, 0.95, 0.9]) - 0.0015:.3f}" in third
    assert "is the best too" in third and "brave" not in third


def test_one_mean_and_one_order_on_the_whole_page():
    from outfield.reports.displays import detectors

    rows = traded().with_columns(
        value=pl.when(pl.col("detector") == "brave", pl.col("ood") == "w").then(0.82).otherwise("value")
    )
    results = Results.of(rows)
    means = dict(rows.group_by("detector").agg(pl.col("value").mean()).iter_rows())
    found = results.recommendation
    assert (found.safest, found.best_by_mean) == (("safe",), ("brave",))
    assert {name: one.value for name, one in found.mean_value.items()} == pytest.approx(means)
    third = headline.sentences(results)[2]
    assert f"The best mean AUROC has brave, {means['brave']:.3f}" in third and "but on w its mean rank is 3.0" in third
    assert "Take safe where any OOD input may come, and brave where" in third
    order = sorted(means, key=means.__getitem__, reverse=True)
    assert list(results.detectors) == detectors.boxes(results).table["name"].to_list() == order
    for build in (detectors.best_per_strategy, detectors.heat_map, detectors.worst_case, detectors.boxes):
        assert headline.criteria(results) in build(results).caption
    assert "brave" in headline.criteria(results) and "safe" in headline.criteria(results)


def test_detectors_that_tie_exactly_are_named_together():
    from outfield.reports.displays.detectors import best_per_strategy

    rows = traded()
    twin = rows.filter(pl.col("detector") == "safe").with_columns(detector=pl.lit("also"))
    results = Results.of(pl.concat([rows, twin]))
    assert "The safest choice is also and safe (tied exactly):" in headline.sentences(results)[2]
    assert set(best_per_strategy(results).table["best"]) == {"also and safe"}


def test_best_detector_is_the_best_and_blind_choice_leaves_the_set_out(rows, results):
    from outfield.reports.displays.detectors import best_per_strategy

    table = best_per_strategy(results).frame()
    cell = (
        results.complete.filter(pl.col("strategy") == "MixUp").group_by("detector", "ood").agg(pl.col("value").mean())
    )
    wide = cell.pivot("ood", index="detector", values="value")
    values = wide.drop("detector").to_numpy()
    row = table.row(by_predicate=pl.col("strategy") == "MixUp", named=True)
    assert row["best"] == wide["detector"][int(values.mean(axis=1).argmax())]
    assert row["auroc"] == pytest.approx(values.mean(axis=1).max())
    blind = [values[np.delete(values, at, 1).mean(axis=1).argmax(), at] for at in range(values.shape[1])]
    assert row["blind"] == pytest.approx(np.mean(blind))
    assert row["low"] <= row["auroc"] <= row["high"]


def test_boxes_and_heat_map_show_means_of_the_rows(results):
    from outfield.reports.displays.detectors import boxes, heat_map

    cell = results.auroc.filter(pl.col("strategy") == "SupCon", pl.col("detector") == "knn")["value"].mean()
    shown = (
        heat_map(results).frame().filter(pl.col("strategy") == "SupCon", pl.col("detector") == "knn")["value"].item()
    )
    assert shown == pytest.approx(cell)
    box = boxes(results).frame().row(by_predicate=pl.col("name") == "knn", named=True)
    means = heat_map(results).frame().filter(pl.col("detector") == "knn")["value"]
    assert box["median"] == pytest.approx(means.median())
    assert box["baseline"] == pytest.approx(
        heat_map(results).frame().filter(pl.col("strategy") == "baseline", pl.col("detector") == "knn")["value"].item()
    )


def test_what_was_left_out_is_said(rows):
    hole = rows.filter(
        (pl.col("model") != "MixUp seed 1") | (pl.col("detector") != "knn") | (pl.col("ood") != "terrain")
    )
    found = Results.of(hole)
    assert any("Left out" in caution for caution in found.cautions)
    assert any("Left out" in word for word in Tags(page.html(found)).words)


def test_curves_and_parts_do_not_enter_the_means(rows, results):
    spoilt = rows.filter(pl.col("metric") == "auroc").with_columns(value=pl.lit(0.0), role=pl.lit("curve"))
    assert_frame_equal(Results.of(pl.concat([rows, spoilt])).models, Results.of(rows).models)


@pytest.mark.parametrize("strategies", [1, 2, 3])
def test_few_strategies_leave_reasons_in_place_of_charts(rows, strategies, tmp_path):
    names = rows["strategy"].unique().sort()[:strategies].to_list()
    path = page.write(rows.filter(pl.col("strategy").is_in(names)), tmp_path / "report.html")
    words = " ".join(Tags(path.read_text()).words)
    assert "cannot be said" in words
    assert "Expected at least 4 complete rows" in words


def test_absent_parts_of_a_study_are_explained(rows):
    bare = rows.filter(pl.col("metric") == "auroc", pl.col("part").is_null()).with_columns(
        seconds=None, ood_category=None
    )
    words = " ".join(Tags(page.html(Results.of(bare))).words)
    for reason in (
        "no covariate shifts",
        "no pooled OOD set",
        "no diagnostics",
        "no feature statistics",
        "what they cost",
    ):
        assert reason in words


def test_a_study_without_a_wrong_prediction_still_makes_a_page(rows):
    faultless = rows.filter(~pl.col("metric").is_in(["auroc_correct_vs_incorrect", "auroc_incorrect_vs_ood"]))
    words = " ".join(Tags(page.html(Results.of(faultless))).words)
    assert "no model has both right and wrong ID predictions" in words


def test_a_statistic_that_is_0_in_the_baseline_has_no_ratio(rows):
    tiny = pl.col("metric") == "tiny_share"
    zero = tiny & pl.col("strategy").is_in(["baseline", "MixUp"])
    found = Results.of(rows.with_columns(value=pl.when(zero).then(0.0).otherwise("value")))
    display = calibration.feature_statistics(found)
    assert display.table["tiny_share"].is_null().all() and len(display.figures) == 4
    assert not re.search(r"NaN|Infinity", "".join(render(display).specs))


def test_numbers_that_json_has_not_are_null_in_a_specification():
    chart = alt.Chart(alt.Data(values=[{"x": 1.0, "y": float("nan")}, {"x": float("inf"), "y": 2.0}])).mark_point()
    (spec,) = render(Display("d", "Title", "Caption.", pl.DataFrame(), (Figure(chart),))).specs
    assert json.loads(spec)["data"]["values"] == [{"x": 1.0, "y": None}, {"x": None, "y": 2.0}]


def test_rows_of_models_alone_still_make_a_page(rows):
    words = " ".join(Tags(page.html(Results.of(rows.filter(pl.col("metric") == "accuracy")))).words)
    assert "this study has none yet" in words


def test_no_rows_is_a_users_mistake(tmp_path, rows):
    with pytest.raises(UserError, match="Run it first"):
        page.write(tmp_path, tmp_path / "report.html")
    with pytest.raises(UserError, match="there is none"):
        page.write(rows.clear(), tmp_path / "report.html")
    with pytest.raises(UserError, match="metric, value is not there"):
        page.write(rows.select("model"), tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_names_cannot_break_out_of_the_page(rows):
    evil = "</script><script>alert(1)</script>"
    odd = rows.with_columns(
        pl.when(pl.col("strategy") == "MixUp").then(pl.lit(evil)).otherwise("strategy").alias("strategy"),
        pl.lit(evil).alias("study"),
    )
    tags = Tags(page.html(Results.of(odd)))
    assert sum(tag == "script" and not attrs.get("type") for tag, attrs in tags.tags) == 2
    assert not any("alert(1)" in word for word in tags.words if evil not in word)


def test_a_folder_gives_the_study_file_and_the_command(tmp_path, rows):
    write.begin(tmp_path, ["k", "later"], json.dumps({"name": "digits", "seeds": [0, 1]}))
    write.rows(tmp_path, "k", rows.head(2000).drop("outfield", "torch").to_dicts())
    with pytest.warns(MissingRowsWarning, match="1 of the 2 jobs"):
        path = page.write(tmp_path, tmp_path / "deep" / "report.html", command="outfield run studies/digits.yaml")
    words = " ".join(Tags(path.read_text()).words)
    assert "outfield run studies/digits.yaml" in words
    assert "1 of 2 jobs of this study are done" in words
    assert "name: digits" in words


def test_a_large_study_stays_small():
    strategies = {f"strategy {i}": ("baseline", "adversarial", "augmentation", "recipe")[i % 4] for i in range(56)}
    large = simulated.rows(strategies=strategies, seeds=1)
    assert large.filter(pl.col("metric") == "auroc", pl.col("part").is_null()).height == 56 * 31 * 8
    assert len(page.html(Results.of(large)).encode()) < 8e6


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: the page is not opened in a browser")
def test_every_chart_is_drawn_in_a_browser_without_network(tmp_path, text, results):
    path = tmp_path / "report.html"
    path.write_text(text)
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", *quiet),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *("--virtual-time-budget=20000", "--dump-dom", path.as_uri()),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert 'data-drawn="yes"' in dom
    assert "could not be drawn:" not in dom.replace("This chart could not be drawn: ${", "")
    charts = sum(len(build(results).figures) for build in BUILDERS)
    assert dom.count('class="marks"') == charts
