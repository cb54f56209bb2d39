"""Answering or abstaining from tables: what the shell promises, and what it says of OOD inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from outfield.errors import UserError
from outfield.guard.abstention import of_tables, select
from tests.integration.test_cli import typed


def labelled(n: int = 4000) -> pl.DataFrame:
    """Items whose error grows with their score."""
    rng = np.random.default_rng(0)
    u = rng.uniform(size=n)
    wrong = rng.uniform(size=n) < np.maximum(0, u - 0.3) * 0.15
    return pl.DataFrame({"score": u, "prediction": ["cat"] * n, "label": np.where(wrong, "dog", "cat")})


def test_tables_give_what_vectors_give() -> None:
    table = labelled()
    found = of_tables(table).found
    assert found == select(table["score"].to_numpy(), (table["label"] == "dog").to_numpy())
    named = table.rename({"score": "entropy", "prediction": "said", "label": "true"})
    again = of_tables(named, uncertainty="entropy", prediction="said", label="true")
    assert again.found == found


def test_numbers_and_names_of_classes_are_compared_as_they_are_written() -> None:
    table = pl.DataFrame({"score": np.arange(200.0), "prediction": [1] * 200, "label": ["1"] * 199 + [None]})
    found = of_tables(table, rate=0.05).found
    assert (found.answered, round(found.error * 200)) == (200, 1)


def test_ood_inputs_break_the_promise_as_the_formula_says() -> None:
    """In a stream of which a tenth is OOD the errors among answers are what is told, to simulation."""
    rng = np.random.default_rng(1)
    told = of_tables(labelled(), ood=pl.DataFrame({"score": rng.uniform(0.2, 1.4, size=500)}))
    one, accepted = told.found, told.ood
    assert accepted is not None
    known, foreign = labelled(200_000), rng.uniform(0.2, 1.4, size=20_000)
    answered = known.filter(pl.col("score") <= one.threshold)
    wrong = (answered["label"] == "dog").sum() + (foreign <= one.threshold).sum()
    error = wrong / (len(answered) + (foreign <= one.threshold).sum())
    share = len(foreign) / (len(known) + len(foreign))
    exact = one.error_under(share, accepted=float((foreign <= one.threshold).mean()))
    assert one.error < one.rate < error <= exact + 0.005
    assert accepted.low <= (foreign <= one.threshold).mean() <= accepted.high


def test_the_shell_says_threshold_promise_and_what_ood_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    labelled().write_csv("labelled.csv")
    pl.DataFrame({"score": [0.1] * 50 + [2.0] * 150}).write_parquet("ood.parquet")
    assert typed("guard", "select", "labelled.csv", "--rate", "0.02", "--ood", "ood.parquet") == 0
    said = capsys.readouterr().out
    assert f"Answer where score is at most {of_tables(labelled()).found.threshold!r}, else abstain." in said
    assert "Promised: at most 2.0% of the answers to ID items are wrong, with probability 95%" in said
    assert "Not promised: answers to OOD items, which are all wrong." in said
    assert "25.0% [19.2%, 31.6%] would be answered. With 1%, 5%, 10% of these in the stream" in said
    assert typed("guard", "select", "labelled.csv") == 0
    assert "At worst every OOD item is answered." in capsys.readouterr().out
    assert typed("guard", "select", "labelled.csv", "--rate", "0.0001") == 2
    assert "Add items, or ask for a higher rate" in capsys.readouterr().err
    assert typed("guard", "select", "labelled.csv", "--uncertainty", "label") == 2
    assert typed("guard", "select", "labelled.csv", "--label", "nothing") == 2


def test_columns_that_are_no_numbers_are_told() -> None:
    with pytest.raises(UserError, match="Expected numbers in the column prediction"):
        of_tables(labelled(), uncertainty="prediction")
