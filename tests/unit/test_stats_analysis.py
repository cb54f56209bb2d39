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
from outfield.reports.findings import TITLES, Finding, findings, frame
from outfield.reports.published import side_by_side
from outfield.reports.tables import measures
from outfield.store import peers

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
    assert codes(study) == {"OF001", "OF002", "OF003", "OF004", "OF010", "OF012", "OF014"}
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
    table = pl.DataFrame({"model": list("abcde"), "id": [70.0, 71, 72, 73, 74], "a": [0.02, 0.5, 0.3, 0.9, 0.7]})
    found = measures(table, id="id", ood=["a"])
    assert found.column("a").max() == pytest.approx(0.009)
    assert "a is at most 1 among percentages: read as percent too." in found.notes


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "Name them: --id"),
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


# --- peers ---


def test_openoods_mean_table_is_read(tmp_path):
    file = tmp_path / "knn.csv"
    file.write_text(
        ",FPR@95,AUROC,AUPR_IN,AUPR_OUT,ACC\ncifar100,37.64 ± 0.31,89.73 ± 0.14,90.1 ± 0.1,88.0 ± 0.2,95.06 ± 0.30\n"
        "tin,30.37 ± 0.65,91.56 ± 0.26,92.0 ± 0.1,89.0 ± 0.2,95.06 ± 0.30\n"
        "nearood,34.0 ± 0.4,90.6 ± 0.2,91 ± 0.1,88 ± 0.2,95 ± 0.3\n"
    )
    table = peers.openood_csv(file, model="resnet18")
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
    table = peers.openood_scores(tmp_path, "cifar10", detector="msp")
    row = table.filter(pl.col("metric") == "auroc").to_dicts()[0]
    assert row["value"] == pytest.approx(roc_auc_score(np.repeat([0, 1], [50, 40]), -np.concatenate([known, ood])))
    assert row["low"] < row["value"] < row["high"] and (row["n_id"], row["n_ood"]) == (50, 40)
    assert table.filter(pl.col("metric") == "accuracy")["value"].to_list() == [0.5]
    with pytest.raises(UserError, match=r"found cifar10, svhn"):
        peers.openood_scores(tmp_path, "cifar100")


def test_pytorch_oods_frame_may_be_percent(tmp_path):
    import pandas

    frame = pandas.DataFrame({"Detector": ["MSP", "MSP"], "Dataset": ["Textures", "Mean"], "AUROC": [88.0, 88.0],
                              "AUPR-IN": [80.0, 80], "AUPR-OUT": [85.0, 85], "FPR95TPR": [50.0, 50]})  # fmt: skip
    table = peers.pytorch_ood(frame)
    assert table.filter(pl.col("metric") == "auroc").select("ood", "ood_category", "value").rows() == [
        ("Textures", "far", 0.88)
    ]
    frame.to_csv(tmp_path / "p.csv", index=False)
    found = peers.read(tmp_path / "p.csv")
    assert found is not None and found.equals(table)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: peers.openood_csv(folder / "no.csv"), "no .*no.csv"),
        (lambda folder: peers.openood_leaderboard(folder / "no.json"), "Pass the path of the JSON"),
        (lambda _: peers.pytorch_ood(pl.DataFrame({"AUROC": [0.5]})), "Dataset is missing"),
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
        ("a.json", b"{", "Expected JSON in UTF-8"),
        ("a.json", b'["Gr\xfc"]', "Expected JSON in UTF-8"),
        ("a.json", b"[5]", "Expected OpenOOD's leaderboard"),
        ("a.json", json.dumps([{"Postprocessor": "MSP"}]).encode(), "Expected OpenOOD's leaderboard"),
        ("a.json", json.dumps([ENTRY | {"Near-OOD_AUROC": "-"}]).encode(), "Near-OOD_AUROC of AugMix, ResNet18 in"),
        ("a.csv", "model,id,ood\nGrün,0.5,0.5\n".encode("latin-1"), "Mend the file; text must be in UTF-8"),
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
    table = peers.openood_leaderboard(LEADERBOARD)
    assert table.filter(pl.col("metric") == "auroc").height == 2 * 356
    assert table["value"].is_between(0, 1).all()
    assert not table["model"].str.contains("<").any()
    with pytest.raises(UserError, match="cifar100.* Choose one with --study"):
        analyse(LEADERBOARD)
    found = analyse(LEADERBOARD, study="cifar10")
    assert found.measures.units.height > 5 and found.relations["near"].whole.n_units == found.measures.units.height
