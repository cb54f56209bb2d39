"""Labels and names of classes: a class keeps its name, a missing label is none, two sets of names meet by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import outfield
from outfield.card.run import evaluate
from outfield.data import datasets, labels, views
from outfield.data.datasets import ArrayDataset
from outfield.data.sources.arrays import Arrays
from outfield.data.sources.imglist import Imglist
from outfield.data.sources.table import Table
from outfield.data.sources.text import Text
from outfield.data.user_data import aligned, dataset
from outfield.data.views import in_order
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.models.torch import TorchModel

NLI = ("contradiction", "entailment", "neutral")


class Knows(torch.nn.Module):
    """Says the column that is largest."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = torch.nn.Linear(classes, classes)
        with torch.no_grad():
            self.head.weight.copy_(10 * torch.eye(classes))
            self.head.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


def perfect(own: tuple[str, ...], model: tuple[str, ...], count: int = 60) -> tuple[Any, ArrayDataset]:
    """Data of classes ``own`` that a model of outputs ``model`` knows, by their meaning."""
    numbers = np.arange(count) % len(own)
    place = {name.lower(): i for i, name in enumerate(model)}
    rng = np.random.default_rng(0)
    rows = np.eye(len(model))[[place[own[number]] for number in numbers]] + rng.uniform(0, 0.3, (count, len(model)))
    return rows, ArrayDataset(rows, numbers, own)


def accuracy(card: Any) -> float:
    return float(card.rows.filter(metric="accuracy")["value"][0])


def carded(model: Any, data: Any, tmp_path: Path, **options: Any) -> Any:
    ood = np.random.default_rng(1).uniform(0.4, 0.6, (40, data.items.shape[1]))
    return evaluate(model, id_test=data, ood={"far": ood}, detectors=["msp"], cache=Cache(tmp_path), **options)


def model_of(names: tuple[str, ...] | None, n: int = 3) -> TorchModel:
    from outfield.models.preprocess import Table as Numbers

    return TorchModel(Knows(n).eval(), np.eye(n), preprocess=Numbers(n), classes=names, name="knows")


def test_a_perfect_model_is_right_whatever_the_case_of_its_names(tmp_path: Path) -> None:
    _, data = perfect(NLI, ("CONTRADICTION", "NEUTRAL", "ENTAILMENT"))
    card = carded(model_of(("CONTRADICTION", "NEUTRAL", "ENTAILMENT")), data, tmp_path)
    assert accuracy(card) == 1.0
    assert set(card.known_classes["class"]) == {"CONTRADICTION", "NEUTRAL", "ENTAILMENT"}


def test_names_that_stay_disjoint_are_refused_or_mapped(tmp_path: Path) -> None:
    _, data = perfect(NLI, ("neutral", "entailment", "contradiction"))
    model = model_of(("maybe", "yes", "no"))
    with pytest.raises(
        UserError, match=r"does not know contradiction, entailment, neutral \(\d+ of \d+ rows\).*--classes"
    ):
        carded(model, data, tmp_path)
    card = carded(model, data, tmp_path, classes={"entailment": "yes", "Neutral": 0, "contradiction": "NO"})
    assert accuracy(card) == 1.0
    with pytest.raises(UserError, match="do not have entails: they have contradiction"):
        carded(model, data, tmp_path, classes={"entails": "yes"})
    with pytest.raises(UserError, match="got 'si', and the model has maybe, yes, no"):
        carded(model, data, tmp_path, classes={"entailment": "si", "neutral": "no", "contradiction": "no"})


def test_a_model_without_names_is_said_to_be_taken_by_number(tmp_path: Path) -> None:
    _, data = perfect(NLI, ("contradiction", "neutral", "entailment"))
    mapped = {"contradiction": 0, "neutral": 1, "entailment": "2"}
    for names in (None, ("LABEL_0", "LABEL_1", "LABEL_2"), ("0", "1", "2")):
        card = carded(model_of(names), data, tmp_path)
        note = next(note for note in card.notes if "does not name its classes" in note)
        assert "0 = contradiction, 1 = entailment, 2 = neutral" in note
        assert accuracy(card) == pytest.approx(1 / 3, abs=0.1)
        assert accuracy(carded(model_of(names), data, tmp_path, classes=list(mapped))) == 1
        assert accuracy(carded(model_of(names), data, tmp_path, classes=mapped)) == 1


def test_classes_on_the_command_line(tmp_path: Path) -> None:
    from outfield.cli._card import classes_of

    (tmp_path / "names.txt").write_text("tench, Tinca tinca\ngoldfish\n")
    assert classes_of(str(tmp_path / "names.txt")) == ["tench, Tinca tinca", "goldfish"]
    assert classes_of("a = B, c=1") == {"a": "B", "c": "1"} and classes_of(None) is None
    with pytest.raises(UserError, match="got 'c'"):
        classes_of("a=B,c")


def order(own: tuple[str, ...], model: tuple[str, ...] | None, numbers: list[int], **options: Any) -> list[int]:
    data = ArrayDataset(np.eye(len(numbers)), numbers, own)
    return aligned({"test": data}, model, **options).parts["test"].labels.tolist()


def test_labels_follow_the_models_order_of_classes() -> None:
    assert order(("ant", "cat", "dog"), ("owl", "ant", "dog", "cat"), [1, 2, 1]) == [3, 2, 3]
    assert order(("not_entailment", "entailment"), ("Entailment ", "Not-Entailment"), [0, 1]) == [1, 0]
    assert order(("caf\u00e9", "the"), ("the", "cafe\u0301"), [0, 1]) == [1, 0]
    assert order(("1", "10", "2"), tuple(map(str, range(11))), [0, 1, 2]) == [1, 10, 2]
    assert order(("1", "2"), ("1.0", "2.0", "3.0"), [1, 0]) == [1, 0]
    assert order(("a", "b", "unused"), ("B", "A"), [0, 1]) == [1, 0]
    with pytest.raises(UserError, match=r"does not know dog \(1 of 3 rows\)"):
        order(("ant", "cat", "dog"), ("cat", "ant"), [0, 1, 2])


def test_names_that_cannot_be_told_apart_are_an_error_only_where_they_matter() -> None:
    crane = ("crane", "dog", "crane")
    assert order(("dog",), crane, [0]) == [1]
    with pytest.raises(UserError, match="'crane', but crane, crane are alike"):
        order(("crane",), crane, [0])
    assert order(("crane", "dog"), crane, [0, 1], classes={"crane": 2}) == [2, 1]
    assert order(("cat",), ("Cat", "cat"), [0]) == [1]
    with pytest.raises(UserError, match="'CAT', but Cat, cat are alike"):
        order(("CAT",), ("Cat", "cat"), [0])
    with pytest.raises(UserError, match="'cat' of the model, but CAT, Cat are alike"):
        order(("CAT", "Cat"), ("cat", "dog"), [0, 1])
    assert order(("CAT", "Cat"), ("cat", "dog"), [0, 1], classes={"Cat": "dog"}) == [0, 1]


def test_splits_that_name_their_classes_in_other_orders_agree() -> None:
    train = ArrayDataset(np.eye(3), [0, 1, 2], ("ant", "bee", "cat"))
    test = ArrayDataset(np.eye(2), [0, 1], ("Ant", "cat"))
    found = aligned({"train": train, "test": test}, None)
    assert found.parts["test"].labels.tolist() == [0, 2] and found.classes == ("ant", "bee", "cat")
    with pytest.raises(UserError, match="the ID data knows, but it does not know dog"):
        aligned({"train": train, "test": ArrayDataset(np.eye(2), [0, 1], ("ant", "dog"))}, None)


def test_class_folders_that_are_numbers_are_not_taken_in_the_order_of_words(tmp_path: Path) -> None:
    own = tuple(sorted(map(str, range(11))))
    with pytest.raises(UserError, match="by number they are 0, 1, 2, .*, and as words, .* 0, 1, 10"):
        order(own, None, list(range(11)))
    assert order(own, tuple(map(str, range(11))), list(range(11)))[2] == 10
    assert order(own, None, list(range(11)), classes=list(own))[2] == 2


def test_labels_of_an_estimator_are_its_own_values() -> None:
    one_two_three = ("1", "2", "3")
    unnamed = ArrayDataset(np.eye(2), [1, 2])
    assert aligned({"test": unnamed}, one_two_three).parts["test"].labels.tolist() == [0, 1]
    assert aligned({"test": unnamed}, ("-1", "1", "2")).parts["test"].labels.tolist() == [1, 2]
    assert aligned({"test": unnamed}, ("a", "b", "c")).parts["test"].labels.tolist() == [1, 2]
    with pytest.raises(UserError, match=r"fitted on \(1, 2, 3\), but got 0 beside them"):
        aligned({"test": ArrayDataset(np.eye(2), [0, 2])}, one_two_three)
    assert aligned({"test": ArrayDataset(np.eye(2), [0, 1])}, ("3", "5", "8")).parts["test"].labels.tolist() == [0, 1]


def test_an_estimator_fitted_on_other_numbers_is_right(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    y = np.array([3, 5, 8])[np.arange(90) % 3]
    x = rng.normal(0, 0.1, (90, 3)) + np.eye(3)[np.arange(90) % 3]
    for values in (y, y.astype(float)):
        fitted = LogisticRegression().fit(x, values)
        card = evaluate(fitted, id_test=(x, y), ood={"far": x + 9}, detectors=["msp"], cache=Cache(tmp_path))
        assert accuracy(card) == 1.0


def text_of(tmp_path: Path, cells: list[str], **options: Any) -> Any:
    (tmp_path / "t.csv").write_text("text,y\n" + "\n".join(f"w{i},{cell}" for i, cell in enumerate(cells)) + "\n")
    return Text(str(tmp_path / "t.csv"), label="y", **options).load()


def table_of(tmp_path: Path, cells: list[str], **options: Any) -> Any:
    (tmp_path / "n.csv").write_text("x,y\n" + "\n".join(f"{i}.5,{cell}" for i, cell in enumerate(cells)) + "\n")
    return Table(str(tmp_path / "n.csv"), label="y", **options).load()


@pytest.mark.parametrize("read", [text_of, table_of])
def test_what_is_a_label_and_what_is_none(read: Any, tmp_path: Path) -> None:
    def found(*cells: str) -> tuple[Any, Any]:
        data = read(tmp_path, list(cells))
        return data.classes, None if data.labels is None else data.labels.tolist()

    assert found("10.0", "2.0", "1.0", "2.0") == (("1", "2", "10"), [2, 1, 0, 1])
    assert found("1.5", "10", "-3") == (("-3", "1.5", "10"), [1, 2, 0])
    assert found("NA", "DE", "null") == (("DE", "NA", "null"), [1, 0, 2])
    assert found("²", "--5", "2") == (("2", "--5", "²"), [2, 1, 0])
    assert found("-1", "+1", "-1") == (("-1", "1"), [0, 1, 0])
    assert found("-2", "-1", "1") == (("-2", "-1", "1"), [0, 1, 2])
    assert found(" cat", "cat ", "dog") == (("cat", "dog"), [0, 0, 1])
    assert found("-1", "-1") == (None, None) and found("", "") == (None, None) and found("NA", "NA") == (None, None)
    for cells in (("cat", "", "dog", " "), ("0", "-1", "1", "-1"), ("1.0", "NA", "0.0", ""), ("-1", "", "cat", "dog")):
        with pytest.raises(UserError, match="to have a label, but 2 of 4 have not: rows"):
            found(*cells)
        kept = read(tmp_path, list(cells), broken="leave out")
        assert len(kept) == 2 and "2 rows without a label" in datasets.left_out_of(kept)[0]
        assert sorted(kept.labels.tolist()) == [0, 1]


@pytest.mark.parametrize("read", [text_of, table_of])
def test_values_of_any_type_choose_labels(read: Any, tmp_path: Path) -> None:
    data = read(tmp_path, ["0", "1", "2", "", "-1"], values=(1, 0))
    assert data.labels.tolist() == [1, 0] and data.classes == ("1", "0")
    assert "3 rows with other labels than 1, 0" in datasets.left_out_of(data)[0]
    assert read(tmp_path, ["0", "-1"], values=("-1", "0")).labels.tolist() == [1, 0]
    assert read(tmp_path, ["1.0", "2.0"], values=("2.0", "1")).labels.tolist() == [1, 0]
    assert read(tmp_path, ["True", "false"], values=("true", "False")).labels.tolist() == [0, 1]
    with pytest.raises(UserError, match="rows labelled 7, 8 in .* it has 1, 2"):
        read(tmp_path, ["1", "2"], values=(7, 8))


def test_labels_of_json_and_parquet(tmp_path: Path) -> None:
    rows = [{"text": "a", "y": 1}, {"text": "b", "y": None}, {"text": "c", "y": 0.0}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match="1 of 3 have not: rows 1 "):
        Text(str(tmp_path / "t.jsonl"), label="y").load()
    assert Text(str(tmp_path / "t.jsonl"), label="y", broken="leave out").load().classes == ("0", "1")
    (tmp_path / "l.jsonl").write_text(json.dumps({"text": "a", "y": [1]}))
    with pytest.raises(UserError, match="numbers or words, but got list"):
        Text(str(tmp_path / "l.jsonl"), label="y").load()
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": [10.0, 2.0, float("nan")]})
    frame.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match="1 of 3 have not: rows 2 "):
        Table(str(tmp_path / "t.parquet"), label="y").load()
    frame[:2].write_parquet(tmp_path / "t.parquet")
    assert Table(str(tmp_path / "t.parquet"), label="y").load().classes == ("2", "10")


def test_labels_of_lists_and_arrays(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    for label in ("²", "--5", "9" * 5000, "", "1.5"):
        (tmp_path / "l.txt").write_text(f"a.png {label}\n", encoding="utf-8")
        with pytest.raises(UserError, match="`relative/path label` on line 1"):
            Imglist(str(tmp_path / "l.txt"), str(tmp_path)).load()
    items = np.zeros((3, 4, 4), np.uint8)
    for given, classes, numbers in (
        (np.array([-1, -1, -1]), None, None),
        (np.array(["dog", "cat", "dog"]), ("cat", "dog"), [1, 0, 1]),
        (np.array([2.0, 0.0, 1.0]), None, [2, 0, 1]),
        (np.array([True, False, True]), None, [1, 0, 1]),
    ):
        np.savez(tmp_path / "a.npz", images=items, labels=given)
        data = Arrays(str(tmp_path / "a.npz"), labels="labels").load()
        assert data.classes == classes and (data.labels is None if numbers is None else data.labels.tolist() == numbers)


@pytest.mark.parametrize(
    ("given", "classes", "numbers"),
    [
        (["10", "2", "1"], ("1", "2", "10"), [2, 1, 0]),
        (np.array([b"dog", b"cat"]), ("cat", "dog"), [1, 0]),
        (pl.Series([" cat", "cat", "NA"]), ("NA", "cat"), [1, 1, 0]),
        (["2.0", 10, "2"], ("2", "10"), [0, 1, 0]),
    ],
)
def test_labels_in_memory_are_called_as_those_of_files(
    given: Any, classes: tuple[str, ...], numbers: list[int]
) -> None:
    data = dataset((np.zeros((len(given), 2)), given))
    assert data.classes == classes and data.labels is not None and data.labels.tolist() == numbers


@pytest.mark.parametrize("given", [["cat", "", "dog"], ["1", "NA", "2"], ["-1", "0", "2"]])
def test_missing_labels_in_memory_are_counted(given: list[str]) -> None:
    with pytest.raises(UserError, match="1 of 3 are missing"):
        dataset((np.zeros((3, 2)), given))


def test_pooled_sets_keep_the_names_of_their_classes() -> None:
    one = ArrayDataset(np.eye(2), [0, 1], ("cat", "dog"))
    other = ArrayDataset(np.eye(3), [0, 1, -1], ("dog", "ant"))
    both = views.concatenated({"one": one, "other": other})
    assert both.classes == ("cat", "dog", "ant") and both.labels.tolist() == [0, 1, 1, 2, -1]
    assert views.concatenated({"a": one, "b": views.relabelled(other, [0, 1, 1])}).classes is None
    with pytest.raises(UserError, match="1 of 3 rows have others, the first 7"):
        in_order(ArrayDataset(np.eye(3), [0, 7, 1], ("cat", "dog")), ("dog", "cat"))


@pytest.mark.parametrize("ending", [".CSV", ".Tsv", ".JSONL", ".Parquet", ".csv.gz", ".NPZ", ".Json"])
def test_endings_of_any_case(ending: str, tmp_path: Path) -> None:
    import gzip

    path, frame = tmp_path / f"t{ending}", pl.DataFrame({"x": [1.0, 2.0], "label": ["b", "a"]})
    match ending.lower():
        case ".csv":
            frame.write_csv(path)
        case ".tsv":
            frame.write_csv(path, separator="\t")
        case ".csv.gz":
            path.write_bytes(gzip.compress(frame.write_csv().encode()))
        case ".jsonl":
            frame.write_ndjson(path)
        case ".json":
            frame.write_json(path)
        case ".parquet":
            frame.write_parquet(path)
        case _:
            with path.open("wb") as file:
                np.savez(file, x=np.array([[1.0], [2.0]]), labels=["b", "a"])
    data = dataset(path)
    assert data.read(slice(None)).tolist() == [[1.0], [2.0]]
    assert data.labels.tolist() == [1, 0] and data.classes == ("a", "b")


def test_public_evaluate_takes_classes() -> None:
    import inspect

    assert "classes" in inspect.signature(outfield.evaluate).parameters
    assert labels.mapping(None) == (None, {})
    with pytest.raises(UserError, match="classes as a list of names"):
        labels.mapping("cat")


def test_the_id_sets_of_a_study_agree_on_the_classes(tmp_path: Path) -> None:
    from outfield.studies.sets import survey
    from outfield.studies.spec import Spec

    def split(name: str, cells: str, start: int) -> dict[str, str]:
        rows = "\n".join(f"{start + i},{cell}" for i, cell in enumerate(cells.split()))
        (tmp_path / f"{name}.csv").write_text(f"x,y\n{rows}\n")
        return {"name": "table", "path": str(tmp_path / f"{name}.csv"), "label": "y"}

    sets = {"train": split("a", "ant bee cat", 0), "val": split("b", "Cat ANT", 10), "test": split("c", "bee cat", 20)}
    ood = [{"name": "far", "category": "far", "source": split("d", "dog", 30)}]
    content = {
        "name": "s", "id": {"name": "i", **sets}, "ood": ood, "network": "small_cnn", "detectors": ["msp"],
        "models": [{"strategy": "baseline"}],
    }  # fmt: skip
    found = survey(Spec.parse(content))
    numbers = {one.role: one.data.labels.tolist() for one in found.members}
    assert found.problems == [] and numbers == {"train": [0, 1, 2], "val": [2, 0], "test": [1, 2], "ood": [0]}
    split("c", "bee Katze", 20)
    assert "test set 'test': " in (problems := survey(Spec.parse(content)).problems)[0]
    assert len(problems) == 1 and "does not know Katze (1 of 2 rows)" in problems[0]


def test_names_in_the_metadata_of_an_onnx_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    from outfield.models.onnx import OnnxModel

    def saved(key: str, value: str) -> Path:
        weights = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
            [weights],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        helper.set_model_props(proto, {key: value})
        onnx.save(proto, tmp_path / "m.onnx")
        return tmp_path / "m.onnx"

    for key, value in (
        ("names", "{0: 'ant', 1: 'bee', 2: 'cat'}"),
        ("classes", '["ant", "bee", "cat"]'),
        ("id2label", '{"0": "ant", "2": "cat", "1": "bee"}'),
    ):
        assert OnnxModel(saved(key, value)).classes == ("ant", "bee", "cat")
    for value in ("['ant', 'bee']", "{1: 'ant', 2: 'bee', 3: 'cat'}", "ant", "[1, 2, 3]", "__import__('os')"):
        assert OnnxModel(saved("names", value)).classes is None
    with pytest.raises(UserError, match="names for 3 classes, but got 2"):
        OnnxModel(saved("names", ""), classes=["a", "b"])


def test_names_of_estimators_and_configurations() -> None:
    from types import SimpleNamespace

    from sklearn.naive_bayes import GaussianNB

    from outfield.models.sklearn import SklearnModel
    from outfield.models.transformers import _classes

    x = [[0.0], [0.2], [1.0], [1.2]]
    assert SklearnModel(GaussianNB().fit(x, [2.0, 2.0, 7.0, 7.0])).classes == ("2", "7")
    with pytest.raises(UserError, match="names for 2 classes, but got 3.*classes_: 0, 1"):
        SklearnModel(GaussianNB().fit(x, [0, 0, 1, 1]), classes=["a", "b", "c"])
    assert _classes(SimpleNamespace(id2label={0: "LABEL_0", 1: "LABEL_1"})) is None
    assert _classes(SimpleNamespace(id2label={1: "no", 0: "yes"})) == ("yes", "no")


def test_labels_of_nli_sets_in_any_case(tmp_path: Path) -> None:
    from outfield.data.nli_sets import read

    path = tmp_path / "own.JSONL"
    said = ["Entailment", "CONTRADICTION ", 0.0, 2, None, "-", "", "neutral"]
    path.write_text("\n".join(json.dumps({"sentence1": "a", "sentence2": "b", "gold_label": one}) for one in said))
    pairs = read("snli", path)
    assert pairs.labels.tolist() == [1, 0, 1, 0] and pairs.left_out == {"label -": 3, "label neutral": 1}
    path.write_text("\n".join(json.dumps({"sentence1": "a", "sentence2": "b", "gold_label": one}) for one in said))
    with pytest.raises(UserError, match=r"labels of hans, .* has - \(3 rows\), 2 \(1 rows\), CONTRADICTION \(1 rows\)"):
        read("hans", path)
    both = ("Non Entailment", "entailment")
    path.write_text("\n".join(json.dumps({"sentence1": "a", "sentence2": "b", "label": one}) for one in both))
    assert read("hans", path).labels.tolist() == [0, 1]


@pytest.mark.parametrize("first", ["entailment", "NOT_ENTAILMENT"])
def test_a_trained_head_of_two_classes_is_read_in_its_own_order(first: str) -> None:
    from outfield.models.pair_models import Encoder

    names = {0: first, 1: "not_entailment" if first == "entailment" else "Entailment"}

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.config = type("Config", (), {"id2label": names})()

        def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
            logits = torch.tensor([[5.0, 0.0]]).repeat(len(input_ids), 1)
            return type("Out", (), {"logits": logits})()

    about = {"is_fast": True, "pad_token_id": 0, "eos_token_id": 1, "model_max_length": 9}
    tokenizer = type("Tokenizer", (), {**about, "model_input_names": ["input_ids"]})()
    encoder = Encoder(Head(), tokenizer)
    answer = int(encoder(torch.tensor([[[2, 3], [1, 1], [0, 0]]])).argmax())
    assert answer == (1 if first == "entailment" else 0)


@pytest.mark.parametrize("ending", [".CSV", ".Tsv", ".PARQUET"])
def test_results_of_any_ending_are_read(ending: str, tmp_path: Path) -> None:
    from outfield.stats.frames import as_frame

    path, frame = tmp_path / f"t{ending}", pl.DataFrame({"model": ["a"], "value": [1.0]})
    if ending == ".PARQUET":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if ending == ".Tsv" else ",")
    assert as_frame(path).equals(frame)
