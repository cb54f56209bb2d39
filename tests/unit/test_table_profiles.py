"""Published tables that are read by a profile: what ships, the published files, and profiles of one's own."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from scipy import stats
from typer.testing import CliRunner

from outfield.errors import Problems, UnknownName, UserError
from outfield.reports.analysis import analyse
from outfield.stats import spearman
from outfield.tables import published
from outfield.tables.cells import numbers
from outfield.tables.measures import measures
from outfield.tables.profile import PACKAGE, examples, load, names, parse

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("OUTFIELD_DATA") or ROOT.parent / "shared" / "data") / "results"
PLACES = {
    "timm": "timm", "pythia": "pythia", "olmo": "olmo_ladder", "openclip": "open_clip", "boards": "openood_leaderboard",
    "robustbench": "robustbench", "testbed": "imagenet_testbed_top1.csv", "berts": "berts_of_a_feather_100_runs.csv",
}  # fmt: skip
KNOWN = {
    ("timm", ""): (1555, 5, 238), ("pythia", ""): (432, 7, 8), ("olmo", "ladder"): (3948, 8, 8),
    ("openclip", "shifts of ImageNet"): (121, 5, 11), ("openclip", "all sets"): (121, 37, 11),
    ("testbed", "natural shifts"): (335, 7, 60), ("testbed", "corruptions"): (335, 19, 60),
    ("berts", "kinds"): (100, 6, 100), ("berts", "subcases"): (100, 30, 100),
    ("boards", "cifar10"): (61, 2, 27), ("boards", "cifar100"): (57, 2, 24), ("boards", "imagenet200"): (56, 2, 22),
    ("boards", "imagenet200 full-spectrum"): (60, 2, 22), ("boards", "imagenet1k"): (97, 2, 17),
    ("boards", "imagenet1k full-spectrum"): (83, 2, 17), ("robustbench", "cifar10 Linf"): (97, 1, 29),
    ("robustbench", "cifar10 L2"): (21, 1, 8), ("robustbench", "cifar10 corruptions"): (25, 1, 10),
    ("robustbench", "cifar100 Linf"): (37, 1, 12), ("robustbench", "cifar100 corruptions"): (9, 1, 5),
    ("robustbench", "imagenet Linf"): (30, 1, 21), ("robustbench", "imagenet corruptions"): (12, 2, 5),
}  # fmt: skip
"""Rows, OOD measures and groups of kin of each table as published."""
MINE = {
    "title": "A table of mine", "source": "my notes", "licence": "CC0", "files": "mine.csv",
    "model": "{net} v{version}", "id": {"val": "top1"}, "ood": {"sketch": "sk"}, "kind": "accuracy",
}  # fmt: skip


def place(name: str) -> Path:
    found = FOLDER / PLACES[name]
    if not found.exists():
        pytest.skip(f"needs {PLACES[name]} in {FOLDER} (set $OUTFIELD_DATA)")
    return found


def found(name: str, study: str = "", path: Path | None = None) -> published.Published:
    return published.read(load(name), path, study)


def kin_of(read: published.Published) -> int:
    """How many groups of kin there are; each row is one where they are independent."""
    return read.frame.height if read.reading.independent else read.frame["kin"].n_unique()


def values(read: published.Published, measure: str) -> np.ndarray:
    return numbers(read.frame, measure).values.to_numpy()


# --- what ships ---


@pytest.mark.parametrize("name", names())
def test_every_profile_says_whose_table_it_is(name: str) -> None:
    profile = load(name)
    assert profile.title and profile.source and profile.licence and profile.date
    assert profile.licence in profile.cited and profile.source in profile.cited


@pytest.mark.parametrize("name", names())
def test_notes_of_a_profile_are_not_taken_for_faults_of_a_table(name: str) -> None:
    read = found(name, path=load(name).shipped)
    assert not [note for note in read.notes if note.startswith("Left out") or "percent" in note or "duplicate" in note]


def test_the_tables_of_the_field_ship() -> None:
    wanted = {"timm", "pythia", "olmo", "openclip", "testbed", "boards", "berts", "krumpl2026", "resnet50-48"}
    assert wanted <= set(examples())


@pytest.mark.parametrize(("name", "study"), KNOWN)
def test_an_extract_is_read_as_the_published_table_is(name: str, study: str) -> None:
    rows, ood, kin = KNOWN[name, study]
    read = found(name, study)
    assert (len(read.ood), kin_of(read)) == (ood, kin)
    assert read.frame["model"].n_unique() == read.frame.height == (1573 if name == "olmo" else rows)
    assert all(read.frame[measure].null_count() < read.frame.height for measure in (read.id, *read.ood))


@pytest.mark.parametrize(("name", "study"), KNOWN)
def test_the_published_files_are_read(name: str, study: str) -> None:
    read = found(name, study, place(name))
    assert (read.frame.height, len(read.ood), kin_of(read)) == KNOWN[name, study]
    assert read.frame["model"].n_unique() == read.frame.height


@pytest.mark.parametrize(("name", "study"), KNOWN)
def test_an_extract_has_the_published_numbers(name: str, study: str) -> None:
    whole, part = found(name, study, place(name)).frame, found(name, study).frame
    measured = [name for name in part.columns if name in whole.columns]
    joined = part.join(whole.select(measured), on=measured, how="semi", nulls_equal=True)
    assert joined.height == part.height


def test_all_checkpoints_of_a_run_and_its_rerun_that_they_share_ship() -> None:
    frame = found("olmo").frame
    steps = {run: set(rows["step"]) for (run,), rows in frame.group_by("run")}
    assert len(steps) == 34 and max(len(steps[run]) for run in steps if "1xC" not in run) == 40
    for size, shared in {"190M": 37, "370M": 48, "760M": 58, "1B": 82, "3B": 101}.items():
        assert steps[f"{size}-1xC"] == steps[f"{size}-1xC-rerun"] and len(steps[f"{size}-1xC"]) == shared


def test_what_ships_is_small_and_says_whose_it_is() -> None:
    folder = PACKAGE / "tables" / "extracts"
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert 0 < sum(sizes) < 700_000
    notice = (folder / "NOTICE.md").read_text()
    for name in (path.name for path in folder.iterdir() if path.is_dir()):
        assert load(name).cited in notice and load(name).copyright in notice


# --- naive numbers, to check the reading ---


@pytest.mark.parametrize("raw", [False, True])
def test_timm_on_the_probit_scale(raw: bool) -> None:
    read = found("timm", path=place("timm") if raw else None)
    probit = {name: stats.norm.ppf(values(read, name) / 100) for name in (read.id, *read.ood)}
    known = {"ReaL": 0.988, "ImageNet-V2": 0.996, "Sketch": 0.903, "ImageNet-A": 0.896, "ImageNet-R": 0.843}
    for name, expected in known.items():
        assert np.corrcoef(probit[read.id], probit[name])[0, 1] == pytest.approx(expected, abs=0.002), name


@pytest.mark.parametrize(
    ("study", "expected"), [("cifar10", 0.95), ("cifar100", 0.29), ("imagenet200", 0.46), ("imagenet1k", 0.79)]
)
def test_near_and_far_ood_of_the_rows_of_a_board_that_have_an_accuracy(study: str, expected: float) -> None:
    rows = found("boards", study).frame.filter(pl.col("accuracy") != "/")
    means = [rows[name].str.extract(r"^([\d.]+)").cast(pl.Float64).to_numpy() for name in ("near", "far")]
    assert spearman(*means).estimate.value == pytest.approx(expected, abs=0.005)


def test_items_follow_from_the_published_errors() -> None:
    read = found("pythia")
    for name, items in read.reading.items.items():
        share, error = values(read, name), numbers(read.frame, read.errors[name]).values.to_numpy()
        known = error > 0
        n = share[known] * (1 - share[known]) / error[known] ** 2 + 1
        assert np.median(n) == pytest.approx(items, rel=0.001), name


def test_accuracies_of_the_ladder_are_counts_of_the_stated_items() -> None:
    read = found("olmo")
    for name, items in read.reading.items.items():
        right = values(read, name) * items
        assert np.abs(right - right.round()).max() < items * 1e-5, name


def test_runs_of_checkpoints_are_named() -> None:
    told = found("olmo").options
    assert (told["model"], told["step"], told["unit"]) == ("run", "step", "kin")
    pythia = found("pythia")
    assert set(pythia.errors) == {pythia.id, *pythia.ood}
    assert pythia.frame.group_by("run").len()["len"].to_list() == [27] * 16
    assert (found("timm").options["model"], found("timm").options["step"]) == ("model", None)


# --- what is left out, and why ---


def test_rows_that_are_no_models_are_left_out_and_named() -> None:
    read = found("berts")
    assert read.ignored["name"].to_list()[:4] == ["Minimum", "Maximum", "Mean", "Standard deviation"]
    assert read.ignored.height == 11 and not read.frame["model"].is_in(["Mean"]).any()
    assert any("summaries" in note and "Minimum" in note for note in read.notes)


def test_rows_that_some_of_the_joined_files_lack_are_named() -> None:
    read = found("timm")
    assert sorted(read.ignored["name"]) == ["resmlp_24_224.fb_dino 224", "resnet50.tv_in1k 224"]
    assert any("not in all 8 files" in note for note in read.notes)


def test_a_result_under_a_wrong_name_is_left_out() -> None:
    robust = found("robustbench", "cifar10 Linf")
    assert robust.frame.filter(pl.col("model") == "Hendrycks2019Using")["clean"].to_list() == ["87.11"]
    assert any("CIFAR-100" in note for note in robust.notes)


def test_the_source_and_licence_travel_with_the_analysis() -> None:
    notes = analyse(example="boards", study="cifar10").measures.notes
    assert any("zjysteven/OpenOOD" in note and "28d3a40b613c" in note and "MIT" in note for note in notes)


# --- known tables are known ---


@pytest.mark.parametrize("name", PLACES)
def test_a_published_table_is_recognised(name: str) -> None:
    profile = published.recognised(place(name))
    assert profile is not None and profile.name == name


@pytest.mark.parametrize("name", [name for name in examples() if name in PLACES])
def test_an_extract_is_recognised(name: str) -> None:
    profile = published.recognised(load(name).shipped)
    assert profile is not None and profile.name == name


def test_a_file_of_another_name_is_recognised_by_its_columns(tmp_path: Path) -> None:
    frame = published.cells(load("boards").shipped / "cifar10.csv.gz")
    frame.write_csv(tmp_path / "download.csv")
    profile = published.recognised(tmp_path / "download.csv")
    assert profile is not None and profile.name == "boards"
    assert published.read(profile, tmp_path / "download.csv").frame.height == 61


def test_a_known_table_says_so_and_can_be_read_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "cifar100.csv"
    published.cells(load("boards").shipped / "cifar100.csv.gz").filter(pl.col("ID_Accuracy") != "/").with_columns(
        pl.col("Near-OOD_AUROC", "Far-OOD_AUROC", "ID_Accuracy").str.extract(r"^([\d.]+)")
    ).write_csv(file)
    known = analyse(file)
    assert known.profile is not None and known.profile.name == "boards" and known.measures.ood == ("near", "far")
    assert any("Known as boards" in note for note in known.measures.notes)
    own = analyse(file, model="Postprocessor", id="ID_Accuracy", ood=["Far-OOD_AUROC"])
    assert own.profile is None and own.measures.ood == ("Far-OOD_AUROC",)
    assert not any("Known as" in note for note in own.measures.notes)


def test_another_table_is_not_taken_for_a_known_one(tmp_path: Path) -> None:
    (tmp_path / "results-imagenet.csv").write_text("model,img_size,top1\na,224,70\n")
    (tmp_path / "cifar10.csv").write_text("model,acc,near\na,90,80\n")
    assert published.recognised(tmp_path / "results-imagenet.csv") is None  # its seven sisters are not there
    assert published.recognised(tmp_path / "cifar10.csv") is None
    assert published.recognised(tmp_path) is None
    assert published.recognised(tmp_path / "nothing.csv") is None


def test_one_of_several_joined_files_stands_for_all() -> None:
    file = load("timm").shipped / "results-sketch.csv.gz"
    assert published.recognised(file) is load("timm")
    assert published.read(load("timm"), file).frame.height == 1555


def test_a_study_is_chosen_by_the_file_or_by_name() -> None:
    folder = load("boards").shipped
    assert found("boards", path=folder / "imagenet200_fsood.csv.gz").study == "imagenet200 full-spectrum"
    default = found("boards", path=folder)
    assert default.study == "imagenet1k" and any("choose with --study" in note for note in default.notes)
    with pytest.raises(UnknownName, match="no studie? 'cifar'|no study 'cifar'.*Did you mean 'cifar10'"):
        found("boards", "cifar")
    with pytest.raises(UserError, match="without studies"):
        found("timm", "val")


# --- a profile of one's own ---


@pytest.fixture
def mine(tmp_path: Path) -> Callable[..., Path]:
    def make(rows: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
        table = rows or [
            {"net": net, "version": v, "top1": 70 + i + v, "sk": 20 + 2 * i - v}
            for i, net in enumerate("abc")
            for v in (1, 2)
        ]
        with (tmp_path / "mine.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(MINE | changes))
        return tmp_path / "mine.yaml"

    return make


def test_a_profile_of_ones_own_reads_a_table(mine: Callable[..., Path]) -> None:
    path = mine(family={"of": "net", "patterns": "^."}, keep={"net": ["a", "/^[bc]$/"]})
    read = analyse(path.parent, profile=path)
    assert read.measures.names == ["a v1", "a v2", "b v1", "b v2", "c v1", "c v2"]
    assert read.measures.families == list("aabbcc")
    assert read.measures.column("sketch").round(2).tolist() == [0.19, 0.18, 0.21, 0.20, 0.23, 0.22]
    assert read.measures.column("val").round(2)[0] == 0.71


def test_five_mistakes_are_told_together() -> None:
    content = MINE | {
        "licence": 3, "kind": "acc", "familly": "net", "family": {"of": "net", "patterns": "("}, "items": {"v2": 100},
        "files": ["a.csv", "b.csv"],
    }  # fmt: skip
    with pytest.raises(Problems) as caught:
        parse(content, "mine.yaml")
    told = "\n".join(caught.value.problems)
    for part in ("licence", "kind: expected 'accuracy' or 'auroc'", "familly: there is no such field", "family",
                 "items: expected names of measures (val, sketch), but got v2", "keys: expected columns"):  # fmt: skip
        assert part in told
    assert len(caught.value.problems) == 6 and str(caught.value).startswith("mine.yaml: 6 problems")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"id": {"val": "top1", "v": "top5"}}, "id: expected one ID measure, but got 2"),
        ({"ood": {}}, "ood: expected OOD measures"),
        ({"ood": {"model": "sk"}}, "name of its own"),
        ({"study": "b", "studies": {"a": {}}}, "study: expected one of the studies"),
        ({"studies": {"a": {"items": {"v2": 1}}}}, "studies.a.items: expected names of measures"),
        ({"studies": {"a": {"od": {}}}}, "studies.a.od: there is no such field"),
        ({"title": None}, "title"),
        ({"kin": "net", "independent": True}, "independent: expected rows that are kin or independent, but got both"),
    ],
)
def test_a_mistake_is_named_with_its_field(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(Problems) as caught:
        parse(MINE | changes)
    assert any(told in problem for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("changes", "rows", "told"),
    [
        ({"id": {"val": "acc"}}, None, "Expected columns acc"),
        ({"model": "{net} {seed}"}, None, "Expected columns seed"),
        ({"keep": {"split": "test"}}, None, "Expected columns split"),
        ({"keep": {"net": "z"}}, None, "none is left"),
        ({"ood_pattern": "^shift_"}, None, "Mend ood_pattern"),
        ({"files": "other.csv"}, None, "Expected the file other.csv"),
        ({"files": ["mine.csv", "mine.csv"], "keys": "net"}, None, "Expected one row for each net"),
        ({"id": {"net": "top1"}}, None, "free name for a measure"),
        ({"scale": "share"}, None, "Expected shares between 0 and 1, as the profile says, but the largest value is 74"),
    ],
)
def test_a_profile_that_does_not_fit_its_table(
    mine: Callable[..., Path], changes: dict[str, Any], rows: Any, told: str
) -> None:
    path = mine(rows, **changes)
    with pytest.raises(UserError, match=told):
        published.read(load(path), path.parent)


def test_errors_stand_beside_their_measures_or_in_a_file_of_their_own(mine: Callable[..., Path]) -> None:
    rows = [{"net": n, "version": 1, "top1": 70 + i, "sk": 20 + i, "sk_se": 0.5} for i, n in enumerate("abcd")]
    path = mine(rows, errors={"column": "{}_se"})
    read = published.read(load(path), path.parent)
    assert read.errors == {"sketch": "sketch standard error"}
    assert read.frame["sketch standard error"].to_list() == ["0.5"] * 4
    path = mine(rows, errors={"file": "errors.csv"}, keys=["net"])
    (path.parent / "errors.csv").write_text("net,top1,sk\nd,.4,.1\nc,.3,.1\na,.1,.1\n")
    read = published.read(load(path), path.parent)
    assert read.frame["val standard error"].to_list() == [".1", None, ".3", ".4"]
    (path.parent / "errors.csv").unlink()
    read = published.read(load(path), path.parent)
    assert not read.errors and any("errors.csv is not beside" in note for note in read.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_profile_reads_files_as_the_world_writes_them(mine: Callable[..., Path], encoding: str) -> None:
    path = mine()
    lines = ["net;version;top1;sk", *(f"{net};1;7{i},5;2{i},25" for i, net in enumerate("abcd"))]
    (path.parent / "mine.csv").write_text("\n".join(lines), encoding=encoding)
    read = analyse(path.parent, profile=path).measures
    assert read.column("val").round(4).tolist() == [0.705, 0.715, 0.725, 0.735]
    assert read.column("sketch").round(4).tolist() == [0.2025, 0.2125, 0.2225, 0.2325]


def test_files_of_another_commit_are_possible_and_said() -> None:
    assert any("written for commit aa4b5850c154" in note for note in found("timm", path=load("timm").shipped).notes)
    assert not any("written for commit" in note for note in found("timm").notes)


def test_what_cannot_be_meant_is_refused(mine: Callable[..., Path]) -> None:
    path = mine()
    with pytest.raises(UserError, match="an example or a profile, but got both"):
        analyse(example="timm", profile="timm")
    with pytest.raises(UserError, match="path of a table beside a profile"):
        analyse(pl.DataFrame({"net": ["a"]}), profile=path)
    with pytest.raises(UnknownName, match="no profile 'tim'. Did you mean 'timm'"):
        load("tim")
    with pytest.raises(UserError, match="none ship with the profile mine"):
        published.read(load(path))
    with pytest.raises(UserError, match="fields with values"):
        parse(["title"])


@pytest.mark.parametrize(("name", "runs", "kin"), [("pythia", 16, 8), ("olmo", 33, 7)])
def test_checkpoints_are_followed_along_their_runs(name: str, runs: int, kin: int) -> None:
    found = analyse(example=name)
    assert found.along is not None and found.profile is load(name)
    assert (found.measures.units.height, len(set(found.measures.clusters))) == (runs, kin)
    assert found.measures.notes[0] == load(name).cited
    assert f"{kin} sizes by the profile {name}" in found.measures.clustering
    assert found.level == "size"


def test_replicates_are_independent_and_said_to_be() -> None:
    measured = analyse(example="berts").measures
    assert measured.clusters == ()
    assert measured.clustering == "Each of 100 rows is taken as independent, as the profile berts says."


def test_a_rerun_needs_a_step() -> None:
    with pytest.raises(UserError, match="--rerun with --step"):
        analyse(example="boards", rerun="-again")


# --- the command ---


def run(*arguments: str) -> Any:
    from outfield.cli import app

    return CliRunner().invoke(app(), [*arguments], env={"COLUMNS": "160"}, catch_exceptions=False)


def test_the_command_reads_an_example_and_a_profile(mine: Callable[..., Path]) -> None:
    shown = run("analyse", "--example", "boards", "--study", "cifar10")
    assert shown.exit_code == 0 and "near" in shown.stdout and "far" in shown.stdout
    path = mine()
    assert run("analyse", str(path.parent), "--profile", str(path)).exit_code == 0


def test_the_known_tables_are_listed() -> None:
    listed = run("list", "tables").stdout
    assert all(name in listed for name in names())
    page = " ".join(run("list", "tables", "boards").stdout.split())
    assert "MIT" in page and "imagenet1k full-spectrum" in page and "--example boards" in page


def test_examples_of_the_papers_are_read_as_before() -> None:
    read = found("krumpl2026")
    plain = pl.read_csv(load("krumpl2026").shipped / "krumpl2026_table2.csv")
    own = {"family": "category", "id": "acc", "ood": ["auroc"], "ece": "ece", "kind": "auroc"}
    before = measures(plain, baseline="Original Baseline", **own)
    assert measures(read.frame, **read.options).units.select(before.units.columns).equals(before.units)


@pytest.mark.parametrize("name", names())
def test_the_page_on_tables_has_every_profile(name: str) -> None:
    lines = (ROOT / "docs" / "tables.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith(f"| `{name}` "))
    profile = load(name)
    licence = {"krumpl2026": "facts"}.get(name, profile.licence.split(" (")[0])
    assert licence in row and profile.commit in row and (not profile.commit or profile.date in row)


def test_a_profile_says_what_kin_share_and_on_which_scale() -> None:
    found = analyse(example="boards", study="cifar10")
    assert found.level == "network" and "of 23 networks by the profile boards" in found.measures.clustering
    assert "hold for new networks" in found.measures.clustering
    assert not any("percent" in note for note in found.measures.notes)


def test_a_unit_of_ones_own_is_not_called_by_the_profiles_word() -> None:
    assert analyse(example="boards", unit="Arch").level == "architecture"


def test_kin_of_few_rows_are_related_without_the_largest_of_them() -> None:
    found = analyse(example="robustbench", study="cifar100 corruptions").relations["corruptions"]
    assert found.whole.n_units == 5 and found.without == {}
