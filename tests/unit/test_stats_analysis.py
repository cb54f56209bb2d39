"""``outfield analyse``: findings that fire and that do not, anyone's table, peers' results, a page on its own."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from outfield.errors import UnknownName, UserError
from outfield.reports import analysis_page
from outfield.reports.analysis import Analysis, analyse
from outfield.reports.displays.statistics import mean_ranks, shapes
from outfield.reports.findings import TITLES, Finding, findings, frame
from outfield.reports.paper_statements import side_by_side
from outfield.stats.smooth import SMOOTHERS
from outfield.store import foreign_results
from outfield.tables.measures import measures

ROOT = Path(__file__).parents[2]
LEADERBOARD = ROOT.parent / "shared" / "data" / "results" / "openood_v15_leaderboard.json"


def codes(analysis: Analysis) -> set[str]:
    return {found.code for found in findings(analysis)}


def sentences(analysis: Analysis, code: str) -> list[str]:
    return [found.sentence for found in findings(analysis) if found.code == code]


@pytest.fixture(scope="module")
def study() -> Analysis:
    return analyse(example="krumpl2026")


@pytest.fixture(scope="module")
def resnets() -> Analysis:
    return analyse(example="resnet50-48")


def rows(strategies: int = 8, seeds: int = 3, seed: int = 0, **more: object) -> pl.DataFrame:
    """Rows in outfield's columns: three detectors, four OOD sets in two categories."""
    rng = np.random.default_rng(seed)
    out = []
    for s in range(strategies):
        level, accuracy = rng.normal(0, 0.03), rng.uniform(0.5, 0.9)
        for k in range(seeds):
            named = {
                "study": "t",
                "model": f"s{s}-{k}",
                "strategy": f"s{s}",
                "family": "ab"[s % 2],
                "seed": k,
                "role": "test",
            }
            noise = rng.normal(0, 0.01)
            out.append({**named, "set_kind": "id", "metric": "accuracy", "value": accuracy + noise})
            for d, gain in (("knn", 0.05), ("msp", 0.0), ("vim", 0.03)):
                for o, (ood, category) in enumerate(
                    (("tin", "near"), ("ninco", "near"), ("svhn", "far"), ("dtd", "far"))
                ):
                    value = 0.8 + level + gain + 0.02 * o + rng.normal(0, 0.01)
                    where = {"detector": d, "ood": ood, "ood_category": category, "set_kind": "ood", "metric": "auroc"}
                    sizes = {"n_id": 500, "n_ood": 150 if ood == "dtd" else 900}
                    out.append({**named, **where, **sizes, "value": value})
    return pl.DataFrame(out, infer_schema_length=None).with_columns(**more)


# --- examples ---


def test_the_study_gets_its_findings(study):
    assert codes(study) == {"OF001", "OF002", "OF003", "OF004", "OF010", "OF012"}
    assert "9,408" in sentences(study, "OF001")[0] and "p = 0.93" in sentences(study, "OF001")[0]
    assert any("Adversarial" in text and "-0.33" in text for text in sentences(study, "OF002"))
    assert "'StyleAugment' and 'ShapeNet (SIN+IN -> IN)'" in sentences(study, "OF004")[0]
    assert findings(study)[0].severity == "error"


def test_the_resnets_get_their_findings(resnets):
    assert {"OF008", "OF009", "OF011"} <= codes(resnets)
    assert any("spline -0.16" in text for text in sentences(resnets, "OF008"))
    assert "0.7% of the variance on the raw scale, 5.8% on the logit" in sentences(resnets, "OF009")[0]
    assert "imagenet-v2" in sentences(resnets, "OF011")[0]


def test_stated_and_supported_stand_side_by_side(study):
    table = side_by_side(study)
    supported = dict(table.select("topic", "supported").iter_rows())
    assert "+0.012" in supported["accuracy and AUROC, all rows"]
    assert "+0.762" in supported["shape"] and "-0.541" in supported["shape"]
    assert "W = 0.418" in supported["detectors"] and "W = 0.052" in supported["detectors"]


def test_every_code_has_a_title_and_a_page():
    for code in TITLES:
        page = ROOT / "docs" / Finding(code, "info", "").page
        assert page.is_file(), code
        assert page.read_text().startswith(f"# {code}"), code


def test_strategies_are_missed_where_models_are_strategies_alone(study, resnets):
    assert "OF003" in codes(study) & codes(resnets)
    assert "OF003" not in codes(analyse(example="boards", study="cifar10"))


def test_measures_of_the_same_models_have_ranks_and_no_test_of_them(resnets):
    shown = mean_ranks(resnets)
    assert "Kendall's W" in shown.caption and "p =" not in shown.caption and not shown.figures
    assert "p =" in mean_ranks(analyse(rows())).caption


def test_shapes_of_kin_say_that_rows_count_as_independent(resnets):
    assert "p is too small" in shapes(analyse(example="boards", study="cifar10")).caption
    assert "p is too small" not in shapes(resnets).caption


def test_findings_make_a_table(study):
    assert frame(findings(study)).columns == ["code", "severity", "title", "sentence"]


# --- tables ---


def test_rows_are_read_at_the_level_of_the_strategy():
    found = analyse(rows())
    assert (found.measures.level, found.measures.units.height) == ("strategy", 8)
    assert found.relations["mean AUROC"].whole.n_units == 8
    assert found.relations["mean AUROC"].level == found.relations["mean AUROC"].whole.level == "strategy"
    assert found.variance["raw"].level == "strategy"
    assert found.recommendation.best == "knn"
    assert found.friedman.blocks == 8
    assert "OF003" not in codes(found)
    assert any("dtd has 150 items" in text for text in sentences(found, "OF006"))


def test_pooled_rows_are_called_out_when_units_do_not_bear_them_out():
    for seed in range(30):
        found = analyse(rows(seed=seed))
        pooled, whole = found.pooled
        if pooled.p < 0.05 <= whole.p:
            assert "OF001" in codes(found)
            assert pooled.n_units == 8 and len(pooled.x) == 288
            return
    pytest.fail("no seed gave pooled significance without the units'")


def test_an_auroc_below_half_is_named():
    low = pl.when((pl.col("detector") == "msp") & (pl.col("ood") == "svhn")).then(0.3).otherwise(pl.col("value"))
    assert "msp on svhn" in sentences(analyse(rows(value=low)), "OF007")[0]
    assert "OF007" not in codes(analyse(rows()))


def test_tuning_on_the_source_of_a_test_is_an_error():
    tuned = rows().with_columns(tuned=pl.lit(True))
    curve = tuned.filter(pl.col("ood") == "tin").with_columns(role=pl.lit("curve"), ood=pl.lit("imagenet-o"))
    found = analyse(pl.concat([tuned, curve]))
    assert "tuned on imagenet-o, which shares a source with the test tin" in sentences(found, "OF005")[0]
    assert "OF005" not in codes(analyse(tuned))


def test_missing_cells_and_duplicate_rows_are_said():
    whole = rows()
    cut = whole.filter(~((pl.col("strategy") == "s3") & (pl.col("ood") == "svhn")))
    found = analyse(pl.concat([cut, cut.head(5)]))
    assert "s3" in sentences(found, "OF013")[0]
    assert sentences(found, "OF015") == ["Dropped 5 duplicate rows."]


def test_seeds_of_a_wide_table_are_averaged():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"run": [f"r{i}" for i in range(18)], "recipe": [f"s{i // 3}" for i in range(18)],
                          "top1": rng.uniform(0.5, 0.9, 18), "sketch": rng.uniform(0.2, 0.4, 18)})  # fmt: skip
    found = measures(table, strategy="recipe", model="run", id="top1", ood=["sketch"])
    assert (found.level, found.units.height) == ("strategy", 6)
    assert found.column("top1")[0] == pytest.approx(table["top1"][:3].mean())
    assert "not independent" in found.notes[0]


def test_a_low_accuracy_among_percentages_is_a_percentage():
    known = [70.02, 71.15, 72.3, 73.44, 74.9]
    table = pl.DataFrame({"model": list("abcde"), "id": known, "a": [0.02, 0.5, 0.3, 0.9, 0.7]})
    found = measures(table, id="id", ood=["a"])
    assert found.column("a").max() == pytest.approx(0.009)
    assert "a is at most 1 among percentages: read as percent too." in found.notes


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ood": ["a"], "id": None, "model": "nowhere"}, "Expected columns nowhere"),
        ({"id": "id", "ood": ["nowhere"]}, "Expected columns nowhere"),
        ({"id": "id", "ood": ["a"]}, "at least four models"),
        ({"id": "id", "ood": ["huge"]}, "in [0, 1] or percent"),
    ],
)
def test_tables_that_do_not_fit_are_named(options, says):
    table = pl.DataFrame({"model": list("abc"), "id": [0.1, 0.2, 0.3], "a": [0.3, 0.2, 0.1], "huge": [1e4, 0, 0]})
    with pytest.raises(UserError, match=says.replace("[", r"\[")):
        analyse(table, **options)


def test_an_unknown_example_suggests():
    with pytest.raises(UnknownName, match="krumpl2026"):
        analyse(example="krumpl2025")


# --- the page and the command ---


def test_the_page_stands_alone(study, tmp_path):
    text = analysis_page.write(study, tmp_path / "a.html").read_text()
    assert "OF001" in text and "vegaEmbed" in text
    for outside in ('src="http', "src='http", '<link rel="stylesheet"', "@import", "fetch("):
        assert outside not in text.split("<script>", maxsplit=1)[0]
    assert len(text) < 3_000_000
    spec = text.split('<script type="application/json" id="relation-0">')[1].split("</script>")[0]
    assert json.loads(spec)["layer"]


@pytest.fixture
def run():
    from outfield.cli import app

    def call(*arguments: str):
        return CliRunner().invoke(app(), ["analyse", *arguments], env={"COLUMNS": "160"}, catch_exceptions=False)

    return call


def test_the_command_prints_findings_first(run, tmp_path):
    result = run("--example", "krumpl2026", "--html", str(tmp_path / "out.html"))
    assert result.exit_code == 0
    assert result.stdout.index("OF001 error") < result.stdout.index("Is the relation monotonic?")
    assert (tmp_path / "out.html").exists()


def test_the_command_reads_anyones_table(run, tmp_path):
    table = ROOT / "src" / "outfield" / "reference" / "resnet50_48_accuracies.csv"
    result = run(
        str(table), "--family", "category", "--id", "imagenet", "--ood", "imagenet-a", "imagenet-r", "imagenet-c"
    )
    assert result.exit_code == 0 and "imagenet-c" in result.stdout and "0.659" in result.stdout
    rows().write_parquet(tmp_path / "rows.parquet")
    assert "8 independent units" in run(str(tmp_path / "rows.parquet")).stdout


def test_the_command_says_what_it_guessed_and_left_out(run, tmp_path):
    lines = [f"net{i};{70 + i};{40 + 5 * (i % 3)},5 ± 0,3;{i}" for i in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(["net;val;sketch;params", *lines, "Mean;72.5;45,5;2,5"]))
    shown = " ".join(run(str(tmp_path / "t.csv"), "--html", str(tmp_path / "t.html")).stdout.split())
    assert "Guessed: val is the ID measure." in shown and "Read decimal commas as points." in shown
    assert "Took the spreads of sketch for standard errors." in shown
    for text in (shown, (tmp_path / "t.html").read_text()):
        assert "it is the mean of the other rows" in text and "its name is not that of a measure" in text
    assert "divided them by the root of 4" in " ".join(run(str(tmp_path / "t.csv"), "--runs", "4").stdout.split())


# --- peers ---


def test_openoods_mean_table_is_read(tmp_path):
    file = tmp_path / "knn.csv"
    file.write_text(
        ",FPR@95,AUROC,AUPR_IN,AUPR_OUT,ACC\ncifar100,37.64 ± 0.31,89.73 ± 0.14,90.1 ± 0.1,88.0 ± 0.2,95.06 ± 0.30\n"
        "tin,30.37 ± 0.65,91.56 ± 0.26,92.0 ± 0.1,89.0 ± 0.2,95.06 ± 0.30\n"
        "nearood,34.0 ± 0.4,90.6 ± 0.2,91 ± 0.1,88 ± 0.2,95 ± 0.3\n"
    )
    table = foreign_results.openood_csv(file, model="resnet18")
    aurocs = table.filter(pl.col("metric") == "auroc")
    assert aurocs.select("ood", "ood_category", "value", "sd").rows() == [
        ("cifar100", "near", 0.8973, 0.0014), ("tin", "near", 0.9156, 0.0026),
    ]  # fmt: skip
    assert table.filter(pl.col("metric") == "accuracy").select("value", "set_kind").rows() == [(0.9506, "id")]
    assert "fpr_at_95_ood" in table["metric"]


def test_openoods_scores_are_higher_for_id(tmp_path):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    known, ood = rng.normal(1, 1, 50), rng.normal(0, 1, 40)
    np.savez(tmp_path / "cifar10.npz", pred=np.zeros(50, int), conf=known, label=np.arange(50) % 2)
    np.savez(tmp_path / "svhn.npz", pred=np.zeros(40, int), conf=ood, label=-np.ones(40, int))
    table = foreign_results.openood_scores(tmp_path, "cifar10", detector="msp")
    row = table.filter(pl.col("metric") == "auroc").to_dicts()[0]
    assert row["value"] == pytest.approx(roc_auc_score(np.repeat([0, 1], [50, 40]), -np.concatenate([known, ood])))
    assert row["low"] < row["value"] < row["high"] and (row["n_id"], row["n_ood"]) == (50, 40)
    assert table.filter(pl.col("metric") == "accuracy")["value"].to_list() == [0.5]
    with pytest.raises(UserError, match=r"found cifar10, svhn"):
        foreign_results.openood_scores(tmp_path, "cifar100")


def test_pytorch_oods_frame_may_be_percent(tmp_path):
    import pandas

    frame = pandas.DataFrame({"Detector": ["MSP", "MSP"], "Dataset": ["Textures", "Mean"], "AUROC": [88.0, 88.0],
                              "AUPR-IN": [80.0, 80], "AUPR-OUT": [85.0, 85], "FPR95TPR": [50.0, 50]})  # fmt: skip
    table = foreign_results.pytorch_ood(frame)
    assert table.filter(pl.col("metric") == "auroc").select("ood", "ood_category", "value").rows() == [
        ("Textures", "far", 0.88)
    ]
    frame.to_csv(tmp_path / "p.csv", index=False)
    found = foreign_results.read(tmp_path / "p.csv")
    assert found is not None and found.equals(table)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: foreign_results.openood_csv(folder / "no.csv"), "no .*no.csv"),
        (lambda folder: foreign_results.openood_leaderboard(folder / "no.json"), "Pass the path of the JSON"),
        (lambda _: foreign_results.pytorch_ood(pl.DataFrame({"AUROC": [0.5]})), "Dataset is missing"),
    ],
)
def test_files_that_are_no_results_are_named(make, says, tmp_path):
    with pytest.raises(UserError, match=says):
        make(tmp_path)


OPENOOD = ",FPR@95,AUROC,AUPR_IN,AUPR_OUT,ACC\ntin,50.00,88.00,80.00,85.00,95.06\n"
ENTRY = {"Training": "AugMix", "Postprocessor": "MSP", "Arch": "ResNet18", "benchmark": "cifar10"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", b"{", "Expected a table at"),
        ("a.json", b'["Gr\xfc"]', "a list of objects"),
        ("a.json", b"[5]", "a list of objects"),
        ("a.json", json.dumps([{"Postprocessor": "MSP"}]).encode(), "Expected to be told the ID measure"),
        ("a.json", json.dumps([ENTRY | {"Near-OOD_AUROC": "-"}]).encode(), "Near-OOD_AUROC of AugMix, ResNet18 in"),
        ("a.csv", "model,id,ood\nGrün,0.5,0.5\n".encode("latin-1"), "at least four models"),
        ("a.csv", b"", "Expected a table at"),
        ("a.parquet", b"PAR1", "Expected a table at"),
        ("ood.csv", OPENOOD.replace("88.00", "-").encode(), "column AUROC, row tin of ood.csv, but got '-'"),
        ("ood.csv", OPENOOD.replace("95.06", "-").encode(), "column ACC of ood.csv, but got '-'"),
        ("ood.csv", OPENOOD.replace("tin", "tün").encode("latin-1"), "Expected a CSV file in UTF-8"),
        ("p.csv", b"Dataset,AUROC,AUPR-IN,FPR95TPR\nTextures,-,0.5,0.5\n", "Expected numbers in FPR95TPR, AUROC"),
    ],
)
def test_broken_files_are_a_users_mistake(name, content, says, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        analyse(tmp_path / name)
    assert says in str(error.value)


@pytest.mark.skipif(not LEADERBOARD.exists(), reason="the leaderboard is not beside this checkout")
def test_the_real_leaderboard():
    table = foreign_results.openood_leaderboard(LEADERBOARD)
    assert table.filter(pl.col("metric") == "auroc").height == 2 * 356
    assert table["value"].is_between(0, 1).all()
    assert not table["model"].str.contains("<").any()
    with pytest.raises(UserError, match="cifar100.* Choose one with --study"):
        analyse(LEADERBOARD)
    found = analyse(LEADERBOARD, study="cifar10")
    assert found.measures.units.height > 5 and found.relations["near"].whole.n_units == found.measures.units.height


# --- what is missing, infinite, unclear ---

FIVE = {"model": list("abcde"), "acc": [0.5, 0.6, 0.7, 0.8, 0.9], "near": [0.2, 0.4, 0.3, 0.6, 0.5]}


def test_rows_without_a_name_are_counted_and_left_out():
    table = pl.DataFrame(FIVE | {"model": ["a", "b", "c", "d", " "]})
    found = measures(table, id="acc", ood=["near"])
    assert found.names == list("abcd")
    assert "Left out 1 of 5 rows without a name in model (row 5)." in found.notes


@pytest.mark.parametrize("cell", [None, "", "  "])
def test_long_rows_without_strategy_join_their_model_or_are_left_out(cell):
    whole = rows()
    one = whole.with_row_index().with_columns(
        strategy=pl.when((pl.col("model") == "s1-0") & (pl.col("index") % 2 == 0))
        .then(pl.lit(cell))
        .otherwise("strategy")
    )
    assert measures(one).column("mean AUROC") == pytest.approx(measures(whole).column("mean AUROC"))
    gone = whole.with_columns(
        strategy=pl.when(pl.col("model") == "s1-0").then(pl.lit(cell)).otherwise(pl.col("strategy"))
    )
    found = measures(gone)
    assert found.names == [f"s{i}" for i in range(8)]
    assert any(note.startswith("Left out 13 of 312 rows without a name in strategy") for note in found.notes)


@pytest.mark.parametrize("cell", ["inf", "NA", "-", "n/a", ""])
def test_a_cell_without_a_number_is_missing_and_named(cell):
    table = pl.DataFrame(FIVE | {"near": ["0.2", cell, "0.3", "0.6", "0.5"]})
    found = measures(table, id="acc", ood=["near"])
    assert found.names == list("acde") and found.column("near").tolist() == [0.2, 0.3, 0.6, 0.5]
    assert "Left out 1 rows that miss a measure (empty or infinite): 'b'." in found.notes


def test_percent_signs_are_read_beside_shares():
    table = pl.DataFrame(FIVE | {"near": ["20%", "40 %", "30%", "60%", "0.5%"]})
    found = measures(table, id="acc", ood=["near"])
    assert found.column("near") == pytest.approx([0.2, 0.4, 0.3, 0.6, 0.005])
    assert found.column("acc").tolist() == FIVE["acc"]


def test_long_rows_in_percent_are_shares():
    percent = rows().with_columns(pl.col("value") * 100)
    assert measures(percent).column("mean AUROC") == pytest.approx(measures(rows()).column("mean AUROC"))
    assert any("percent" in note for note in measures(percent).notes)


def test_models_are_ranked_by_measures_whose_direction_is_known():
    table = pl.DataFrame(FIVE | {"fpr95": [0.9, 0.8, 0.7, 0.6, 0.5], "auroc": [0.5, 0.6, 0.7, 0.8, 0.9]})
    ranked = analyse(table, id="acc", ood=["fpr95", "auroc"]).friedman
    assert dict(zip(ranked.names, ranked.mean_ranks.tolist(), strict=True)) == {n: 5 - i for i, n in enumerate("abcde")}
    unclear = analyse(table.rename({"fpr95": "sketch"}), id="acc", ood=["sketch", "auroc"])
    with pytest.raises(UserError, match="whose direction is known"):
        _ = unclear.friedman
    assert "--higher NAME" in sentences(unclear, "OF020")[0] and "sketch" in sentences(unclear, "OF020")[0]
    told = analyse(table.rename({"fpr95": "sketch"}), id="acc", ood=["sketch", "auroc"], lower=["sketch"])
    assert told.friedman.mean_ranks.tolist() == ranked.mean_ranks.tolist() and "OF020" not in codes(told)


def test_models_that_tie_are_all_named():
    table = pl.DataFrame(
        {"model": list("abcdef"), "acc": [0.5, 0.6, 0.7, 0.7, 0.8, 0.9], "top1 v2": [0.4, 0.5, 0.7, 0.7, 0.7, 0.8]}
    )
    ends = analyse(table, id="acc", ood=["top1 v2"]).line_frame()
    assert ends["most robust"].to_list() == ["c, d"]


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({"near": ["0.2", "text", "0.3", "0.6", "x"]}, {}, "column near, but got 'text' (row 2, and 1 more)"),
        ({"near": ["20%", "0.4", "0.3", "0.6", "0.5"]}, {}, "1 of its 5 cells end in %"),
        ({"near": ["0,2", "0.4", "0.3", "0.6", "0.5"]}, {}, "got '0,2'"),
        ({"near": [None] * 5}, {}, "all 5 cells are empty"),
        ({}, {"ood": ["near", "near"]}, "near is named 2 times"),
        ({}, {"id": "near"}, "near is named 2 times"),
        ({}, {"family": "near"}, "near is named as both"),
        ({"family": [0.1] * 5}, {"ood": ["family"]}, "Expected another name than family"),
        ({"near_duplicated_0": [1] * 5}, {}, "the table has several near"),
        ({}, {"baseline": "A"}, "Did you mean 'a'?"),
        ({}, {"lower": ["far"]}, "Expected the name of an OOD measure after --higher and --lower, but got far"),
        ({}, {"lower": ["near"], "higher": ["near"]}, "Expected a direction for near, but got both"),
        ({}, {"kind": "fpr"}, "Expected the kind accuracy or auroc"),
        ({"study": [1, 1, 1, 2, 2]}, {"study": "3"}, "Expected rows of the study '3', but the table has 1, 2"),
    ],
)  # fmt: skip
def test_cells_and_options_that_do_not_fit_are_named(changes, options, says):
    with pytest.raises(UserError) as error:
        measures(pl.DataFrame(FIVE | changes), **({"id": "acc", "ood": ["near"]} | options))
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("model,ood,acc,ood1\na,b,0.5,0.5\n", {"id": "model", "ood": ["ood1"]}, "model is named as both"),
        ("model,acc,near\n", {"id": "acc", "ood": ["near"]}, "Expected a table with rows"),
        ("model,metric,value\na,accuracy,0.5\n", {"ood": ["svhn"]}, "Expected --ood with --id"),
        ("model,metric,value,ood\na,auroc,much,b\n", {}, "Expected numbers in the column value, but got 'much'"),
        ("model,acc,acc\na,1,2\n", {"id": "acc", "ood": ["acc"]}, "acc is named 2 times"),
    ],
)
def test_small_files_are_told(text, options, says, tmp_path):
    (tmp_path / "t.CSV").write_text(text)
    with pytest.raises(UserError) as error:
        analyse(tmp_path / "t.CSV", **options)
    assert says in str(error.value)


def test_a_frame_with_two_columns_of_one_name_is_told():
    import pandas

    table = pandas.DataFrame([["a", 0.5, 0.5]], columns=["model", "acc", "acc"])
    with pytest.raises(UserError, match="several columns acc"):
        analyse(table, id="acc", ood=["acc"])


TWICE = {"acc": [0.5, 0.55, 0.6, 0.7, 0.75, 0.8, 0.9], "top1 v2": [0.4, 0.5, 0.5, 0.7, 0.6, 0.7, 0.8]}


def of_kinds(*kinds):
    """A wide table of six models, the first in two rows."""
    table = pl.DataFrame({"net": list("aabcdef"), "kind": kinds, **TWICE})
    return analyse(table, model="net", family="kind", id="acc", ood=["top1 v2"])


def test_a_strategy_of_several_families_is_told():
    odd = (pl.col("strategy") == "s1") & (pl.col("detector") == "knn")
    long = analyse(rows().with_columns(family=pl.when(odd).then(pl.lit("other")).otherwise("family")))
    for found, name in ((long, "s1 (b, other)"), (of_kinds("x", "y", "x", "y", "x", "y", None), "a (x, y)")):
        said = sentences(found, "OF021")
        assert said == [f"Several families are named for {name}: the first of each is kept."]
    assert "OF021" not in codes(analyse(rows()))


def test_the_family_of_a_strategy_is_one_that_is_named():
    found = of_kinds(None, "y", "x", "y", "x", "y", None)
    assert found.measures.families == ["y", "x", "y", "x", "y", "none"]
    assert "OF021" not in codes(found)
    assert "over 6 models" in " ".join(found.measures.notes)


def mixed(*shown):
    table = pl.DataFrame({"model": list("abcdef"), "acc": [50.0, 55, 60, 70, 75, 80], "top1 v2": shown})
    return sentences(analyse(table, id="acc", ood=["top1 v2"]), "OF014")[0]


def test_shares_among_the_percentages_of_one_column_are_told():
    assert "2 of 6 values of top1 v2 are at most 0.7 and all others at least 40" in mixed(40.25, 50, 52, 60, 0.65, 0.7)
    with pytest.raises(UserError, match="they seem to be shares"):
        mixed(40.0, 50, 52, 60, 0.65, 0.7)
    assert "values of top1 v2" not in mixed(0.4, 0.9, 1.2, 3.0, 9.0, 20.0)


def test_an_error_rate_is_no_accuracy_to_be_on_the_line_of():
    values = {"err": [0.5, 0.45, 0.4, 0.3, 0.25, 0.2], "v2": [0.4, 0.5, 0.5, 0.6, 0.6, 0.7]}
    with pytest.raises(UserError, match="of err lower is better"):
        analyse(pl.DataFrame({"model": list("abcdef"), **values}), id="err", ood=["v2"]).line_frame()


AUROC = pl.col("metric") == "auroc"


@pytest.mark.parametrize("percent", [AUROC, ~AUROC, AUROC | True])
def test_accuracies_and_aurocs_of_long_rows_have_each_a_scale(percent):
    whole = analyse(rows()).measures
    found = analyse(rows().with_columns(value=pl.when(percent).then(pl.col("value") * 100).otherwise("value"))).measures
    for name in ("accuracy", "mean AUROC"):
        assert found.column(name) == pytest.approx(whole.column(name))


@pytest.mark.parametrize(
    ("where", "to", "says"),
    [
        (AUROC & (pl.col("model") == "s0-0"), pl.col("value") * 100, "276 of 288 lie between 0 and 1, and the largest"),
        (AUROC & (pl.col("model") != "s0-0"), pl.col("value") * 100, "12 of 288 lie between 0 and 1"),
        (AUROC & (pl.col("model") == "s0-0"), pl.lit(1.2), "the largest is 1.2"),
        (~AUROC & (pl.col("model") == "s0-0"), pl.lit(80.0), "values of accuracy on one scale, but 23 of 24"),
    ],
)
def test_shares_and_percentages_of_one_metric_are_refused(where, to, says):
    with pytest.raises(UserError, match=says):
        analyse(rows().with_columns(value=pl.when(where).then(to).otherwise("value")))


def test_cells_of_several_values_are_told():
    again = rows().filter(AUROC).head(3).with_columns(value=pl.lit(0.1))
    said = sentences(analyse(pl.concat([rows(), again])), "OF015")
    assert said == [
        "Averaged the values of 3 cells that have duplicate rows of other values (first: s0-0, auroc, tin, knn)."
    ]
    assert "OF015" not in codes(analyse(rows()))


def test_an_id_accuracy_of_shares_beside_ood_percentages():
    table = pl.DataFrame(
        {"model": list("abcdef"), "acc": [0.5, 0.55, 0.6, 0.7, 0.75, 0.8], "v2": [40, 45, 44, 52, 60, 61]}
    )
    found = analyse(table, id="acc", ood=["v2"]).measures
    assert found.column("acc") == pytest.approx(table["acc"].to_numpy())
    assert found.column("v2") == pytest.approx(table["v2"].to_numpy() / 100)


def test_families_by_sets_are_tested_within_models_on_the_page(resnets):
    shown = {display.code: display for display in analysis_page.displays(resnets)["Variance"]}
    assert list(shown) == ["variance", "within"]
    both = shown["within"].table.filter(pl.col("term") == "family x measure").row(0, named=True)
    assert (both["df"], round(both["f"], 3)) == (30, 5.447)
    assert set(shown["variance"].table["scale"]) == {"raw", "logit", "probit", "arcsine"}


def test_partial_correlations_have_a_column_for_every_smoother(resnets):
    assert set(SMOOTHERS) < set(resnets.partial_frame().columns)
