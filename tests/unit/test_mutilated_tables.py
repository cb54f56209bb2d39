"""A table with any of twenty kinds of damage: the values of the whole table, a named repair, or an error that says what
to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from outfield.errors import UserError
from outfield.reports.analysis import analyse
from outfield.reports.analysis_page import displays
from outfield.reports.findings import findings
from outfield.tables.measures import Measures, measures

NETS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
ID = (90.05, 88.31, 85.5, 80.25, 76.4, 70.1)
NEAR = (61.5, 58.2, 59.9, 50.05, 47.3, 40.0)
FAR = (81.0, 79.5, 80.2, 71.1, 66.6, 60.9)
LINES = [f"{net},{a},{b},{c}" for net, a, b, c in zip(NETS, ID, NEAR, FAR, strict=True)]
CLEAN = "\n".join(["model,val,sketch,real", *LINES]) + "\n"
COLUMNS = {"val": ID, "sketch": NEAR, "real": FAR}


def cells(sign: Callable[[float], str], separator: str = ",") -> str:
    """The table with each number written in some way."""
    rows = [separator.join([net, *map(sign, values)]) for net, *values in zip(NETS, ID, NEAR, FAR, strict=True)]
    return "\n".join([separator.join(("model", "val", "sketch", "real")), *rows]) + "\n"


def column(sign: Callable[[float], str]) -> str:
    """The table with the numbers of its last column written in some way."""
    rows = [f"{net},{a},{b},{sign(c)}" for net, a, b, c in zip(NETS, ID, NEAR, FAR, strict=True)]
    return "\n".join(["model,val,sketch,real", *rows]) + "\n"


def mean(values: tuple[float, ...]) -> str:
    return f"{np.mean(values):.4f}"


AVERAGE = f"Average,{mean(ID)},{mean(NEAR)},{mean(FAR)}"
SD = f"SD,{np.std(ID, ddof=1):.4f},{np.std(NEAR, ddof=1):.4f},{np.std(FAR, ddof=1):.4f}"
ENDS = f"Minimum,{min(ID)},{min(NEAR)},{min(FAR)}\nMaximum,{max(ID)},{max(NEAR)},{max(FAR)}"
HALF = f"average,{mean(ID[:3])},{mean(NEAR[:3])},{mean(FAR[:3])}"
ROWS = [
    dict(zip(("model", "val", "sketch", "real"), row, strict=True)) for row in zip(NETS, ID, NEAR, FAR, strict=True)
]
MARKDOWN = "".join(f"| {line.replace(',', ' | ')} |\n" for line in ("model,val,sketch,real", ":--,--:,--:,--:", *LINES))
NESTED = [{"model": row["model"], "val": row["val"], "ood": {k: row[k] for k in ("sketch", "real")}} for row in ROWS]


def said(found: Measures) -> str:
    """All notes, and what was left out."""
    ignored = [] if found.ignored is None else [" ".join(row) for row in found.ignored.iter_rows()]
    return "\n".join((*found.notes, *ignored))


def of(content: str | bytes, folder: Path, name: str = "t.csv", **options: Any) -> Measures:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return measures(folder / name, **options)


def is_whole(found: Measures) -> None:
    """The names and values of the clean table."""
    assert tuple(found.names) == NETS
    assert (found.id, found.ood) == ("val", ("sketch", "real"))
    for name, values in COLUMNS.items():
        assert found.column(name) == pytest.approx(np.array(values) / 100)


def test_the_clean_table(tmp_path):
    is_whole(of(CLEAN, tmp_path))


@pytest.mark.parametrize(
    ("content", "note"),
    [
        pytest.param(b"\xef\xbb\xbf" + CLEAN.encode(), "", id="BOM"),
        pytest.param(CLEAN.encode("utf-16"), "", id="UTF-16"),
        pytest.param(CLEAN.encode("utf-16-le"), "", id="UTF-16 without BOM"),
        pytest.param(CLEAN.replace("\n", "\r\n").encode(), "", id="CRLF"),
        pytest.param(cells(lambda x: f"{x:.2f}".replace(".", ","), ";"), "decimal commas as points",
                     id="decimal commas"),
        pytest.param(cells(lambda x: f'"{x:.2f}"'.replace(".", ",")), "decimal commas of real", id="quoted commas"),
        pytest.param(cells(str, "\t"), "", id="tabs"),
        pytest.param(cells(str, "|"), "", id="bars"),
        pytest.param(column(lambda x: f"{x}%"), "", id="percent signs in one column"),
        pytest.param(column(lambda x: f"{x} ± 0.1"), "standard errors", id="spreads"),
        pytest.param(column(lambda x: f"{x} +- .1"), "standard errors", id="spreads in ASCII"),
        pytest.param(column(lambda x: f"{x} (0.10)"), "standard errors", id="spreads in parentheses"),
        pytest.param(column(lambda x: f"**{x}**" if x > 80.5 else str(x)), "", id="bold"),
        pytest.param(column(lambda x: rf"$\mathbf{{{x}}} \pm 0.1$"), "standard errors", id="LaTeX"),
        pytest.param(column(lambda x: f"{x}*" if x > 80.5 else f"{x}†"), "marks off cells of real: 81.0*",
                     id="footnotes"),
        pytest.param(column(lambda x: f"\u00a0{x}\u2009"), "", id="thin spaces"),
        pytest.param(f"{CLEAN}{AVERAGE}\n{SD}\n{ENDS}\n", "row Average it is the mean", id="summary rows"),
        pytest.param(CLEAN.replace("alpha", f"{AVERAGE}\nalpha"), "row Average it is the mean", id="summary first"),
        pytest.param(CLEAN.replace("delta", f"{HALF}\ndelta"), "row average it is the mean",
                     id="average in the middle"),
        pytest.param(f"{CLEAN}{AVERAGE.replace('Average', 'Ours')}\n", "all its values are the means of the other rows",
                     id="no such name"),
        pytest.param(CLEAN.replace("delta", "model,val,sketch,real\ndelta"), "1 rows that repeat the header",
                     id="headers"),
        pytest.param(CLEAN.replace("delta", "\n,,,\ndelta") + ",,,\n", "3 blank rows", id="blank rows"),
        pytest.param(CLEAN.replace("\n", ",,\n"), "", id="trailing commas"),
        pytest.param(f"# of 2026\n{CLEAN}# the end, really, of, it\n", "a comment", id="comments"),
        pytest.param(f"Table 3,,,\n{CLEAN}", "a title above the header", id="title"),
        pytest.param(f"{CLEAN}{LINES[0]}\n{LINES[3]}\n", "Dropped 2 duplicate rows", id="duplicated rows"),
        pytest.param(CLEAN.replace("alpha", "  alpha ").replace("sketch", " sketch "), "", id="blanks around names"),
        pytest.param(f"{CLEAN}eta,50,n/a,NaN\n", "miss a measure (empty or infinite): 'eta'", id="no number"),
        pytest.param(f"{CLEAN}eta,50,-,inf\n", "miss a measure (empty or infinite): 'eta'", id="infinite"),
        pytest.param(f"{CLEAN}eta,5", "eta line 8 has 2 of 4 cells: cut short", id="a row cut short"),
        pytest.param(CLEAN.replace("alpha", "<b>alpha</b>").replace(",real", ",<i>real</i>"), "", id="HTML"),
        pytest.param(
            CLEAN.replace("model,val,sketch,real", ",,ood,\nmodel,val,sketch,real"), "The header has two lines",
            id="header of two lines",
        ),
    ],
)  # fmt: skip
def test_a_repair_is_right_and_named(content, note, tmp_path):
    options = {"id": "val", "ood": ["ood sketch", "ood real"]} if note.startswith("The header has two") else {}
    found = of(content, tmp_path, **options)
    assert note in said(found)
    if options:
        assert found.column("ood real") == pytest.approx(np.array(FAR) / 100)
    else:
        is_whole(found)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.md", MARKDOWN),
        ("t.json", json.dumps(ROWS)),
        ("t.json", json.dumps({"about": "a board", "results": ROWS})),
        ("t.json", json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]})),
        ("t.json", json.dumps({row["model"]: {k: row[k] for k in COLUMNS} for row in ROWS})),
        ("t.json", json.dumps({name: {str(i): row[name] for i, row in enumerate(ROWS)} for name in ROWS[0]})),
        ("t.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("t.tsv", cells(str, "\t")),
    ],
)  # fmt: skip
def test_other_files_of_the_same_table(name, content, tmp_path):
    is_whole(of(content, tmp_path, name))


def test_nested_json(tmp_path):
    found = of(json.dumps(NESTED), tmp_path, "t.json")
    assert found.ood == ("ood.sketch", "ood.real") and found.column("ood.real") == pytest.approx(np.array(FAR) / 100)


def test_latin_letters_and_thousands(tmp_path):
    rows = [
        f'{net},{value},{near},"1,{i}13.01"' for i, (net, value, near) in enumerate(zip(NETS, ID, NEAR, strict=True))
    ]
    text = "\n".join(["model,val,sketch,params", *rows]).replace("alpha", "Grün")
    found = of(text.encode("latin-1"), tmp_path)
    assert found.names[0] == "Grün" and found.ood == ("sketch",)
    assert "read as Windows-1252" in said(found) and "column params" in said(found)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("t.csv", CLEAN.replace("81.0", "81.0,3"), "line 2 has 5", id="a row too long"),
        pytest.param("t.csv", cells(lambda x: f"{x:.2f}".replace(".", ",")), "line 2 has 7", id="unquoted commas"),
        pytest.param("t.csv", column(lambda x: f"{x}%" if x > 80.5 else f"{x}"), "1 of its 6 cells end in %",
                     id="signs"),
        pytest.param("t.csv", CLEAN.replace("\n", ",1\n").replace("real,1", "real,real"), "several real",
                     id="two columns of a name"),
        pytest.param("t.csv", b"", "empty", id="empty file"),
        pytest.param("t.csv", "\n\n", "empty", id="blank file"),
        pytest.param("t.csv", "model,val,sketch,real\n", "table with rows", id="header only"),
        pytest.param("t.parquet", b"PAR1\x00\x00", "Expected a table at", id="truncated Parquet"),
        pytest.param("t.json", json.dumps(ROWS)[:-9], "Expected a table at", id="truncated JSON"),
        pytest.param("t.json", "[]", "a list of objects", id="empty JSON"),
        pytest.param("t.csv", CLEAN.replace("alpha", '"alpha'), "Expected a table", id="an open quote"),
        pytest.param("t.csv", CLEAN.replace("81.0", "-81.0"), "real", id="a negative accuracy"),
        pytest.param("t.csv", CLEAN.replace("81.0", "high"), "got 'high' (row 1)", id="a word"),
    ],
)  # fmt: skip
def test_what_cannot_be_mended_is_said(name, content, says, tmp_path):
    with pytest.raises(UserError) as error:
        of(content, tmp_path, name, id="val", ood=["sketch", "real"])
    assert says in str(error.value)


def test_shares_among_percentages_are_named(tmp_path):
    found = of(CLEAN.replace("81.0", "0.81"), tmp_path)
    assert "1 of 6 values of real are at most 0.81 and all others at least 60.9" in said(found)


def test_names_that_differ_in_case_are_two_models(tmp_path):
    found = of(f"{CLEAN}Alpha,50,40,30\n", tmp_path)
    assert found.names[-1] == "Alpha" and len(found.names) == 7


def test_a_mean_teacher_is_a_model(tmp_path):
    found = of(f"{CLEAN}Mean Teacher,{mean(ID)},40,30\nMax,50,41,33\n", tmp_path)
    assert found.names[-2:] == ["Mean Teacher", "Max"]
    assert "The row Max has the name of a summary but not its values" in said(found)


def test_sd_is_a_summary_beside_one_and_else_a_model(tmp_path):
    beside = of(f"{CLEAN}{AVERAGE}\nSD,1,2,3\n", tmp_path)
    assert tuple(beside.names) == NETS and "row SD it has the name of a summary (standard deviation)" in said(beside)
    alone = of(f"{CLEAN}SD,71,42,33\n", tmp_path)
    assert alone.names[-1] == "SD" and "kept as a model" in said(alone)


def test_spreads_are_errors(tmp_path):
    text = column(lambda x: f"{x} ± 0.3")
    found = of(text, tmp_path)
    assert found.errors is not None and found.errors.columns == ["real"]
    assert found.errors["real"].to_list() == pytest.approx([0.003] * 6)
    of_three = of(text, tmp_path, runs=9)
    assert of_three.errors is not None and of_three.errors["real"].to_list() == pytest.approx([0.001] * 6)


def test_columns_and_files_of_errors(tmp_path):
    values = pl.read_csv(CLEAN.encode())
    spread = values.with_columns(real_stderr=pl.lit(0.5), sketch_se=pl.lit(0.25))
    found = measures(spread)
    assert found.errors is not None and found.ood == ("sketch", "real")
    assert found.errors.to_dicts()[0] == {"sketch": pytest.approx(0.0025), "real": pytest.approx(0.005)}
    assert "Guessed: real_stderr" in said(found) or "Guessed: sketch_se" in said(found)
    of_four = measures(spread.rename({"sketch_se": "sketch_sd"}), runs=4).errors
    assert of_four is not None and of_four.to_dicts()[0] == {
        "sketch": pytest.approx(0.00125),
        "real": pytest.approx(0.005),
    }
    named = measures(
        spread.rename({"real_stderr": "e of real"}).drop("sketch_se"), id="val", ood=["real"], error="e of {}"
    )
    assert named.errors is not None and named.errors["real"][0] == pytest.approx(0.005)
    values.select("model", "val", real=pl.lit(0.5)).sample(fraction=1.0, shuffle=True, seed=0).select(
        "model", "real"
    ).write_csv(tmp_path / "errors.csv")
    second = measures(values, error=str(tmp_path / "errors.csv"))
    assert (
        second.errors is not None
        and second.errors.columns == ["real"]
        and second.errors["real"][5] == pytest.approx(0.005)
    )
    with pytest.raises(UserError, match="Expected columns of errors as"):
        measures(values, error="{}_sem")


def test_columns_are_named_by_patterns():
    values = pl.read_csv(CLEAN.encode()).rename({"val": "in1k-val", "sketch": "in1k-s", "real": "in1k-r"})
    found = measures(values, id="*-val", ood=["in1k-[rs]"])
    assert (found.id, found.ood) == ("in1k-val", ("in1k-s", "in1k-r"))
    assert measures(values, id="in1k-v.*", ood=["in1k-r|in1k-s"]).ood == found.ood
    with pytest.raises(UserError, match="Expected one column for --id in1k-"):
        measures(values, id="in1k-*", ood=["in1k-r"])


def test_units_are_named_by_a_column_or_a_pattern():
    values = pl.read_csv(CLEAN.encode()).with_columns(lab=pl.Series(list("aabbcc")))
    found = measures(values, unit="lab")
    assert found.clusters == tuple("aabbcc") and "lab" in found.clustering
    seeds = values.with_columns(model=pl.Series([f"net{i // 2}_seed{i % 2}" for i in range(6)]))
    assert measures(seeds, unit=r"(?P<unit>.+)_seed\d+").clusters == ("net0", "net0", "net1", "net1", "net2", "net2")
    with pytest.raises(UserError, match="Expected as the unit a column.*nowhere"):
        measures(values, unit="nowhere")


def test_the_last_checkpoint_of_a_run_is_its_model():
    rows = [{"model": net, "step": step, "val": value - 5 + step, "sketch": near - 5 + step}
            for net, value, near in zip(NETS, ID, NEAR, strict=True) for step in range(6)]  # fmt: skip
    found = measures(pl.DataFrame(rows).sample(fraction=1.0, shuffle=True, seed=1))
    assert found.units.sort("unit")["val"].to_list() == pytest.approx([ID[i] / 100 for i in np.argsort(NETS)])
    assert "last checkpoint of each run by step: 6 of 36 rows" in said(found)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"sketch": NEAR, "real": FAR}, "no column's name tells it.*sketch"),
        ({"acc": ID, "top1": NEAR, "real": FAR}, "which of several columns is the ID measure.*'acc'"),
        ({"acc": ID, "f1": NEAR, "params": FAR}, "OOD measures beside acc, but no column holds one .f1 seem"),
        ({"acc": ID, **{f"set {i}": NEAR[i % 3 :] + FAR[: i % 3] for i in range(41)}}, "--ood 'imagenet-"),
    ],
)
def test_what_cannot_be_guessed_is_asked(columns, says):
    noise = {name: [value - 0.01 * len(name) for value in values] for name, values in columns.items()}
    noise = {name: [value + 0.001 * i for value in values] for i, (name, values) in enumerate(noise.items())}
    with pytest.raises(UserError, match=says) as error:
        measures(pl.DataFrame({"net": NETS, **noise}))
    assert "rite: outfield analyse TABLE --id" in str(error.value)


def test_what_is_no_measure_is_listed():
    table = pl.DataFrame({"net": NETS, "top1": ID, "top1_err": [100 - x for x in ID], "top5": FAR, "param_count": FAR,
                          "crop_pct": [0.875] * 6, "rank_diff": [1, 2, 3, 0, 0, 0], "average perf.": NEAR, "v2": NEAR,
                          "note": list("aabbcc"), "loss": NEAR})  # fmt: skip
    found = measures(table)
    assert (found.id, found.ood) == ("top1", ("v2",)) and found.ignored is not None
    assert set(found.ignored["name"]) == set(table.columns) - {"net", "top1", "v2"}
    assert any("net names the models" in note for note in found.notes)


# --- long tables ---


def long(models: int = 6) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for m in range(models):
        named = {"study": "t", "model": f"m{m}", "strategy": f"s{m}", "family": "ab"[m % 2], "seed": 0, "role": "test"}
        rows.append({**named, "set_kind": "id", "metric": "accuracy", "value": 0.6 + 0.04 * m})
        for detector in ("msp", "knn"):
            for ood, category in (("tin", "near"), ("svhn", "far")):
                where = {"detector": detector, "ood": ood, "ood_category": category, "set_kind": "ood"}
                rows.append({**named, **where, "metric": "auroc", "value": rng.uniform(0.7, 0.95)})
                rows.append({**named, **where, "metric": "fpr_at_95_id", "value": rng.uniform(0.2, 0.6)})
    return pl.DataFrame(rows, infer_schema_length=None)


def without(columns: str, folder: Path) -> Path:
    long().drop(columns.split()).write_csv(folder / "rows.csv")
    return folder / "rows.csv"


FREE = ("study", "strategy", "family", "seed", "role", "set_kind", "detector", "ood_category")


@pytest.mark.parametrize("absent", [*FREE, " ".join(FREE)])
def test_a_long_table_without_a_column_is_read(absent, tmp_path):
    whole = measures(long())
    found = analyse(without(absent, tmp_path))
    findings(found)
    assert displays(found)
    assert found.measures.units["svhn"].to_list() == pytest.approx(whole.units["svhn"].to_list())
    assert found.measures.column("accuracy") == pytest.approx(whole.column("accuracy"))


@pytest.mark.parametrize("absent", ["model", "metric", "value", "ood"])
def test_a_long_table_without_what_it_needs_is_refused(absent, tmp_path):
    with pytest.raises(UserError):
        analyse(without(absent, tmp_path))


def test_blank_rows_of_a_long_table_are_left_out(tmp_path):
    path = tmp_path / "rows.csv"
    text = long().write_csv()
    path.write_text(text + "\n" + "," * (len(long().columns) - 1) + "\n")
    found = analyse(path)
    findings(found)
    assert found.measures.column("mean AUROC") == pytest.approx(measures(long()).column("mean AUROC"))


def test_measures_of_long_rows_are_aurocs_of_which_more_is_better():
    found = measures(long())
    assert found.directions == {"mean AUROC": True, "tin": True, "svhn": True}
    aurocs = long().filter(pl.col("metric") == "auroc", pl.col("model") == "m0")
    assert found.column("mean AUROC")[0] == pytest.approx(aurocs["value"].mean())


def test_means_are_over_detectors_that_all_models_have():
    extra = [{"model": "m0", "strategy": "s0", "family": "a", "study": "t", "role": "test", "set_kind": "ood",
              "metric": "auroc", "detector": f"d{i}", "ood": ood, "value": 0.1}
             for i in range(23) for ood in ("tin", "svhn")]  # fmt: skip
    found = measures(pl.concat([long(), pl.DataFrame(extra)], how="diagonal"))
    assert found.column("mean AUROC") == pytest.approx(measures(long()).column("mean AUROC"))
    assert "detectors that all compared models have on a set (msp, knn): left out 46 of 70" in said(found)


def test_accuracy_on_shifts_is_no_id_accuracy():
    shift = long().filter(pl.col("metric") == "accuracy").with_columns(ood=pl.lit("imagenet-r"), value=pl.lit(0.1))
    found = measures(pl.concat([long(), shift]).drop("set_kind"))
    assert found.column("accuracy") == pytest.approx(measures(long()).column("accuracy"))


def test_a_mean_over_sets_is_no_set():
    average = long().filter(pl.col("ood") == "svhn").with_columns(ood=pl.lit("Average"))
    found = measures(pl.concat([long(), average]))
    assert found.ood == ("mean AUROC", "tin", "svhn")
    assert "row Average a summary over sets" in said(found)


def test_models_of_long_rows_are_summaries_by_their_values():
    cell = ["study", "role", "set_kind", "metric", "ood", "ood_category", "detector"]
    average = long().group_by(cell, maintain_order=True).agg(pl.col("value").mean())
    named = average.with_columns(model=pl.lit("Mean"), strategy=pl.lit("Mean"), family=pl.lit("a"))
    found = measures(pl.concat([long(), named], how="diagonal"))
    assert found.names == measures(long()).names and "row Mean it is the mean of the other rows" in said(found)
    best = named.with_columns(model=pl.lit("best"), strategy=pl.lit("best"), value=pl.col("value") * 0.9)
    assert measures(pl.concat([long(), best], how="diagonal")).names[-1] == "best"


def test_a_number_of_rows_is_no_id_measure():
    table = pl.DataFrame({"id": [3, 1, 2, 4, 6, 5], "net": NETS, "acc": ID, "sketch": NEAR})
    found = measures(table)
    assert found.id == "acc" and "column id it numbers the rows" in said(found)


def test_names_with_units_and_arrows():
    table = pl.DataFrame({"net": NETS, "Acc (%) ↑": ID, "sketch ↑": NEAR, "gap ↓": FAR})
    found = measures(table)
    assert (found.id, found.directions) == ("Acc (%) ↑", {"sketch ↑": True, "gap ↓": False})


def test_models_without_a_measure_are_listed():
    table = pl.DataFrame({"model": NETS, "val": ID, "sketch": [None, *NEAR[1:]], "real": FAR})
    found = measures(table)
    assert found.ignored is not None and found.ignored.rows() == [("row", "alpha", "no value of sketch")]


def test_a_table_that_joins_no_set_says_so():
    table = pl.DataFrame({"model": NETS, "top1": ID, "top1_err": [100 - x for x in ID], "top5": FAR})
    with pytest.raises(UserError, match="top5 seem to be of the set of top1.* Join the columns of other sets"):
        measures(table)


@pytest.mark.parametrize("value", ["accuracy", "value"])
def test_accuracies_in_a_row_each_are_joined_by_set(value, tmp_path):
    wide = pl.read_csv(CLEAN.encode())
    rows = wide.unpivot(index="model", variable_name="dataset", value_name=value)
    rows = rows.with_columns(metric=pl.lit("accuracy")) if value == "value" else rows
    rows.sample(fraction=1.0, shuffle=True, seed=0).write_csv(tmp_path / "t.csv")
    found = measures(tmp_path / "t.csv")
    assert found.id == "val" and "of each model on each dataset as a row a model" in said(found)
    for name, values in COLUMNS.items():
        units = dict(zip(found.names, found.column(name), strict=True))
        assert [units[net] for net in NETS] == pytest.approx(np.array(values) / 100)
    assert measures(tmp_path / "t.csv", id="real", ood=["sketch"]).id == "real"
    pl.concat([rows, rows.with_columns(pl.col(value) / 2)]).write_csv(tmp_path / "t.csv")
    with pytest.raises(UserError):
        measures(tmp_path / "t.csv")


def test_aurocs_of_long_rows_may_name_their_set_otherwise():
    found = measures(long().rename({"ood": "dataset"}))
    assert found.column("mean AUROC") == pytest.approx(measures(long()).column("mean AUROC"))


LINKED = """# Board

Ours is **best**. "Net" is what the authors call it.

| **Net** | [val](https://a.b) | `sketch` | real |
|:--|--:|--:|--:|
"""


def test_links_and_type_of_markdown_are_no_part_of_a_name(tmp_path):
    rows = "".join(
        f"| [{net}](../nets/x-{net}.md) | {a} | **{b}** | {c}\n"
        for net, a, b, c in zip(NETS, ID, NEAR, FAR, strict=True)
    )
    found = of(f"{LINKED}{rows}\nThe end\n", tmp_path, "t.md", id="val", ood=["sketch", "real"])
    assert found.names == list(NETS) and found.column("sketch") == pytest.approx(np.array(NEAR) / 100)
    assert "line 3: Ours is **best**" in said(found) and "text beside the table" in said(found)


def test_two_tables_of_markdown_are_not_mixed(tmp_path):
    with pytest.raises(UserError, match="holds 2 .*lines 2, 12"):
        of(f"{MARKDOWN}\nAnd:\n{MARKDOWN}", tmp_path, "t.md", id="val", ood=["sketch"])


def test_latex_is_read(tmp_path):
    rows = "".join(
        rf"{net}~\cite{{x{net}}} & {a} & \textbf{{{b}}} & {c} \\" + "\n"
        for net, a, b, c in zip(NETS, ID, NEAR, FAR, strict=True)
    )
    head = "\\begin{tabular}{lrrr}\n\\toprule\nNet & val & \\textbf{sketch} & real $\\uparrow$ \\\\ \\midrule\n"
    found = of(f"{head}{rows}\\end{{tabular}}\n", tmp_path, "t.tex", id="val", ood=["sketch", "real ↑"])
    assert found.names == list(NETS) and found.column("sketch") == pytest.approx(np.array(NEAR) / 100)


def test_blanks_align_a_table(tmp_path):
    lines = "".join(
        f"{net:<12}{a} +/- 0.5   {b} +/- 0.3   {c} +/- 0.1\n" for net, a, b, c in zip(NETS, ID, NEAR, FAR, strict=True)
    )
    found = of(
        f"Net         val           sketch        real\n{lines}", tmp_path, "t.txt", id="val", ood=["sketch", "real"]
    )
    assert found.column("real") == pytest.approx(np.array(FAR) / 100)
    assert found.errors["sketch"].to_list() == pytest.approx([0.003] * 6)


SHARES = [f"{net},{a},{b / 100:.4f},{c / 100:.4f}" for net, a, b, c in zip(NETS, ID, NEAR, FAR, strict=True)]
SOME = [
    f"{net},{a},{b / 100:.4f},{c if net < 'd' else c / 100}" for net, a, b, c in zip(NETS, ID, NEAR, FAR, strict=True)
]


@pytest.mark.parametrize("lines", [SHARES, SOME], ids=["whole columns", "some cells"])
def test_shares_beside_percentages_are_refused_where_their_decimals_tell_them(lines, tmp_path):
    with pytest.raises(UserError, match="they seem to be shares"):
        of("\n".join(["model,val,sketch,real", *lines]), tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (CLEAN.replace("61.5", "61.5/9").replace("real", "rank"), "'sketch', for it holds text, as '61.5/9'"),
        (CLEAN.replace("val,sketch,real", "val,rank,params"), "not 'rank', for its name is not that of a measure"),
    ],
)
def test_why_a_column_is_no_measure_is_said_where_none_is_left(content, says, tmp_path):
    with pytest.raises(UserError, match="no column holds one") as error:
        of(content, tmp_path)
    assert says in str(error.value)


def test_too_few_models_say_where_the_rows_went(tmp_path):
    with pytest.raises(UserError, match="got 0. Left out 6 of 6 rows without a name"):
        of(
            "".join(f",{line.partition(',')[2]}\n" if i else f"{line}\n" for i, line in enumerate(CLEAN.splitlines())),
            tmp_path,
            model="model",
        )
    run = "run,step,val,sketch\n" + "".join(f"a,{i},{a},{b}\n" for i, (a, b) in enumerate(zip(ID, NEAR, strict=True)))
    with pytest.raises(UserError, match="Took the last checkpoint of each run by step: 1 of 6 rows"):
        of(run, tmp_path, step="step", model="run", id="val", ood=["sketch"])


def test_an_error_that_is_not_known_is_not_zero_in_a_mean(tmp_path):
    rows = "".join(
        f"{net},{a},{b},{'' if net == 'beta' and twice else 2}\n"
        for net, a, b in zip(NETS, ID, NEAR, strict=True)
        for twice in (0, 1)
    )
    found = of(f"model,val,sketch,sketch_stderr\n{rows.replace('70.1', '70.2', 1)}", tmp_path, unit="row")
    assert found.errors is not None
    errors = dict(zip(found.names, found.errors["sketch"], strict=True))
    assert errors["zeta"] == pytest.approx(0.02 / 2**0.5) and errors["beta"] is None


def test_one_accuracy_a_row_under_the_names_of_clip_benchmarks(tmp_path):
    rows = [
        f"{net},{of_},{value}"
        for net, a, b in zip(NETS, ID, NEAR, strict=True)
        for of_, value in (("in1k", a), ("sketch", b))
    ]
    found = of(
        "\n".join(["net,downstream_dataset,acc1,task", *(f"{row},zeroshot" for row in rows)]),
        tmp_path,
        model="net",
        id="in1k",
        ood=["sketch"],
    )
    assert found.column("sketch") == pytest.approx(np.array(NEAR) / 100)


def test_a_mark_before_a_spread_is_taken_off():
    found = measures(
        pl.DataFrame({"model": NETS, "val": ID, "sketch": [f"{x}* (0.5)" for x in NEAR]}), id="val", ood=["sketch"]
    )
    assert found.column("sketch") == pytest.approx(np.array(NEAR) / 100) and "footnote marks" in said(found)


def test_fewer_than_four_runs_are_told_as_runs():
    rows = [
        {"run": run, "step": i, "val": a, "sketch": b}
        for run in "ab"
        for i, (a, b) in enumerate(zip(ID, NEAR, strict=True))
    ]
    with pytest.raises(UserError, match="at least 4 runs along step, .* but got 2"):
        analyse(pl.DataFrame(rows), model="run", step="step", id="val", ood=["sketch"])
