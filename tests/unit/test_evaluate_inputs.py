"""What a new user holds in hands (frames, tensors, pictures, torch data sets) is what ``evaluate`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn
from torch.utils.data import TensorDataset

from outfield.card.card import Card
from outfield.card.run import evaluate
from outfield.data.adapters import gap
from outfield.data.user_data import dataset
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.models.open import open_model
from outfield.models.preprocess import Named, Table

N = 120
DRAW = np.random.default_rng(0)
LABELS = np.arange(N) % 2
ROWS = np.stack([DRAW.normal(size=N) + 4 * LABELS, DRAW.normal(size=N)], axis=1).astype(np.float32)
NAMES = np.array(["no", "yes"])[LABELS]
FAR = DRAW.normal(size=(40, 2)).astype(np.float32) + 20
FRAME = pd.DataFrame({"age": ROWS[:, 0], "pay": ROWS[:, 1], "town": np.where(ROWS[:, 1] > 0, "Bern", "Oslo")})
FAR_FRAME = pd.DataFrame({"age": FAR[:, 0], "pay": FAR[:, 1], "town": ["Rome"] * len(FAR)})


def made(model: Any, test: Any, far: Any, folder: Path, **options: Any) -> Card:
    given = {"detectors": ["msp", "mds"], "cache": Cache(folder)}
    return evaluate(model, id_test=test, ood={"far": far}, **(given | options))


def accuracy(card: Card) -> float:
    value = card.estimate("accuracy")["value"]
    assert value is not None
    return value


@pytest.fixture(scope="module")
def pipe() -> Any:
    columns = make_column_transformer(
        (StandardScaler(), ["age", "pay"]), (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["town"])
    )
    return make_pipeline(columns, LogisticRegression()).fit(FRAME, NAMES)


# frames


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_keep_their_columns(library: str, pipe: Any, tmp_path: Path) -> None:
    frame, far = (FRAME, FAR_FRAME) if library == "pandas" else (pl.from_pandas(FRAME), pl.from_pandas(FAR_FRAME))
    labels = pd.Series(NAMES) if library == "pandas" else pl.Series(NAMES)
    turned = frame[["town", "pay", "age"]]
    model = open_model(pipe)
    for given in (frame, turned):
        out = model.forward(model.prepare(dataset((given, labels)).read(slice(None))))
        np.testing.assert_allclose(out.logits[:, 1], pipe.decision_function(FRAME) / 2, atol=1e-6)
    card = made(pipe, (turned, labels), far, tmp_path)
    assert accuracy(card) > 0.9 and card.recommended == "mds" and card.inputs == "tabular"
    assert "town Bern" in str(card.hardest) or "town Oslo" in str(card.hardest)


def test_a_frame_alone_has_its_labels_in_a_column() -> None:
    labelled = FRAME.assign(label=NAMES)
    for data in (
        dataset(labelled),
        dataset((FRAME.assign(kind=NAMES), "kind")),
        dataset(pl.from_pandas(labelled).lazy()),
    ):
        assert data.labels is not None and np.array_equal(data.labels, LABELS) and data.classes == ("no", "yes")
        assert sorted(data.read(slice(0, 1))[0]) == ["age", "pay", "town"]
    assert dataset(FRAME).labels is None
    assert dataset(pl.DataFrame({"text": ["a", "b"], "label": [1, 0]})).read(slice(None)) == ["a", "b"]
    assert dataset(pd.Series(["a film", "a play"])).read(slice(None)) == ["a film", "a play"]


def test_columns_that_a_model_wants_and_a_frame_lacks(pipe: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pay is not among town, age"):
        made(pipe, (FRAME[["town", "age"]], NAMES), FAR_FRAME, tmp_path)
    with pytest.raises(UserError, match=r"no column|Expected a column 'kind'"):
        dataset((FRAME, "kind"))
    with pytest.raises(UserError, match="a number in the column 'town'"):
        made(LogisticRegression().fit(ROWS, LABELS), (FRAME, LABELS), FAR_FRAME, tmp_path)
    with pytest.raises(UserError, match="a name of its own"):
        dataset(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_numeric_frames_serve_models_of_arrays(tmp_path: Path) -> None:
    numbers = FRAME[["age", "pay"]]
    assert accuracy(made(LogisticRegression().fit(ROWS, LABELS), (numbers, LABELS), FAR, tmp_path)) > 0.9
    torch.manual_seed(0)
    net = nn.Linear(2, 2)
    model = open_model(net, example=dataset(numbers).read(slice(0, 2)))
    out = model.forward(model.prepare(dataset(numbers).read(slice(None))))
    torch.testing.assert_close(out.logits, net(torch.from_numpy(ROWS)))


def test_columns_of_a_file_are_told_by_their_names(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(FRAME[["age", "pay"]], LABELS)
    turned = FRAME[["pay", "age"]].assign(label=LABELS)
    turned.to_csv(tmp_path / "id.csv", index=False)
    FAR_FRAME[["pay", "age"]].to_csv(tmp_path / "far.csv", index=False)
    model, rows = open_model(estimator), dataset(tmp_path / "id.csv").read(slice(None))
    torch.testing.assert_close(
        model.forward(model.prepare(rows)).logits, model.forward(model.prepare(ROWS)).logits, atol=1e-4, rtol=1e-4
    )
    assert accuracy(made(estimator, tmp_path / "id.csv", tmp_path / "far.csv", tmp_path / "cache")) > 0.9
    FAR_FRAME[["pay"]].to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(UserError, match="age is not among pay"):
        made(estimator, tmp_path / "id.csv", tmp_path / "short.csv", tmp_path / "cache")


# missing numbers


def test_missing_numbers_where_the_estimator_takes_them(tmp_path: Path) -> None:
    holes = ROWS.copy()
    holes[::5, 1] = np.nan
    forest = HistGradientBoostingClassifier(max_iter=5).fit(holes, LABELS)
    card = made(forest, (holes, LABELS), FAR, tmp_path, detectors="all")
    assert accuracy(card) > 0.9 and "no features" in card.left_out["mds"] and "numbers are missing" in card.model
    filled = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(holes, LABELS)
    assert accuracy(made(filled, (holes, LABELS), FAR, tmp_path)) > 0.9
    frame = pl.DataFrame({"age": ROWS[:, 0], "pay": [None if np.isnan(v) else float(v) for v in holes[:, 1]]})
    model = open_model(filled)
    torch.testing.assert_close(
        model.forward(model.prepare(dataset(frame).read(slice(None)))).logits,
        model.forward(model.prepare(holes)).logits,
    )
    assert gap(dataset(holes)) == 0 and gap(dataset(frame)) == 0


@pytest.mark.parametrize("where", ["test", "ood"])
def test_missing_numbers_where_the_model_does_not_take_them(where: str, tmp_path: Path) -> None:
    holes, far = ROWS.copy(), FAR.copy()
    (holes if where == "test" else far)[3, 1] = np.nan
    with pytest.raises(UserError, match="contains NaN.*imputer"):
        made(LogisticRegression().fit(ROWS, LABELS), (holes, LABELS), far, tmp_path)
    with pytest.raises(UserError, match=r"1 of 1 rows of a batch lack one \(NaN\)"):
        made(nn.Linear(2, 2), (holes, LABELS), far, tmp_path)
    with pytest.raises(UserError, match="row 3 has NaN or infinity"):
        dataset(np.where(np.isnan(holes if where == "test" else far), np.inf, 0.0)[:, :2])


# tensors, pictures, torch data sets


def test_tensors_are_what_they_hold() -> None:
    pictures = torch.rand(4, 3, 8, 8)
    data = dataset((pictures, torch.tensor([0, 1, 0, 1])))
    np.testing.assert_array_equal(data.read(slice(None)), pictures.permute(0, 2, 3, 1).numpy())
    assert data.labels is not None and data.labels.tolist() == [0, 1, 0, 1]
    assert dataset(torch.zeros(4, 8, 8, 3, dtype=torch.uint8)).read(slice(None)).shape == (4, 8, 8, 3)  # type: ignore[union-attr]
    np.testing.assert_array_equal(dataset(torch.from_numpy(ROWS).requires_grad_()).read(slice(None)), ROWS)
    assert dataset(torch.ones(2, 3, dtype=torch.bfloat16)).read(slice(None)).tolist() == [[1.0] * 3] * 2  # type: ignore[union-attr]


class Pairs(torch.utils.data.Dataset[Any]):
    classes = ("cat", "dog")

    def __init__(self, entries: list[Any]) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, row: int) -> Any:
        return self.entries[row]


def test_torch_data_sets() -> None:
    tensors = dataset(TensorDataset(torch.from_numpy(ROWS), torch.from_numpy(LABELS)))
    np.testing.assert_array_equal(tensors.read(slice(None)), ROWS)
    assert tensors.labels is not None and np.array_equal(tensors.labels, LABELS)
    images = [Image.new("RGB", (6, 4), (shade, 0, 0)) for shade in (10, 20, 30)]
    pairs = dataset(Pairs([(image, row % 2) for row, image in enumerate(images)]))
    assert pairs.read(np.array([2, 0])).shape == (2, 4, 6, 3) and pairs.classes == ("cat", "dog")  # type: ignore[union-attr]
    assert pairs.read(np.array([2]))[0][0, 0].tolist() == [30, 0, 0]
    assert pairs.labels is not None and pairs.labels.tolist() == [0, 1, 0]
    assert dataset(Pairs([torch.zeros(3, 4, 5)])).read(slice(None)).shape == (1, 4, 5, 3)  # type: ignore[union-attr]
    records = dataset(Pairs([{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]))
    assert records.read(slice(None)) == ["a", "b"] and records.labels is not None and records.labels.tolist() == [0, 1]
    assert len(dataset(torch.utils.data.Subset(Pairs([(ROWS[0], 1)] * 3), [0, 2]))) == 2


def test_torch_data_sets_that_cannot_be_read_alike() -> None:
    class Random(Pairs):
        def __getitem__(self, row: int) -> Any:
            return torch.rand(3), 0

    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter([])

    for wrong, message in (
        (Random([1, 2]), "random augmentation"),
        (Stream(), "the iterable Stream"),
        (Pairs([]), "at least one row"),
        (Pairs([(1, 2, 3)]), "gives 3 values"),
        (torch.utils.data.DataLoader(Pairs([(ROWS[0], 1)])), "loader.dataset"),
    ):
        with pytest.raises(UserError, match=message):
            dataset(wrong)


def test_lists_of_pictures_and_rows() -> None:
    grey, colour = Image.new("L", (5, 4), 7), Image.new("P", (5, 4))
    assert dataset([grey, grey]).read(slice(None)).shape == (2, 4, 5, 1)  # type: ignore[union-attr]
    assert dataset([grey, colour]).read(slice(None))[1].shape == (4, 5, 3)
    assert dataset(([np.zeros((4, 4, 3), np.uint8)] * 2, [0, 1])).read(slice(None)).shape == (2, 4, 4, 3)  # type: ignore[union-attr]
    np.testing.assert_array_equal(dataset(ROWS.tolist()).read(slice(None)), ROWS)
    assert dataset([("a", "b"), ("c", "d")]).read(slice(None)) == [("a", "b"), ("c", "d")]
    assert dataset(np.array(["a", "b"])).read(slice(None)) == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (([ROWS, LABELS]), "as a tuple"),
        ([1, 2, 3], "single numbers"),
        (np.zeros((0, 2)), "at least one row"),
        ([], "at least one row"),
        (np.float64(3), "got float64"),
        ((ROWS, LABELS, LABELS), "a tuple of 3: ndarray, ndarray, ndarray"),
        ((ROWS, LABELS[:5]), "each of 120 items, but got 5 labels"),
        ((ROWS, np.eye(2)[LABELS]), "one-hot: pass labels.argmax"),
        ((ROWS, LABELS + 0.5), "the fraction 0.5"),
        ((ROWS, [None, *NAMES[1:]]), "1 of 120 are missing"),
        ((pd.DataFrame(ROWS), pd.Series([np.nan, *LABELS[1:]])), "1 of 120 are missing"),
        (np.zeros((2, 3, 8, 8), np.uint8), "np.moveaxis"),
        (torch.randn(2, 3, 8, 8), r"in \[0, 1\]"),
        (np.array([[1 + 2j]]), "numbers"),
        ([[1.0], [1.0, 2.0]], "rows of 1, 2 numbers"),
        ([object()], "item of numbers, a picture or a text"),
        ({"a": ROWS, "b": LABELS[:3]}, "a 120, b 3"),
    ],
)  # fmt: skip
def test_what_is_no_data_says_what_to_do(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataset(data)


@pytest.mark.parametrize("ood", [None, FAR, [FAR], "far", 3])
def test_ood_sets_come_under_their_categories(ood: Any) -> None:
    with pytest.raises(UserError, match="under their categories"):
        evaluate(nn.Linear(2, 2), id_test=(ROWS, LABELS), ood=ood)


# labels


def test_labels_are_values_that_the_classifier_was_fitted_on(tmp_path: Path) -> None:
    three = np.arange(N) % 3
    rows = ROWS + 9 * three[:, None].astype(np.float32)
    model = LogisticRegression().fit(rows, three + 1)
    some = three < 2  # only the labels 1 and 2, which would pass as numbers 1 and 2
    assert accuracy(made(model, (rows[some], three[some] + 1), FAR * 5, tmp_path)) > 0.9
    with pytest.raises(UserError, match="but got 0 beside them"):
        made(model, (rows, three), FAR * 5, tmp_path)
    assert accuracy(made(LogisticRegression().fit(ROWS, NAMES), (ROWS, NAMES), FAR, tmp_path)) > 0.9
    signs = LogisticRegression().fit(ROWS, 2 * LABELS - 1)
    assert accuracy(made(signs, (ROWS, 2.0 * LABELS - 1), FAR, tmp_path)) > 0.9


@pytest.mark.parametrize(
    ("labels", "message"),
    [(LABELS + 5, "labels from 0 to 1"), (LABELS - 1, "labels from 0 to 1"), (None, "labels of the ID data")],
)
def test_labels_that_the_model_does_not_have(labels: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        made(nn.Linear(2, 2), ROWS if labels is None else (ROWS, labels), FAR, tmp_path)


# torch modules


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(9, 4), nn.Linear(6, 2)

    def forward(self, ids: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([self.words(ids).mean(1), numbers.flatten(1)], dim=1))


def test_models_of_two_inputs_take_a_mapping(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, ids = Two(), DRAW.integers(0, 9, (N, 5))
    given = {"ids": torch.from_numpy(ids), "numbers": ROWS.reshape(N, 2, 1)}
    model = open_model(net, example=dataset(given).read(slice(0, 2)))
    out = model.forward(model.prepare(dataset((given, LABELS)).read(slice(None))))
    torch.testing.assert_close(out.logits, net(torch.from_numpy(ids), torch.from_numpy(ROWS)))
    assert model.offers == {"logits", "features", "head"} and "inputs by name: ids, numbers" in repr(model)
    far = {"ids": ids[:40], "numbers": FAR.reshape(40, 2, 1)}
    card = made(net, (given, LABELS), {"mine": far}, tmp_path)
    assert card.choice.table["mean"].max() > 0.9 and card.hardest[0].inputs[0].text.startswith("ids ")
    with pytest.raises(UserError, match=r"takes ids, numbers: pass .* \(\{'ids': ..., 'numbers': ...\}, labels"):
        open_model(Two(), example=ROWS)
    with pytest.raises(UserError, match="inputs ids, numbers, but got ids"):
        made(net, (given, LABELS), {"mine": {"ids": ids}}, tmp_path)
    with pytest.raises(UserError, match="knows the numbers 0 to 8"):
        made(net, (given, LABELS), {"mine": far | {"ids": ids[:40] + 9}}, tmp_path)


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, age: torch.Tensor, pay: torch.Tensor) -> torch.Tensor:
        return self.head(torch.stack([age, pay], dim=1))


def test_columns_go_to_the_inputs_that_bear_their_names() -> None:
    net = Sum()
    frame = dataset(FRAME[["pay", "age"]]).read(slice(None))
    model = open_model(net, example=frame)
    torch.testing.assert_close(model.forward(model.prepare(frame)).logits, net.head(torch.from_numpy(ROWS)))


def test_named_inputs_come_back_as_they_were() -> None:
    record = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.array([True, False]), "c": np.float32(0.5)}
    named = Named.of([record])
    apart = named.apart(named([record, record]))
    assert torch.equal(apart["a"][1], torch.arange(6).reshape(2, 3)) and apart["b"][0].tolist() == [True, False]
    assert apart["c"].tolist() == [0.5, 0.5] and not named.fractions
    with pytest.raises(UserError, match="whole ones up to"):
        named([record | {"a": record["a"] + (1 << 25)}])


class Binary(nn.Module):
    def __init__(self, end: str) -> None:
        super().__init__()
        self.end, self.body, self.out = end, nn.Linear(2, 4), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> Any:
        logit = self.out(torch.relu(self.body(x)))
        made: dict[str, Any] = {
            "logit": logit, "flat": logit[:, 0], "sigmoid": torch.sigmoid(logit), "out": {"out": logit},
            "cosine": torch.sigmoid(logit.sin()),
        }  # fmt: skip
        return made[self.end]


@pytest.mark.parametrize("end", ["logit", "flat", "sigmoid", "out"])
def test_one_logit_is_two_classes(end: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = Binary(end)
    model = open_model(net, example=ROWS[:2])
    x = model.prepare(ROWS)
    out = model.forward(x)
    with torch.no_grad():
        chance = torch.sigmoid(net.out(torch.relu(net.body(x))))[:, 0]
    torch.testing.assert_close(out.logits.softmax(1)[:, 1], chance, atol=1e-4, rtol=0)
    assert model.head is not None
    torch.testing.assert_close(model.head(out.features), out.logits, atol=1e-3, rtol=0)
    card = made(net, (ROWS, LABELS), FAR, tmp_path)
    assert accuracy(card) == pytest.approx(float(((chance > 0.5).numpy() == LABELS).mean()), abs=0.25)
    assert any("two classes through the sigmoid" in note for note in card.notes)


def test_one_number_that_may_be_either_is_refused() -> None:
    with pytest.raises(UserError, match="leave the sigmoid out"):
        open_model(Binary("cosine"), example=ROWS[:2])


class Wrong(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.head = kind, nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> Any:
        logits = self.head(x)
        made: dict[str, Any] = {
            "rows": logits[:1], "whole": logits.argmax(1), "map": {"out": logits[:, :, None, None]}, "none": None,
        }  # fmt: skip
        return made[self.kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [("rows", "each of 2 inputs, but the model returned 1"), ("whole", "int64"), ("map", r"tensor \[2, 2, 1, 1\]"),
     ("none", "NoneType")],
)  # fmt: skip
def test_models_that_return_something_else(kind: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_model(Wrong(kind), example=ROWS[:2])


def test_a_model_in_training_mode_is_measured_in_evaluation_mode(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.9), nn.Linear(8, 2)).train()
    card = made(net, (ROWS, LABELS), FAR, tmp_path)
    assert net.training and net[2].training
    with torch.no_grad():
        said = net.eval()(torch.from_numpy(ROWS)).argmax(1).numpy()
    assert accuracy(card) == pytest.approx(float((said == LABELS).mean()), abs=0.2)


def test_rows_are_read_as_a_table_by_default() -> None:
    model: Any = open_model(nn.Linear(2, 2), example=ROWS[:2])
    assert model.preprocess == Table()
    with pytest.raises(UserError, match="columns that it was trained on"):
        open_model(nn.Linear(3, 2), example=ROWS[:2])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_very_few_inputs(count: int, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        made(nn.Linear(2, 2), (ROWS[:count], LABELS[:count]), FAR[:1], tmp_path)
