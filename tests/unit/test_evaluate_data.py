"""Data as users hold them, in files and in memory: every form gives the accuracy that is right, or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from torch import nn

import outfield
from outfield.cli._card import id_paths, ood_of
from outfield.data.adapters import labels_of
from outfield.data.datasets import left_out_of
from outfield.data.sources.table import Table
from outfield.data.sources.text import Text
from outfield.data.user_data import dataset, ood_members
from outfield.errors import NotThere, UserError
from outfield.features.cache import Cache
from outfield.models.open import open_model
from outfield.models.transformers import _columns

RNG = np.random.default_rng(0)
NUMBERS = RNG.integers(0, 3, 120)
ROWS = RNG.normal(size=(120, 3))
ROWS[np.arange(120), NUMBERS] += 9
NAMES = np.array(["bird", "ant", "cat"])[NUMBERS]
FAR = RNG.normal(size=(40, 3)) - 20
COLUMNS = list("abc")

Accuracy = Callable[..., float]


@pytest.fixture
def accuracy(tmp_path: Path) -> Accuracy:
    def found(model: Any, test: Any, far: Any = FAR, **options: Any) -> float:
        card = outfield.evaluate(
            model, id_test=test, ood={"far": far}, detectors=["msp"], cache=Cache(tmp_path / "cache"), **options
        )
        return float(card.rows.filter((pl.col("metric") == "accuracy") & (pl.col("role") == "test"))["value"][0])

    return found


def table(path: Path, rows: Any, labels: Any = None, **more: Any) -> Path:
    frame = pl.DataFrame({**more, **{name: rows[:, place] for place, name in enumerate(COLUMNS)}})
    frame = frame if labels is None else frame.with_columns(pl.Series("label", list(labels)))
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


# tables


def test_missing_cells_of_a_table_reach_an_estimator_that_takes_them(tmp_path: Path, accuracy: Accuracy) -> None:
    rows = ROWS.copy()
    rows[7, 1] = np.nan
    model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5).fit(rows, NAMES)
    for name in ("t.csv", "t.parquet"):
        path = table(tmp_path / name, rows, NAMES)
        if name == "t.csv":
            path.write_text(path.read_text().replace("NaN", ""))
        assert accuracy(model, path) == 1.0
        assert np.argwhere(np.isnan(dataset(path).read(slice(None)))).tolist() == [[7, 1]]
        with pytest.raises(UserError, match="NaN.*imputer"):
            accuracy(LogisticRegression().fit(ROWS, NAMES), path)


def test_infinity_in_a_table_is_no_missing_cell(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[7, 1] = np.inf
    with pytest.raises(UserError, match="1 of 120 have not: rows 7 "):
        dataset(table(tmp_path / "t.csv", rows, NAMES))


def test_columns_of_texts_in_a_table_reach_a_column_transformer(tmp_path: Path, accuracy: Accuracy) -> None:
    pd = pytest.importorskip("pandas")
    towns = np.array(["Bern", "Oslo", "12"])[NUMBERS]
    rows = ROWS / 1e6
    frame = pd.DataFrame({"town": towns, **dict(zip(COLUMNS, rows.T, strict=True))})
    encoder = ColumnTransformer([("town", OneHotEncoder(), ["town"]), ("rest", "passthrough", COLUMNS)])
    model = make_pipeline(encoder, LogisticRegression()).fit(frame, NAMES)
    path = table(tmp_path / "t.csv", rows, NAMES, town=towns)
    assert accuracy(model, path, table(tmp_path / "o.csv", FAR, town=["Bern"] * 40)) == 1.0
    with pytest.raises(UserError, match="a number in the column 'town', but got"):
        accuracy(nn.Linear(4, 3), path)


@pytest.mark.parametrize(
    ("name", "index"), [("t.csv", ""), ("t.csv", "Unnamed: 0"), ("t.parquet", "__index_level_0__")]
)
def test_the_column_that_numbers_the_rows_is_no_feature_and_is_told(tmp_path: Path, name: str, index: str) -> None:
    path = table(tmp_path / name, ROWS, NAMES, **{index: RNG.permutation(120)})
    data = dataset(path)
    assert data.read(slice(None)).shape == (120, 3)
    assert left_out_of(data) == (f"{path}: the column {index!r}, which only numbers the rows",)
    assert Table(str(path), label="label").load().read(slice(None)).shape == (120, 3)
    kept = Table(str(path), label="label", columns=(index, *COLUMNS)).load()
    assert kept.read(slice(None)).shape == (120, 4)


def test_a_column_without_a_name_that_holds_values_stays(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", ROWS, NAMES, **{"": NUMBERS})
    assert dataset(path).read(slice(None)).shape == (120, 4)


@pytest.mark.parametrize("header", ["Label", " label", "LABEL "])
def test_the_column_of_the_labels_is_found_however_it_is_written(tmp_path: Path, header: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a,{header}\n1,x\n2,y\n")
    data = dataset(path)
    assert data.classes == ("x", "y") and data.read(slice(None)).tolist() == [[1.0], [2.0]]


# labels


def test_labels_of_bytes_are_names_and_empty_ones_are_missing() -> None:
    assert labels_of(np.array([b"b", b"a"]))[1] == ("a", "b")
    with pytest.raises(UserError, match="2 of 3 are missing"):
        labels_of(["a", "", "  "])


def test_names_in_one_part_and_numbers_in_another_are_refused(accuracy: Accuracy) -> None:
    model = LogisticRegression().fit(ROWS, NAMES)
    with pytest.raises(UserError, match="those of train and val have names, and those of test numbers"):
        accuracy(model, (ROWS, NUMBERS), id_train=(ROWS + 0.01, NAMES))


class Turned(torch.utils.data.Dataset[Any]):
    """Its classes stand in another order than the model's."""

    classes = ("cat", "ant", "bird")

    def __len__(self) -> int:
        return len(ROWS)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return torch.tensor(ROWS[row], dtype=torch.float32), self.classes.index(str(NAMES[row]))


@pytest.mark.parametrize(
    "part",
    [
        lambda whole: torch.utils.data.Subset(whole, range(len(whole))),
        lambda whole: torch.utils.data.random_split(whole, [1.0])[0],
        lambda whole: torch.utils.data.ConcatDataset([torch.utils.data.Subset(whole, range(60))] * 1),
    ],
)
def test_a_part_of_a_torch_data_set_keeps_the_names_of_its_classes(part: Any, accuracy: Accuracy) -> None:
    assert accuracy(LogisticRegression().fit(ROWS, NAMES), part(Turned())) == 1.0


def test_a_hugging_face_data_set_keeps_the_names_of_its_label(accuracy: Accuracy) -> None:
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    data = dataset(datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features))
    assert data.classes == ("neg", "pos") and data.read(slice(None)) == ["a", "b"]


def test_pictures_of_a_hugging_face_data_set_are_pictures() -> None:
    class Pictures(Turned):
        def __getitem__(self, row: int) -> Any:
            return {"img": Image.new("RGB", (4, 4), (row, 0, 0)), "label": 0}

    assert dataset(Pictures()).read(slice(0, 2))[1].shape == (4, 4, 3)


def test_numbers_in_a_file_are_outputs_though_the_file_lacks_a_class(tmp_path: Path, accuracy: Accuracy) -> None:
    linear = nn.Linear(3, 3, bias=False)
    linear.weight.data = torch.eye(3)
    for left in ((0, 2), (2,), (1, 2)):
        some = np.isin(NUMBERS, left)
        assert accuracy(linear, table(tmp_path / "t.csv", ROWS[some], NUMBERS[some])) == 1.0
    with pytest.raises(UserError, match="does not know 3"):
        accuracy(linear, table(tmp_path / "t.csv", ROWS, NUMBERS + 1))
    words = np.array(["a", "b", "c"])[NUMBERS]
    assert accuracy(linear, table(tmp_path / "t.csv", ROWS, words)) == 1.0


# texts


def test_records_give_a_text_model_their_texts_not_the_names_of_their_columns() -> None:
    assert _columns([{"id": 3, "text": "a"}]) == [["a"]]
    assert _columns([{"hypothesis": "b", "premise": "a"}]) == [["a"], ["b"]]
    assert _columns([{"question": "a", "answer": "b"}]) == [["a"], ["b"]]
    with pytest.raises(UserError, match="one text or of two, but got the columns id, question, answer"):
        _columns([{"id": 3, "question": "a", "answer": "b"}])
    with pytest.raises(UserError, match="the columns id, question"):
        _columns([{"id": 3, "question": "a"}])


def test_a_list_of_a_path_that_is_not_there_is_no_set_of_texts() -> None:
    with pytest.raises(UserError, match="Expected data at nowhere/x.csv"):
        ood_members({"far": ["nowhere/x.csv"]})
    assert len(ood_members({"far": ["a long text " * 900, "see x.csv"]})[0].data) == 2


# sets in lists


@pytest.mark.parametrize(
    "items",
    [
        [Image.new("RGB", (4, 4))] * 3,
        [np.zeros((4, 4, 3), np.uint8)] * 3,
        [torch.zeros(3, 4, 4)] * 3,
        [{"a": 1, "b": "x"}] * 3,
        [("a", "b")] * 3,
    ],
)
def test_a_list_of_items_is_one_ood_set(items: list[Any]) -> None:
    (only,) = ood_members({"far": items})
    assert only.name == "far" and len(only.data) == 3


def test_a_list_of_arrays_is_several_ood_sets() -> None:
    assert [len(one.data) for one in ood_members({"far": [np.zeros((2, 3)), torch.zeros(4, 3)]})] == [2, 4]


# paths


def test_two_ood_files_of_one_name_are_both_taken() -> None:
    paths = ood_of(["far=a/set.zip", "far=b/set.zip", "near=c/set.zip"])
    assert {str(path) for own in paths.values() for path in own.values()} == {"a/set.zip", "b/set.zip", "c/set.zip"}
    with pytest.raises(UserError, match="different names, but got 'a set' twice"):
        ood_of(["far=b/set.zip", "far=a/set.zip", "far=a/set.npz"])


def test_the_home_folder_is_understood_wherever_data_and_models_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    table(tmp_path / "t.csv", ROWS, NAMES)
    assert len(dataset("~/t.csv")) == 120 and id_paths(Path("~/t.csv"), None) == {"id_test": tmp_path / "t.csv"}
    assert ood_of(["far=~/t.csv"]) == {"far": {"t": tmp_path / "t.csv"}}
    for what in ("onnx:~/no.onnx", "~/no.onnx", "sklearn:~/no.skops"):
        with pytest.raises(UserError, match=f"{tmp_path}/no"):
            open_model(what)


@pytest.mark.parametrize(
    "read",
    [
        lambda path: Table(path).files(),
        lambda path: Text(path).files(),
        lambda path: Table(path).load(),
        lambda path: Text(path).load(),
        dataset,
        open_model,
    ],
)
def test_a_home_folder_of_nobody_is_an_error_that_names_it(read: Callable[[str], Any]) -> None:
    with pytest.raises(NotThere, match="'~nouser/x.csv'.*Write it out"):
        read("~nouser/x.csv")


def test_a_shard_of_webdataset_is_data(tmp_path: Path) -> None:
    import tarfile

    Image.new("L", (4, 4)).save(tmp_path / "one.png")
    (tmp_path / "one.cls").write_text("3")
    with tarfile.open(tmp_path / "set.tar", "w") as shard:
        for name in ("one.png", "one.cls"):
            shard.add(tmp_path / name, name)
    data = dataset(tmp_path / "set.tar")
    assert data.labels is not None and data.labels.tolist() == [3]
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"\.parquet, \.tar\), but that ending is unknown"):
        dataset(tmp_path / "x.xlsx")


# pictures


def pictures(folder: Path, *classes: str) -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        Image.new("L", (4, 4), number).save(folder / name / "x.png")
    return folder


@pytest.mark.parametrize("inner", ["mine", "mine/test"])
def test_one_folder_around_the_class_folders_is_no_class(tmp_path: Path, inner: str) -> None:
    import shutil

    whole = pictures(tmp_path / "whole", f"{inner}/cat", f"{inner}/dog")
    (whole / "mine" / "readme.txt").write_text("")
    archive = Path(shutil.make_archive(str(tmp_path / "whole"), "zip", whole))
    for path in (whole, archive):
        assert dataset(path).classes == ("cat", "dog") and len(dataset(path)) == 2


def test_class_folders_with_folders_of_their_own_are_classes(tmp_path: Path) -> None:
    assert dataset(pictures(tmp_path / "set", "cat/a", "cat/b", "dog/a")).classes == ("cat", "dog")
    assert dataset(pictures(tmp_path / "one", "cat")).classes == ("cat",)


def test_splits_are_no_classes(tmp_path: Path, accuracy: Accuracy) -> None:
    folder = pictures(tmp_path / "set", "train/cat", "train/dog", "test/cat", "test/dog")
    with pytest.raises(UserError, match="its folders test, train look like splits"):
        accuracy(nn.Flatten(), folder)
    assert len(ood_members({"far": folder})[0].data) == 4


def test_id_data_without_labels_say_where_labels_are_looked_for(tmp_path: Path, accuracy: Accuracy) -> None:
    path = table(tmp_path / "t.csv", ROWS)
    with pytest.raises(UserError, match="t.csv, but found none.*the column 'label' of a table"):
        accuracy(nn.Linear(3, 3), path)


# what a reader must know


def test_numbers_for_a_model_that_names_its_classes_are_told(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS, NAMES)
    order = np.array(["ant", "bird", "cat"]).searchsorted(NAMES)
    cache = Cache(tmp_path / "cache")
    card = outfield.evaluate(model, id_test=(ROWS, order), ood={"far": FAR}, detectors=["msp"], cache=cache)
    assert sum("places of the model's classes: 0 = ant, 1 = bird, 2 = cat" in note for note in card.notes) == 1
    card = outfield.evaluate(model, id_test=(ROWS, NAMES), ood={"far": FAR}, detectors=["msp"], cache=cache)
    assert not any("places of the model's classes" in note for note in card.notes)


@pytest.mark.parametrize(("last", "told"), [(nn.Softmax(1), 1), (nn.Identity(), 0), (nn.ReLU(), 0)])
def test_outputs_that_are_probabilities_are_told(tmp_path: Path, last: nn.Module, told: int) -> None:
    linear = nn.Linear(3, 3)
    card = outfield.evaluate(
        nn.Sequential(linear, last),
        id_test=(ROWS.astype(np.float32), NUMBERS),
        ood={"far": FAR.astype(np.float32)},
        detectors=["msp"],
        cache=Cache(tmp_path / "cache"),
    )
    assert sum("outputs are probabilities" in note for note in card.notes) == told
