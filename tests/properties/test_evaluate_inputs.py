"""Whatever is given to ``evaluate`` as data, it becomes the same rows and labels, or a ``UserError`` says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.data import TensorDataset

from outfield.data.user_data import dataset
from outfield.errors import UserError
from outfield.models.open import open_model
from outfield.models.preprocess import numbers_of
from tests.properties.support import attacked

NUMBERS = st.one_of(st.integers(-9, 9), st.floats(-9, 9, width=16), st.sampled_from([np.nan, np.inf, None, "x", True]))
ODD = st.sampled_from(
    [None, "x", "", 3, 2.5, b"", object(), [], (), {}, np.float64(1), np.zeros(()), torch.tensor(1.0)]
)
FORMS: dict[str, Any] = {
    "array": lambda rows, labels: (np.array(rows), np.array(labels)),
    "lists": lambda rows, labels: (rows, labels),
    "tensors": lambda rows, labels: (torch.tensor(rows), torch.tensor(labels)),
    "torch data set": lambda rows, labels: TensorDataset(torch.tensor(rows), torch.tensor(labels)),
    "pandas": lambda rows, labels: (pd.DataFrame(rows, columns=list("abc")), pd.Series(labels)),
    "polars": lambda rows, labels: (pl.DataFrame(rows, schema=list("abc"), orient="row"), pl.Series(labels)),
    "column": lambda rows, labels: pd.DataFrame(rows, columns=list("abc")).assign(label=labels),
    "objects": lambda rows, labels: (np.array(rows, dtype=object), np.array(labels, dtype=object)),
}
FIT = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
ESTIMATOR = LogisticRegression().fit(FIT, np.arange(30) % 2)
MODELS = (open_model(ESTIMATOR), open_model(nn.Linear(3, 2), example=FIT))


@attacked
@given(
    st.lists(st.tuples(*[st.integers(-9, 9).map(float)] * 3).map(list), min_size=1, max_size=4),
    st.sampled_from(sorted(FORMS)),
    st.data(),
)
def test_every_form_gives_the_same_rows_and_labels(rows: list[Any], form: str, data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.integers(0, 5), min_size=len(rows), max_size=len(rows)))
    found = dataset(FORMS[form](rows, labels))
    assert found.labels is not None and found.labels.tolist() == labels
    read = found.read(slice(None))
    assert numbers_of(read).tolist() == rows
    for model in MODELS:
        plain = model.forward(model.prepare(np.array(rows, np.float32))).logits
        torch.testing.assert_close(model.forward(model.prepare(read)).logits, plain, atol=1e-5, rtol=1e-5)


def _tried(make: Any) -> None:
    """A data set and logits of finite numbers, or a UserError."""
    try:
        data = dataset(make)
        items = data.read(slice(None))
        assert len(items) == len(data) and dataset(make).digest() == data.digest()
        for model in MODELS:
            out = model.forward(model.prepare(items))
            assert out.logits.shape == (len(data), 2) and out.logits.isfinite().all()
    except UserError:
        return


@attacked
@given(
    st.lists(st.lists(NUMBERS, min_size=2, max_size=4), min_size=0, max_size=4),
    st.one_of(st.none(), st.lists(st.one_of(NUMBERS, st.just("y")), max_size=4)),
    st.sampled_from(["lists", "objects", "pandas", "polars", "records"]),
)
def test_numbers_that_are_none(rows: list[Any], labels: Any, form: str) -> None:
    try:
        items = {
            "lists": lambda: rows,
            "objects": lambda: np.array(rows, dtype=object),
            "pandas": lambda: pd.DataFrame(rows),
            "polars": lambda: pl.DataFrame(rows, orient="row", strict=False),
            "records": lambda: [dict(zip("abcd", row, strict=False)) for row in rows],
        }[form]()
    except Exception:  # the library refuses it before outfield sees it
        return
    _tried(items if labels is None else (items, labels))


@attacked
@given(
    st.lists(st.integers(0, 4), min_size=0, max_size=5),
    st.sampled_from(["uint8", "int64", "float32", "float16", "bool", "complex64", "U1"]),
    st.sampled_from(["array", "tensor", "mapping", "list"]),
)
def test_arrays_of_any_shape(shape: list[int], dtype: str, form: str) -> None:
    array = np.zeros(shape, dtype=dtype)
    if form == "tensor" and dtype == "U1":
        return
    made = {"array": lambda: array, "tensor": lambda: torch.from_numpy(array), "mapping": lambda: {"x": array},
            "list": lambda: list(array) if array.ndim else [array]}[form]  # fmt: skip
    _tried(made())


@attacked
@given(ODD, ODD)
def test_what_is_no_data_at_all(items: Any, labels: Any) -> None:
    _tried(items)
    _tried((items, labels))
    _tried((FIT, labels))
    _tried([items, labels])
    _tried({"a": items, "b": labels})
