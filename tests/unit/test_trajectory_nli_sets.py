"""NLI sets are read as they are published, and their labels mean what their authors meant."""

from __future__ import annotations

import gzip
import json
import os
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from outfield.data.member import Member
from outfield.data.nli_sets import FORMATS, NliPairs, duplicates, neutral, read, sampled, shots
from outfield.errors import MissingExtra, Problems, UnknownName, UserError
from outfield.trajectory import EvalSet, Run, Tracker, track
from outfield.trajectory.hooks import lightning_callback, transformers_callback
from outfield.trajectory.nli import runs
from outfield.trajectory.nli.spec import Nli

DATA = Path(os.environ.get("OUTFIELD_DATA") or Path(__file__).parents[3] / "shared" / "data") / "nli"
ROWS = (("A cat sleeps.", "An animal rests."), ("A cat sleeps.", "It dreams."), ("A cat sleeps.", "It runs."))
JSON = ("sentence1", "sentence2", "gold_label")

CASES = {
    "snli": ("s.jsonl", JSON, ("entailment", "neutral", "contradiction"), [1, 0]),
    "mnli": ("m.txt", JSON, ("entailment", "neutral", "contradiction"), [1, 0]),
    "scitail": ("t.tsv", (), ("entails", "neutral", "neutral"), [1, 0, 0]),
    "rte": (
        "r.tsv",
        ("sentence1", "sentence2", "label"),
        ("entailment", "not_entailment", "not_entailment"),
        [1, 0, 0],
    ),
    "wnli": ("w.tsv", ("sentence1", "sentence2", "label"), ("1", "0", "0"), [1, 0, 0]),
    "hans": ("h.txt", JSON, ("entailment", "non-entailment", "non-entailment"), [1, 0, 0]),
    "paws": ("p.tsv", ("sentence1", "sentence2", "label"), ("1", "0", "0"), [1, 0, 0]),
    "anli": ("a.jsonl", ("context", "hypothesis", "label"), ("e", "n", "c"), [1, 0]),
    "sick": (
        "k.txt",
        ("sentence_A", "sentence_B", "entailment_judgment"),
        ("ENTAILMENT", "NEUTRAL", "CONTRADICTION"),
        [1, 0],
    ),
    "breaking_nli": ("b.jsonl", JSON, ("entailment", "neutral", "contradiction"), [1, 0]),
    "med": ("d.tsv", JSON, ("entailment", "neutral", "neutral"), [1, 0, 0]),
    "conjnli": ("c.tsv", ("Premise", "Hypothesis", "Label"), ("entailment", "neutral", "contradiction"), [1, 0]),
    "semi_automatic": ("w.jsonl", ("premise", "hypothesis", "label"), ("e", "n", "c"), [1, 0]),
}


def written(path: Path, columns: tuple[str, ...], labels: tuple[str, ...]) -> Path:
    rows = [(*texts, label) for texts, label in zip(ROWS, labels, strict=True)]
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows))
    else:
        path.write_text("\n".join("\t".join(row) for row in ((columns,) if columns else ()) + tuple(rows)))
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_maps_its_labels(name: str, tmp_path: Path) -> None:
    file, columns, labels, expected = CASES[name]
    found = read(name, written(tmp_path / file, columns, labels))
    assert found.labels.tolist() == expected
    assert sum(found.left_out.values()) == 3 - len(expected)


@pytest.mark.parametrize(("name", "labels"), [("snli", "012"), ("mnli", "012"), ("anli", "012")])
def test_numbers_count_from_entailment_in_three_way_sets(name: str, labels: str, tmp_path: Path) -> None:
    columns = CASES[name][1] if name == "anli" else ("premise", "hypothesis", "label")
    assert read(name, written(tmp_path / "n.jsonl", columns, tuple(labels))).labels.tolist() == [1, 0]


def test_quotation_marks_are_text_and_archives_are_read(tmp_path: Path) -> None:
    lines = 'sentence1\tsentence2\tlabel\n"Go," he said.\tHe "spoke.\t1\nA\tB\t0\n'
    with gzip.open(tmp_path / "p.tsv.gz", "wt") as file:
        file.write(lines)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("data/p.tsv", lines)
    for end in ("tsv.gz", "zip"):
        assert read("paws", tmp_path / f"p.{end}").premises[0] == '"Go," he said.'


def test_faults_of_a_file_are_said(tmp_path: Path) -> None:
    three = written(
        tmp_path / "three.tsv", ("sentence1", "sentence2", "label"), ("entailment", "neutral", "contradiction")
    )
    with pytest.raises(UserError, match=r"labels of rte, entailment.*has contradiction \(1 rows\), neutral"):
        read("rte", three)
    with pytest.raises(UserError, match="only \\[1\\] is left"):
        read("rte", written(tmp_path / "one.tsv", ("sentence1", "sentence2", "label"), ("0", "0", "0")))
    with pytest.raises(UserError, match="9,824 rows"):
        read("snli", written(tmp_path / "snli_test.tsv", ("premise", "hypothesis", "label"), ("0", "1", "2")))
    with pytest.raises(UserError, match="column sentence_A"):
        read("sick", three)
    with pytest.raises(UserError, match="cannot be read"):
        read("rte", tmp_path / "absent.tsv")
    with pytest.raises(UnknownName, match="snli"):
        read("snil", three)


@pytest.mark.parametrize(
    ("file", "lines", "said"),
    [
        ("rte.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\t0\n1\tA\tcut off in the mi", "label in row 2 of"),
        (
            "rte.jsonl",
            '{"premise": "A", "hypothesis": "B", "label": "0"}\n{"premise": "A"}',
            "hypothesis, label in row 2",
        ),
        ("rte.jsonl", '{"premise": "A", "hypothesis": 5, "label": "0"}', "a text as hypothesis in row 1 of .* got 5"),
        ("rte.jsonl", "[1, 2]", r"JSON object in every line of .*rte.jsonl, but got '\[1, 2\]'"),
    ],
)
def test_a_row_that_is_cut_off_or_of_another_kind_is_said(file: str, lines: str, said: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(lines)
    with pytest.raises(UserError, match=said):
        read("rte", tmp_path / file)


@pytest.mark.parametrize("where", ["hub:snli", "hub:snli:", "hub:a:b:c:test"])
def test_a_set_of_the_hub_needs_its_split(where: str) -> None:
    with pytest.raises(UserError, match=r"Expected hub:DATASET\[:CONFIG\]:SPLIT, but got hub:"):
        read("snli", where)


def test_a_set_that_the_hub_does_not_give_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: str, split: str) -> None:
        raise ConnectionError("Couldn't reach 'snil' on the Hub\nand more")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=unreachable))
    with pytest.raises(
        UserError, match="set hub:snil:test of the Hub, but got: Couldn't reach 'snil' on the Hub. Mend"
    ):
        read("snli", "hub:snil:test")


def test_an_empty_hypothesis_is_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "e.tsv").write_text("sentence1\tsentence2\tlabel\nA\t \t1\nA\tB\t1\nA\tC\t0\n")
    found = read("paws", tmp_path / "e.tsv")
    assert len(found) == 2 and found.left_out == {"empty text": 1} and found.empty == 1


def test_shots_are_balanced_and_seeded() -> None:
    pairs = NliPairs(tuple(map(str, range(40))), ("h",) * 40, np.array([1] * 30 + [0] * 10))
    one = shots(pairs, 16, seed=1)
    assert one.labels.sum() == 8 and one.premises == shots(pairs, 16, seed=1).premises
    assert one.premises != shots(pairs, 16, seed=2).premises
    with pytest.raises(UserError, match="at most 20"):
        shots(pairs, 22, seed=0)
    assert len(sampled(pairs, 7, 0)) == 7 and sampled(pairs, None, 0) is pairs
    assert duplicates(pairs, pairs.take([3, 4])) == 2


def test_faults_of_a_study_come_together() -> None:
    content = {
        "name": "x", "models": [{"label": "m", "path": "m"}], "train": [{"name": "snil", "path": "a"}],
        "id": {"name": "snli", "path": "b"}, "ood": [{"name": "rte", "path": "c"}], "patterns": ["{premise} so"],
    }  # fmt: skip
    with pytest.raises(Problems, match="no format 'snil'(.|\n)*lacks"):
        Nli.parse(content)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patterns": ["{premise} {hypothesis} {answer}?"]}, "cannot be filled in .no value for 'answer'"),
        ({"patterns": ["{premise} {hypothesis} {"]}, "cannot be filled in .Single '{'"),
        ({"patterns": ["{premise} {hypothesis} {}"]}, "cannot be filled in .Replacement index 0"),
        ({"patterns": ["{{premise}} {hypothesis}"]}, "lacks"),
        ({"seeds": [0, 1, 0]}, "seeds: 0 stands there more than once"),
        ({"models": [{"label": "m", "path": "a"}, {"label": "m", "path": "b"}]}, "models: the label m is used more"),
    ],
)
def test_patterns_that_cannot_be_filled_in_and_equal_labels_are_faults(changes: dict[str, object], said: str) -> None:
    content = {
        "name": "x", "models": [{"label": "m", "path": "m"}], "train": [{"name": "snli", "path": "a"}],
        "id": {"name": "snli", "path": "b"}, "ood": [{"name": "rte", "path": "c"}],
    }  # fmt: skip
    assert Nli.parse(content | {"patterns": ["{premise} {{so}} {hypothesis}"]}).patterns
    with pytest.raises(Problems, match=said):
        Nli.parse(content | changes)


def test_the_lightning_hook_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning.pytorch", "pytorch_lightning", "lightning"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingExtra, match="lightning"):
        lightning_callback(Tracker(Run("s", "m"), [EvalSet("t", 1, "id")], tmp_path), (0,), lambda model: {})


@pytest.mark.filterwarnings("ignore")  # of transformers, when it is imported
def test_the_transformers_hook_logs_at_its_steps(tmp_path: Path) -> None:
    from tests.contracts.frameworks import transformers

    library = transformers()
    tracker = Tracker(Run("s", "m"), [EvalSet("t", 2, "id")], tmp_path)
    callback = transformers_callback(tracker, (0, 2), lambda model: {"t": [True, model == "net"]})
    assert isinstance(callback, library.TrainerCallback)
    state = library.TrainerState()
    callback.on_train_begin(None, state, None, model="net")
    for step in (1, 2):
        state.global_step = step
        callback.on_step_end(None, state, None, model="net")
    assert [tracker.done(step) for step in (0, 1, 2)] == [True, False, True]


def test_neutral_pairs_are_read_alone_and_without_those_that_nobody_labelled(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    said = ("entailment", "neutral", "-", "Neutral", "contradiction")
    path.write_text("\n".join(json.dumps(dict(zip(JSON, ("a", one, one), strict=True))) for one in said))
    assert neutral("snli", path) == [("a", "neutral"), ("a", "Neutral")]
    path.write_text(json.dumps(dict(zip(JSON, ("a", "b", "entailment"), strict=True))))
    with pytest.raises(UserError, match="Expected neutral pairs in .*own.jsonl"):
        neutral("snli", path)


SIZES = {
    ("snli", "snli_test.tsv"): (3368, 3237), ("mnli", "mnli_matched_dev_bert100.tsv"): (3479, 3213),
    ("hans", "hans_regenerated.txt.gz"): (15_000, 15_000), ("sick", "sick_test_annotated.txt"): (1414, 720),
    ("breaking_nli", "breaking_nli.zip"): (982, 7164), ("med", "med.tsv"): (2705, 2677),
    ("conjnli", "conjnli_dev.tsv"): (204, 138),
}  # fmt: skip


@pytest.mark.skipif(not DATA.is_dir(), reason="the real NLI files are not there ($OUTFIELD_DATA)")
@pytest.mark.parametrize(("name", "file"), SIZES)
def test_real_files_have_their_published_counts(name: str, file: str) -> None:
    labels = read(name, DATA / file).labels
    assert (int((labels == 1).sum()), int((labels == 0).sum())) == SIZES[name, file]


@pytest.mark.skipif(not DATA.is_dir(), reason="the real NLI files are not there ($OUTFIELD_DATA)")
@pytest.mark.parametrize("file", ["anli_r1_dev.csv", "anli_r2_dev.csv", "anli_r3_dev.csv"])
def test_real_anli_is_whole(file: str) -> None:
    found = read("anli", DATA / file)
    assert len(found) + sum(found.left_out.values()) == FORMATS["anli"].sizes[file.removesuffix(".csv")]


def test_a_model_that_was_trained_anew_in_its_folder_has_rows_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[str]] = []
    pairs = NliPairs(("a",) * 4, ("b",) * 4, np.array([0, 1, 0, 1]))
    spec = Nli.parse({
        "name": "x", "models": [{"label": "m", "path": str(tmp_path)}, {"label": "hub", "path": "who/what"}],
        "train": [{"name": "snli", "path": "a"}], "id": {"name": "snli", "path": "b"},
        "ood": [{"name": "rte", "path": "c"}], "shots": [4], "seeds": [0],
    })  # fmt: skip
    tests = (Member("snli", "test", pairs), Member("rte", "shift", pairs))
    monkeypatch.setattr(runs.Data, "of", lambda _: runs.Data(pairs, tests, Member("val", "val", pairs), ()))
    monkeypatch.setattr(track, "follow", lambda runs, *_, **__: found.append([run.tracker.key(0) for run in runs]))
    for weights, readme in ((b"one", "a"), (b"one", "b"), (b"two", "b")):
        (tmp_path / "model.safetensors").write_bytes(weights)
        (tmp_path / "README.md").write_text(readme)
        track.track(spec)
    assert found[0] == found[1] and found[2][0] != found[0][0] and found[2][1] == found[0][1]
