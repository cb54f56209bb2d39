"""Rows of a study that never ran: AUROCs with known effects, for the report and for size tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outfield.store import schema, write

Row = dict[str, Any]
STRATEGIES = {
    "baseline": "baseline",
    "under-trained": "under-trained",
    "label noise": "label noise",
    "small data": "small data",
    "label smoothing": "recipe",
    "EMA recipe": "recipe",
    "MixUp": "augmentation",
    "CutMix": "augmentation",
    "PGD 2/255": "adversarial",
    "PGD 8/255": "adversarial",
    "SupCon": "self-supervised",
    "frozen filters": "freezing",
}
SETS = {
    "digit 8": "near",
    "digit 9": "near",
    "flower crops": "far",
    "temple crops": "far",
    "letters": "extreme",
    "symbols": "extreme",
    "terrain": "far",
    "unit tests": "synthetic",
}
PARTS = ("uniform_noise", "gaussian_noise", "rademacher", "pixel_permutation", "blobs", "black", "white", "stripes")
SHIFTS = ("gaussian_noise", "blur", "rotation", "translation", "contrast_inversion", "occlusion")
DETECTORS = (
    *("msp", "mls", "energy", "odin", "temp_scale", "klm", "gen", "mds", "rmds", "knn", "she", "vim", "ash", "react"),
    *("dice", "scale", "nnguide", "fdbd", "gram", "adascale_a", "gradnorm", "entropy", "vra", "nci", "neco", "cop"),
    *("corp", "relation", "openmax", "lts", "residual"),
)
FEATURES = ("total_variance", "participation_ratio", "tiny_share", "norm_mean", "norm_sd")


def rows(
    *,
    strategies: Mapping[str, str] = STRATEGIES,
    seeds: int = 3,
    detectors: Sequence[str] = DETECTORS,
    sets: Mapping[str, str] = SETS,
    shifts: Sequence[str] = SHIFTS,
    seed: int = 0,
) -> pl.DataFrame:
    """Rows in the study's schema: strategy, detector, set and interaction effects drawn once, noise on top."""
    rng = np.random.default_rng(seed)
    effects = {
        "strategy": rng.normal(0, 0.35, len(strategies)),
        "detector": rng.normal(0, 0.4, len(detectors)),
        "set": np.array([{"near": 0.9, "far": 1.9, "extreme": 2.6, "synthetic": 2.2}[c] for c in sets.values()]),
        "both": rng.normal(0, 0.5, (len(strategies), len(detectors))),
    }
    found: list[Row] = []
    for i, (strategy, family) in enumerate(strategies.items()):
        accuracy = {"under-trained": 0.82, "label noise": 0.88, "small data": 0.85}.get(strategy, 0.93 + 0.01 * (i % 5))
        for number in range(seeds):
            model = {"model": f"{strategy} seed {number}", "strategy": strategy, "family": family, "seed": number}
            common: Row = {
                "study": "digits (simulated)",
                "run": model["model"],
                "id": "digits 0-7",
                "role": "test",
                "n_id": 360,
            }
            common |= model | {"data_digest": "a" * 20, "model_digest": f"{i:02d}{number}" * 6, "step": None}
            found += _model_rows(common, accuracy + rng.normal(0, 0.008), shifts, rng)
            found += _detector_rows(common, i, effects, (detectors, sets), rng)
            for k, (ood, category) in enumerate(sets.items()):
                value = _squash(effects["strategy"][i] + effects["set"][k] + 0.1 * number)
                columns = {"set_kind": "ood", "ood": ood, "ood_category": category, "n_ood": 180}
                found.append(common | columns | {"metric": "linear_separability", "value": value})
    return schema.frame(found)


def items(table: pl.DataFrame, *, n: int = 60, seed: int = 0) -> pl.DataFrame:
    """The merit of each model's answer to n ID items, right as often as its accuracy says, hard items alike for all.

    Examples
    --------
    >>> items(rows(seeds=1, detectors=("msp",)), n=5).select("model", "row", "merit").height
    60
    """
    hard = np.random.default_rng(seed).normal(size=n)
    own = pl.col("set_kind") == "id", pl.col("metric") == "accuracy", pl.col("role") == "test"
    known = table.filter(*own).unique("model").sort("model")
    made = [
        pl.DataFrame({"set": "test", "row": np.arange(n), "merit": _answers(value, hard, at)}).with_columns(
            model=pl.lit(name)
        )
        for at, (name, value) in enumerate(known.select("model", "value").iter_rows())
    ]
    empty = pl.DataFrame(schema={"model": pl.String, "set": pl.String, "row": pl.Int64, "merit": pl.Float64})
    return pl.concat([empty, *(one.select("model", "set", "row", "merit") for one in made)])


def band_noise(models: int = 9) -> pl.DataFrame:
    """Rows of models under noise of single bands; the wider a model's band, the lower its accuracy under blur.

    Examples
    --------
    >>> band_noise(2).filter(pl.col("shift") == "band_noise 4").height
    10
    """
    from scipy.stats import norm

    from outfield.data.shifts.band_noise import RMS

    made: list[Row] = []
    for i in range(models):
        width, name = 0.8 + 0.1 * i, {"study": "bands", "model": f"m{i}", "strategy": f"s{i}", "role": "test"}
        common = name | {"metric": "accuracy", "n_id": 100}
        made.append(common | {"set_kind": "id", "value": 0.9})
        made.append(name | {"metric": "classes", "set_kind": "id", "value": 10.0})
        made.append(common | {"set_kind": "shift", "shift": "blur", "severity": 3, "value": 0.9 - 0.05 * width})
        for band in (1.0, 2.0, 4.0, 8.0, 16.0):
            gain = np.exp(-((np.log2(band) - 2) ** 2) / 2 / width**2)
            for severity, level in enumerate(RMS, 1):
                value = 0.1 + 0.8 * norm.cdf(3 * (1 - level * gain / 0.05))
                shift = {"set_kind": "shift", "shift": f"band_noise {band:g}", "severity": severity}
                made.append(common | shift | {"value": float(value)})
    return schema.frame(made)


def domains(models: int = 6) -> pl.DataFrame:
    """Rows of models of three strategies with two of five domains left out; one strategy does better there.

    Examples
    --------
    >>> domains(2).filter(pl.col("set_kind") == "shift").height
    4
    """
    rng, made = np.random.default_rng(0), []
    for i in range(models):
        name = {"study": "sites", "task": "domains", "model": f"m{i}", "strategy": f"s{i % 3}", "seed": i // 3}
        common = name | {"metric": "accuracy", "role": "test", "n_id": 100}
        shown = rng.uniform(0.8, 0.9)
        made.append(name | {"metric": schema.ID_VALIDATION, "role": "test", "set_kind": "id", "value": shown})
        made.append(common | {"set_kind": "id", "value": shown})
        known = common | {"set_kind": "id", "role": "group", "value": shown}
        new = common | {"set_kind": "shift", "value": shown - 0.2 + 0.1 * (i % 3 == 2)}
        made += [known | {"group": f"site {site}"} for site in range(3)]
        made += [new | {"ood": f"site {site}"} for site in (3, 4)]
    return schema.frame(made)


def _answers(accuracy: float, hard: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Right (1) or wrong (0): the share of the items that are hardest for this model is wrong."""
    own = hard + np.random.default_rng(seed).normal(size=len(hard))
    return (own <= np.quantile(own, accuracy)).astype(float)


def estimates(table: pl.DataFrame, *, names: Sequence[str] = ("average_confidence",), seed: int = 0) -> pl.DataFrame:
    """The rows with estimates of every accuracy under shift: too high by .02 and more, the lower the truth."""
    rng = np.random.default_rng(seed)
    shifted = table.filter(pl.col("set_kind") == "shift", pl.col("metric") == "accuracy")
    made = [table]
    for number, name in enumerate(names):
        noise = pl.Series(rng.normal(0, 0.02, shifted.height))
        value = (0.02 + 0.9 * pl.col("value") + 0.1 * (1 + number) * 0.9 + noise).clip(0, 1)
        columns = {
            "metric": pl.lit("estimated_accuracy"),
            "params": pl.lit(f'{{"estimator":"{name}"}}'),
            "value": value,
        }
        ends = (pl.col("value") - 0.03).alias("low"), (pl.col("value") + 0.03).alias("high")
        made.append(shifted.with_columns(**columns).with_columns(*ends))
    return pl.concat(made)


def _model_rows(common: Row, accuracy: float, shifts: Sequence[str], rng: np.random.Generator) -> Iterator[Row]:
    measures = {
        "accuracy": accuracy,
        "ece": abs(rng.normal(0.03, 0.02)),
        "nll": 0.3,
        "brier": 0.1,
        "balanced_accuracy": accuracy,
        "distance_to_constant": 2.0 * accuracy,
    }
    measures |= {name: rng.lognormal(0, 0.2) for name in FEATURES}
    measures["activation_coverage"] = 0.5 * accuracy
    yield from (common | {"set_kind": "id", "metric": name, "value": value} for name, value in measures.items())
    for group, value in {"site a": accuracy + 0.01, "site b": accuracy - 0.04}.items():
        yield common | {"set_kind": "id", "metric": "accuracy", "role": "group", "group": group, "value": value}
    for j, shift in enumerate(shifts):
        for severity in range(1, 6):
            value = accuracy - 0.03 * severity * (1 + 0.4 * j) * rng.uniform(0.7, 1.3)
            columns = {"set_kind": "shift", "shift": shift, "severity": severity, "ood": f"{shift} {severity}"}
            yield common | columns | {"metric": "accuracy", "value": max(0.1, value)}
            yield common | columns | {"metric": "distance_to_constant", "value": 2.0 * max(0.1, value)}


def _detector_rows(
    common: Row,
    i: int,
    effects: Mapping[str, NDArray[np.float64]],
    tested: tuple[Sequence[str], Mapping[str, str]],
    rng: np.random.Generator,
) -> Iterator[Row]:
    detectors, sets = tested
    for j, detector in enumerate(detectors):
        shared = {
            "detector": detector,
            "tuned": False,
            "params": {},
            "seconds": 0.02 * (1 + j),
            "passes": 1.0 + 2.0 * (detector == "odin"),
        }
        place = effects["strategy"][i] + effects["detector"][j] + effects["both"][i, j]
        yield (
            common
            | shared
            | {"set_kind": "id", "metric": "auroc_correct_vs_incorrect", "value": _squash(place * 0.5 + 1)}
        )
        for k, (ood, category) in enumerate(sets.items()):
            z = place + effects["set"][k] + rng.normal(0, 0.25)
            columns = common | shared | {"set_kind": "ood", "ood": ood, "ood_category": category, "n_ood": 180}
            for metric, value in _measures(z).items():
                yield columns | {"metric": metric, "value": value, "low": value - 0.02, "high": min(1.0, value + 0.02)}
            if category == "synthetic":
                for number, part in enumerate(PARTS):
                    value = _squash(z + 0.3 * (number - len(PARTS) / 2))
                    yield columns | {"part": part, "metric": "auroc", "value": value, "n_ood": 50}
                    accepted = {"metric": "fpr_at_95_id", "value": 1 - _squash(z + 0.3 * number), "low": 0.0}
                    yield columns | {"part": part, "n_ood": 50} | accepted
            if ood == "letters":
                for number, part in enumerate("abc"):
                    accepted = {"metric": "fpr_at_95_id", "value": 1 - _squash(z - 1 + number), "n_ood": 30 + number}
                    yield columns | {"part": part} | accepted


def _measures(z: float) -> dict[str, float]:
    return {
        "auroc": _squash(z),
        "fpr_at_95_id": 1 - _squash(z - 1),
        "fpr_at_95_ood": 1 - _squash(z - 1),
        "auroc_correct_vs_ood": _squash(z + 0.1),
        "auroc_out_of_scope": _squash(z - 0.1),
        "auroc_incorrect_vs_ood": _squash(z - 1.8),
    }


def _squash(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


def folder(place: Path, table: pl.DataFrame, model: str = "baseline seed 0", n: int = 60) -> Path:
    """A study's folder of such rows, a file a job, with scores of each input for one model."""
    rng = np.random.default_rng(1)
    jobs = table.partition_by("model", "detector", as_dict=True)
    write.begin(place, [f"job{number}" for number in range(len(jobs))], json.dumps({"name": "simulated", "notes": []}))
    for number, ((name, detector), rows) in enumerate(jobs.items()):
        write.parquet(rows, place / "rows" / f"job{number}.parquet", "rows")
        if name == model and detector:
            sets = {"test": 0.0} | {ood: 1.0 + at for at, ood in enumerate(rows["ood"].drop_nulls().unique().sort())}
            scores = [{"set": each, "row": i, "score": rng.normal(at)} for each, at in sets.items() for i in range(n)]
            write.scores(place, name, f"job{number}", pl.DataFrame(scores))
    return place
