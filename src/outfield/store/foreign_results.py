"""Results of other tools as outfield's rows: OpenOOD's CSVs, leaderboard and score files, pytorch-ood's frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from outfield.errors import UserError
from outfield.metrics._ranking import IdScores, auroc_estimate

OPENOOD_METRICS = {
    "FPR@95": "fpr_at_95_ood", "AUROC": "auroc", "AUPR_IN": "aupr_in", "AUPR_OUT": "aupr_out", "ACC": "accuracy",
}  # fmt: skip
PYTORCH_OOD_METRICS = {
    "FPR95TPR": "fpr_at_95_ood", "AUROC": "auroc", "AUPR-IN": "aupr_in", "AUPR-OUT": "aupr_out", "ACC95TPR": "",
}  # fmt: skip
MEANS = {"nearood", "farood", "mean", "near-ood", "far-ood", "average"}
CATEGORIES = {
    "near": {"cifar10", "cifar100", "tin", "ssb_hard", "ninco", "near"},
    "far": {"mnist", "svhn", "texture", "textures", "places365", "inaturalist", "openimage_o", "far"},
}
"""The OOD sets of OpenOOD's benchmarks by category; a set that is the ID set is left out by OpenOOD itself."""

ENTRY = ("Training", "Postprocessor", "Arch", "benchmark")
"""What every entry of OpenOOD's leaderboard has."""

Row = dict[str, Any]


def read(path: Path | str) -> pl.DataFrame | None:
    """Rows of a peer's file, or None where it is no peer's.

    Raises
    ------
    UserError
        It looks like a peer's file, but cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() == ".json" and path.exists():
        return openood_leaderboard(path) if _is_leaderboard(path) else None
    if path.suffix.lower() == ".csv" and path.exists():
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            header = file.readline()
        if "FPR@95" in header and "AUPR_IN" in header:
            return openood_csv(path)
        if "FPR95TPR" in header and "AUPR-IN" in header:
            return pytorch_ood(path)
    return None


def openood_csv(path: Path | str, *, model: str | None = None, detector: str | None = None) -> pl.DataFrame:
    """Rows of OpenOOD's ``ood.csv`` (one run), or of its mean over runs (``mean ± sd``); percent become shares.

    Averages over sets (nearood, farood, mean) are left out: they are no sets. ``ACC`` is the ID accuracy, one row. The
    detector is the file's stem (``msp.csv``) and the model the folder, unless given.

    Raises
    ------
    UserError
        No such file, it lacks OpenOOD's columns, or a cell is no percentage.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "msp.csv"
    >>> _ = file.write_text(",FPR@95,AUROC,AUPR_IN,AUPR_OUT,ACC\\ntin,50.00,88.00,80.00,85.00,95.06\\n")
    >>> openood_csv(file, model="resnet18").select("detector", "ood", "metric", "value").rows()[1]
    ('msp', 'tin', 'auroc', 0.88)
    """
    path = Path(path)
    table = _csv(path)
    first = table.columns[0]
    if not {"FPR@95", "AUROC"} <= set(table.columns):
        raise UserError(f"Expected OpenOOD's columns FPR@95 and AUROC, but {path.name} has {', '.join(table.columns)}.")
    named = {"model": model or path.parent.name or "model", "detector": detector or _stem(path)}
    rows = [row | named for each in table.to_dicts() for row in _openood_set(str(each.pop(first)), each, path.name)]
    accuracy = next((cell for cell in table["ACC"] if cell), None) if "ACC" in table.columns else None
    if accuracy:
        value = _value(accuracy, f"column ACC of {path.name}")["value"]
        rows.append({**named, "detector": None, "set_kind": "id", "metric": "accuracy", "value": value})
    return _frame(rows, "openood")


def _csv(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise UserError(f"Expected a result file, but there is no {path}. Pass the path of the CSV.")
    return _table(path, infer_schema=False)


def _table(path: Path, **options: Any) -> pl.DataFrame:
    try:
        return pl.read_csv(path, **options)
    except pl.exceptions.PolarsError as error:
        raise UserError(
            f"Expected a CSV file in UTF-8 at {path}, but got: {error}. Mend it, or save it anew."
        ) from None


def _stem(path: Path) -> str:
    return path.parent.name if path.stem == "ood" else path.stem


def _openood_set(name: str, cells: Mapping[str, str | None], file: str) -> Iterator[Row]:
    if name.lower() in MEANS:
        return
    for column, metric in OPENOOD_METRICS.items():
        if column in cells and column != "ACC" and (text := cells[column]):
            value = _value(text, f"column {column}, row {name} of {file}")
            yield {"ood": name, "set_kind": "ood", "ood_category": _category(name), "metric": metric, **value}


def _value(text: str, where: str) -> Row:
    """A percentage, alone or as ``mean ± sd``, as a share."""
    try:
        parts = [round(float(part) / 100, 10) for part in text.split("±")]
    except ValueError:
        raise UserError(
            f"Expected a percentage, or a mean ± sd, in {where}, but got {text!r}. Mend the cell, or leave it empty."
        ) from None
    if len(parts) == 1:
        return {"value": parts[0]}
    return {"value": parts[0], "sd": parts[1]}


def _category(name: str) -> str | None:
    return next((category for category, members in CATEGORIES.items() if name.lower() in members), None)


def openood_leaderboard(path: Path | str) -> pl.DataFrame:
    """Rows of OpenOOD's leaderboard JSON: near and far AUROC and ID accuracy of every training x postprocessor.

    The sets are the category averages ``near`` and ``far``; ``study`` is the benchmark; a ``/`` is no value. A
    published standard deviation over seeds stands in ``sd``. Model is ``Training, Arch``, its strategy ``Training``.

    Raises
    ------
    UserError
        No such file, or it is no leaderboard.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "leaderboard.json"
    >>> entry = {"Training": "<a href=x>AugMix</a>", "Postprocessor": "MSP", "Arch": "ResNet18", "benchmark": "cifar10",
    ...          "Near-OOD_AUROC": "89.43 ± 0.26", "Far-OOD_AUROC": "91.66", "ID_Accuracy": "/"}
    >>> _ = file.write_text(json.dumps([entry]))
    >>> openood_leaderboard(file).select("strategy", "ood", "value", "sd").rows()
    [('AugMix', 'near', 0.8943, 0.0026), ('AugMix', 'far', 0.9166, None)]
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"Expected a leaderboard, but there is no {path}. Pass the path of the JSON.")
    entries = _json(path)
    if not isinstance(entries, list) or not entries or not all(map(_is_entry, entries)):
        raise UserError(
            f"Expected OpenOOD's leaderboard (a list of {', '.join(ENTRY)}), but {path.name} is something else. "
            "Pass a leaderboard, or a table as CSV or Parquet."
        )
    return _frame([row for entry in entries for row in _entry(entry, path.name)], "")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"Expected JSON in UTF-8 at {path}, but got: {error}. Mend the file, or get it again."
        ) from None


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.keys() >= set(ENTRY)


def _is_leaderboard(path: Path) -> bool:
    """Whether a JSON file is OpenOOD's leaderboard; one that cannot be read is none."""
    try:
        entries = _json(path)
    except UserError:
        return False
    return isinstance(entries, list) and any(map(_is_entry, entries))


def _entry(entry: Mapping[str, Any], file: str) -> Iterator[Row]:
    training, extra = _plain(entry["Training"]), _plain(entry.get("Additional_Description") or "")
    named = {
        "study": str(entry["benchmark"]), "model": ", ".join(filter(None, (training, str(entry["Arch"]), extra))),
        "strategy": training, "detector": _plain(entry["Postprocessor"]),
    }  # fmt: skip
    for column, ood in (("Near-OOD_AUROC", "near"), ("Far-OOD_AUROC", "far")):
        if (text := str(entry.get(column, "/")).strip()) != "/":
            value = _value(text, f"{column} of {named['model']} in {file}")
            yield {**named, "ood": ood, "ood_category": ood, "set_kind": "ood", "metric": "auroc", **value}
    if (text := str(entry.get("ID_Accuracy", "/")).strip()) != "/":
        value = _value(text, f"ID_Accuracy of {named['model']} in {file}")
        yield {**named, "set_kind": "id", "metric": "accuracy", **value}


def _plain(html: Any) -> str:
    return re.sub(r"<[^>]+>", "", str(html)).strip()


def openood_scores(
    folder: Path | str, id_name: str, *, model: str = "model", detector: str | None = None
) -> pl.DataFrame:
    """AUROC rows with DeLong's intervals from OpenOOD's score files (``NAME.npz`` with pred, conf, label).

    ``conf`` is higher for ID, so its negative is the score. ID accuracy comes from pred and label.

    Raises
    ------
    UserError
        The ID file is not there, or a file lacks ``conf``.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> np.savez(folder / "cifar10.npz", pred=[0, 1, 1], conf=[0.9, 0.8, 0.7], label=[0, 1, 0])
    >>> np.savez(folder / "svhn.npz", pred=[0, 1], conf=[0.3, 0.75], label=[-1, -1])
    >>> openood_scores(folder, "cifar10").filter(pl.col("metric") == "auroc").select("ood", "value", "n_id").rows()
    [('svhn', 0.8333333333333334, 3)]
    """
    folder = Path(folder)
    if not (folder / f"{id_name}.npz").exists():
        found = ", ".join(sorted(path.stem for path in folder.glob("*.npz"))) or "none"
        raise UserError(f"Expected the ID scores {id_name}.npz in {folder}, but found {found}. Name the ID set.")
    known = _arrays(folder / f"{id_name}.npz")
    scores = IdScores(-known["conf"])
    named = {"model": model, "detector": detector or folder.parent.name or "detector"}
    rows: list[Row] = []
    for path in sorted(folder.glob("*.npz")):
        if path.stem == id_name:
            continue
        found_here = auroc_estimate(scores.against(-_arrays(path)["conf"]))
        rows.append({
            **named, "ood": path.stem, "ood_category": _category(path.stem), "set_kind": "ood", "metric": "auroc",
            "value": found_here.value, "low": found_here.low, "high": found_here.high, "n_id": len(known["conf"]),
            "n_ood": found_here.n - len(known["conf"]),
        })  # fmt: skip
    if "pred" in known and "label" in known:
        right = float((known["pred"] == known["label"]).mean())
        rows.append({**named, "detector": None, "set_kind": "id", "metric": "accuracy", "value": right})
    return _frame(rows, "openood")


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: np.asarray(file[name]) for name in file.files}
    if "conf" not in arrays:
        raise UserError(
            f"Expected an array conf in {path.name}, but got {', '.join(arrays)}. Is it an OpenOOD score file?"
        )
    return arrays


def pytorch_ood(data: Any, *, model: str = "model") -> pl.DataFrame:
    """Rows of pytorch-ood's result frame: a row a (Detector, Dataset) with AUROC, AUPR-IN, AUPR-OUT, FPR95TPR.

    Values are shares; percent are noticed (an AUROC above 1) and divided. Mean rows are left out.

    Raises
    ------
    UserError
        Columns Dataset or AUROC are missing, or a measure is no number.

    Examples
    --------
    >>> frame = pl.DataFrame({"Detector": ["MSP"], "Dataset": ["Textures"], "AUROC": [0.88], "FPR95TPR": [0.5]})
    >>> pytorch_ood(frame).select("detector", "ood", "metric", "value").rows()
    [('MSP', 'Textures', 'fpr_at_95_ood', 0.5), ('MSP', 'Textures', 'auroc', 0.88)]
    """
    table = _table(Path(data)) if isinstance(data, str | Path) else _native(data)
    if missing := {"Dataset", "AUROC"} - set(table.columns):
        raise UserError(
            f"Expected pytorch-ood's columns, but {', '.join(sorted(missing))} is missing. Pass its results."
        )
    table = _numeric(table)
    scale = 100.0 if float(table["AUROC"].max() or 0) > 1 else 1.0  # type: ignore[arg-type]  # a float column
    rows = [
        {
            "model": str(each.get("Model", model)),
            "detector": str(each.get("Detector", each.get("Method", "detector"))),
            "ood": each["Dataset"], "ood_category": _category(str(each["Dataset"])), "set_kind": "ood",
            "metric": metric, "value": float(each[column]) / scale,
        }
        for each in table.to_dicts() if str(each["Dataset"]).lower() not in MEANS
        for column, metric in PYTORCH_OOD_METRICS.items() if metric and each.get(column) is not None
    ]  # fmt: skip
    return _frame(rows, "pytorch-ood")


def _numeric(table: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in PYTORCH_OOD_METRICS if name in table.columns]
    try:
        return table.with_columns(pl.col(names).cast(pl.Float64))
    except pl.exceptions.PolarsError as error:
        raise UserError(
            f"Expected numbers in {', '.join(names)}, but got: {error}. Mend the cells, or leave them empty."
        ) from None


def _native(data: Any) -> pl.DataFrame:
    import narwhals as nw

    table: pl.DataFrame = nw.from_native(data, eager_only=True).to_polars()
    return table


COLUMNS: dict[str, Any] = {
    "study": pl.String, "model": pl.String, "strategy": pl.String, "detector": pl.String, "role": pl.String,
    "ood": pl.String, "set_kind": pl.String, "ood_category": pl.String, "metric": pl.String, "value": pl.Float64,
    "sd": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n_id": pl.Int64, "n_ood": pl.Int64,
}  # fmt: skip


def _frame(rows: list[Row], study: str) -> pl.DataFrame:
    filled = [{name: row.get(name) for name in COLUMNS} | {"role": "test"} for row in rows]
    table = pl.DataFrame(filled, schema=COLUMNS)
    return table.with_columns(pl.col("study").fill_null(study), pl.coalesce("strategy", "model").alias("strategy"))
