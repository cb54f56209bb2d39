"""Rows of a study that never ran: AUROCs with known effects, for the report and for size tests."""

from __future__ import annotations

import json

import numpy as np
import polars as pl

from outfield.store import schema, write

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


def rows(*, strategies=STRATEGIES, seeds=3, detectors=DETECTORS, sets=SETS, shifts=SHIFTS, seed=0) -> pl.DataFrame:
    """Rows in the study's schema: strategy, detector, set and interaction effects drawn once, noise on top."""
    rng = np.random.default_rng(seed)
    effects = {
        "strategy": rng.normal(0, 0.35, len(strategies)),
        "detector": rng.normal(0, 0.4, len(detectors)),
        "set": np.array([{"near": 0.9, "far": 1.9, "extreme": 2.6, "synthetic": 2.2}[c] for c in sets.values()]),
        "both": rng.normal(0, 0.5, (len(strategies), len(detectors))),
    }
    found = []
    for i, (strategy, family) in enumerate(strategies.items()):
        accuracy = {"under-trained": 0.82, "label noise": 0.88, "small data": 0.85}.get(strategy, 0.93 + 0.01 * (i % 5))
        for number in range(seeds):
            model = {"model": f"{strategy} seed {number}", "strategy": strategy, "family": family, "seed": number}
            common = {
                "study": "digits (simulated)",
                "run": model["model"],
                "id": "digits 0-7",
                "role": "test",
                "n_id": 360,
            }
            common |= model | {"data_digest": "a" * 20, "model_digest": f"{i:02d}{number}" * 6, "step": None}
            found += model_rows(common, accuracy + rng.normal(0, 0.008), shifts, rng)
            found += detector_rows(common, i, effects, (detectors, sets), rng)
    return schema.frame(found)


def model_rows(common, accuracy, shifts, rng):
    measures = {
        "accuracy": accuracy,
        "ece": abs(rng.normal(0.03, 0.02)),
        "nll": 0.3,
        "brier": 0.1,
        "balanced_accuracy": accuracy,
    }
    measures |= {name: rng.lognormal(0, 0.2) for name in FEATURES}
    yield from (common | {"set_kind": "id", "metric": name, "value": value} for name, value in measures.items())
    for j, shift in enumerate(shifts):
        for severity in range(1, 6):
            value = accuracy - 0.03 * severity * (1 + 0.4 * j) * rng.uniform(0.7, 1.3)
            columns = {"set_kind": "shift", "shift": shift, "severity": severity, "ood": f"{shift} {severity}"}
            yield common | columns | {"metric": "accuracy", "value": max(0.1, value)}


def detector_rows(common, i, effects, tested, rng):
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
            | {"set_kind": "id", "metric": "auroc_correct_vs_incorrect", "value": squash(place * 0.5 + 1)}
        )
        for k, (ood, category) in enumerate(sets.items()):
            z = place + effects["set"][k] + rng.normal(0, 0.25)
            columns = common | shared | {"set_kind": "ood", "ood": ood, "ood_category": category, "n_ood": 180}
            for metric, value in measures(z).items():
                yield columns | {"metric": metric, "value": value, "low": value - 0.02, "high": min(1.0, value + 0.02)}
            if category == "synthetic":
                for number, part in enumerate(PARTS):
                    value = squash(z + 0.3 * (number - len(PARTS) / 2))
                    yield columns | {"part": part, "metric": "auroc", "value": value, "n_ood": 50}


def measures(z):
    return {
        "auroc": squash(z),
        "fpr_at_95_id": 1 - squash(z - 1),
        "fpr_at_95_ood": 1 - squash(z - 1),
        "auroc_correct_vs_ood": squash(z + 0.1),
        "auroc_incorrect_vs_ood": squash(z - 1.8),
    }


def squash(z):
    return float(1 / (1 + np.exp(-z)))


def folder(place, table, model="baseline seed 0", n=60):
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
