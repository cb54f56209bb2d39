"""Every detector on real scores: published CIFAR-10 and MNIST networks, a sentence encoder on CLINC150.

The table reads the rows of three studies, whatever detectors they hold, and sets the OpenOOD board's figures beside
those of the same kind. New detectors come in by running it again: a study measures only what it lacks.

Run: python benchmarks/real_scores.py                 prints the page from the rows below results/real
     python benchmarks/real_scores.py --run           measures what is missing first; the data root is $OUTFIELD_DATA
     python benchmarks/real_scores.py --run --values --write   value detectors alone, and writes docs/detectors-real.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from outfield import registry
from outfield.errors import UserError
from outfield.store import query
from outfield.studies.run import run
from outfield.studies.spec import Spec

ROOT = Path(__file__).parents[1]
PAGE, ROWS = ROOT / "docs" / "detectors-real.md", ROOT / "results" / "real"
BOARDS = ROOT / "src" / "outfield" / "tables" / "extracts" / "boards"
OTHER_NAMES = {"ebo": "energy", "adascalea": "adascale", "weiperkld": "weiper"}
"""Names of the board, letters and digits alone, that are not ours."""


@dataclass(frozen=True)
class Setting:
    """One table: models of a study, the columns that a board has of the same kind, and what differs.

    Parameters
    ----------
    title, study : str
    strategies : tuple of str
        The models by their strategy; each column is the mean over them.
    board : str
        The table of the OpenOOD leaderboard; empty where none is of the kind.
    beside : mapping of our column to the board's
    differs : str
    limit : int, optional
        Inputs of each test set at most; None takes the study as it is.
    """

    title: str
    study: str
    strategies: tuple[str, ...]
    board: str = ""
    beside: Mapping[str, str] | None = None
    differs: str = ""
    limit: int | None = None


CIFAR = "cifar10_real"
CIFAR_LIMIT, MNIST_LIMIT, FITTED_ON = 600, 2000, 2000
SETTINGS = (
    Setting(
        "Published CIFAR-10 networks, ResNet-20 and ResNet-32",
        CIFAR,
        ("ResNet-20", "ResNet-32"),
        "cifar10",
        {"near": "Near-OOD_AUROC", "far": "Far-OOD_AUROC"},
        "The board's networks are three ResNet-18 of 11 million weights (ours have .27 and .46 million), its far sets "
        "are MNIST, SVHN, Textures and Places365 (ours is Textures), it fits on 50,000 pictures and tunes on a "
        "validation set; we fit on 2,000 and tune nothing. Its near sets are ours: CIFAR-100 and Tiny-ImageNet. "
        "ASH and SCALE far below the board: the percentile. It cuts to 6 and 10 of 64 features, hardly any of which is "
        "zero here (.1%), so that the factor exp(sum / sum of the kept) is larger for near OOD than for ID: the ratio "
        "is 4.2 and 3.5 on average at ASH's 90, of ResNet-20. At 65, the lowest of the grid that the board tunes over, "
        "ResNet-20 gives ASH 88 near and 94 far and SCALE 89 and 93; ASH's variant b, which OpenOOD runs, 85 and 92. "
        "MDS far below and GradNorm far above: these networks, neither the fit nor the code. For ResNet-20, a second "
        "implementation in numpy, on features of a second reader, gives MDS 60 near and 83 far from 500, 2,000 and "
        "5,000 training pictures alike, and 59 and 83 from 4,000 unseen ones; GradNorm 81 and 88. The sum of the "
        "features, a factor of GradNorm, tells near OOD here (AUROC 74). The distance of MDS is 69 on average for ID "
        "test pictures and 75 to 77 for near OOD. What a wider network would give was not measured.",
        CIFAR_LIMIT,
    ),
    Setting("A CIFAR-10 network after adversarial training, cnn_a", CIFAR, ("cnn_a adv",), limit=CIFAR_LIMIT),
    Setting("An MNIST network, plain", "mnist_oe", ("baseline",), limit=MNIST_LIMIT),
    Setting("MNIST networks after outlier exposure", "mnist_oe", ("OE tuned", "OE from scratch"), limit=MNIST_LIMIT),
    Setting("CLINC150, a linear probe on a sentence encoder", "clinc150", ("linear probe",)),
    Setting("CLINC150, the sentence encoder fine-tuned", "clinc150", ("fine-tuned",)),
)
OTHER_SETTINGS: Mapping[str, tuple[dict[str, Any], ...]] = {
    CIFAR: ({"name": "ash", "percentile": 65}, {"name": "ash", "variant": "b"}, {"name": "scale", "percentile": 65})
}
"""Beside the papers' own settings: of the grids that the board tunes over."""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=Path, default=ROWS, help="folder with the rows of each study, by its name")
    asked.add_argument("--data", help="data root, instead of the studies' own")
    asked.add_argument("--run", action="store_true", help="measure what is missing first")
    asked.add_argument(
        "--values", action="store_true", help="leave out detectors that query the model again: in minutes"
    )
    asked.add_argument("--write", action="store_true", help="write docs/detectors-real.md")
    given = asked.parse_args()
    if given.run:
        for study in dict.fromkeys(one.study for one in SETTINGS):
            run(reduced(study, given.data, given.values), given.rows / study)
    text = page(given.rows)
    if given.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


def reduced(study: str, data: str | None = None, values: bool = False) -> Spec:
    """The study with the models of the settings alone, its sets cut to their limits, and no shifts.

    ``values`` leaves out the detectors that query the model again, whose measuring takes most of the time.
    """
    whole = Spec.load(ROOT / "studies" / f"{study}.yaml", data).model_dump(mode="json", exclude_defaults=True)
    settings = [one for one in SETTINGS if one.study == study]
    wanted = {strategy for one in settings for strategy in one.strategies}
    cut = whole | {"models": [model for model in whole["models"] if model.get("label") in wanted]}
    if values:
        names = [name for name in registry.own("detectors") if not registry.create("detectors", name).probes()]
        cut["detectors"] = [*({"name": name} for name in names), *OTHER_SETTINGS.get(study, ())]
    limit = settings[0].limit
    if limit is None:
        return Spec.parse(cut)
    id = whole["id"] | {"train": _part(whole["id"]["train"], FITTED_ON), "test": _part(whole["id"]["test"], limit)}
    ood = [one | {"source": _part(one["source"], limit)} for one in whole["ood"]]
    kept = {name: value for name, value in cut.items() if name != "shifts"}
    return Spec.parse(kept | {"id": id, "ood": ood, "probe_limit": min(limit, 400)})


def _part(source: dict[str, Any], limit: int) -> dict[str, Any]:
    return {"name": "part", "of": source, "limit": limit}


def page(folder: Path) -> str:
    """The page as Markdown.

    Examples
    --------
    >>> page(Path("there is no such folder")).splitlines()[0]
    '# Detectors on real scores'
    """
    parts = (_section(one, folder / one.study) for one in SETTINGS)
    return "\n\n".join([INTRODUCTION, *parts]) + "\n"


INTRODUCTION = """# Detectors on real scores

Which detector holds on networks that nobody here made for the purpose? AUROC of every detector in percent: the mean
over the networks of a table and the sets of a column, with each paper's own settings; where a study tunes, with the
tuned ones. **Bold** are the best detector of a column and all whose 95% interval overlaps its own: these are tied. The
intervals hold the sampling of inputs alone. Each table rests on one or two networks, so no order here is a claim about
other networks.

Made by `python benchmarks/real_scores.py --run --values --write` from rows of the studies; do not edit.
Board figures are those of the OpenOOD leaderboard (Zhang et al., OpenOOD v1.5), cross-entropy training."""


def _section(setting: Setting, folder: Path) -> str:
    found = _rows(setting, folder)
    if found is None:
        return f"## {setting.title}\n\nNot measured here: run `python benchmarks/real_scores.py --run`."
    networks, n = found["model"].n_unique(), found["n_id"].max()
    sets = found.group_by("column", maintain_order=True).agg(pl.col("ood").unique().sort())
    which = "; ".join(f"{column}: {', '.join(some)}" for column, some in sets.iter_rows())
    said = (
        f"{networks} network{'s' if networks > 1 else ''}, {n:,} ID inputs. Sets: {which}. {setting.differs}".rstrip()
    )
    return f"## {setting.title}\n\n{said}\n\n{_table(setting, found)}{_left_out(set(found['detector']))}"


def _left_out(measured: set[str]) -> str:
    """The detectors that are not in a table, and why."""
    absent = [name for name in registry.own("detectors") if name not in measured]
    probing = [name for name in absent if registry.create("detectors", name).probes()]
    lines = []
    if probing:
        lines += [f"Left out for the time they take, for they query the model again: {', '.join(probing)}."]
    if others := [name for name in absent if name not in probing]:
        lines += [f"Without rows, refused on these data or not measured yet: {', '.join(others)}."]
    return "".join(f"\n\n{line}" for line in lines)


ORDER = ("near", "far", "extreme", "synthetic")


def _rows(setting: Setting, folder: Path) -> pl.DataFrame | None:
    """AUROC rows of the setting with their column; of a detector that was tuned, those of the tuned setting."""
    try:
        rows = query.rows(folder)
    except UserError:
        return None
    of = (pl.col("metric") == "auroc") & (pl.col("role") == "test") & pl.col("strategy").is_in(setting.strategies)
    found = rows.filter(of & (pl.col("set_kind") == "ood") & pl.col("part").is_null())
    if found.is_empty():
        return None
    tuned = pl.col("tuned") == pl.col("tuned").any().over("model", "detector")
    names = [_named(setting.study, name, params) for name, params in found.select("detector", "params").iter_rows()]
    found = found.with_columns(column=pl.col("ood_category"), setting=pl.Series(names, dtype=pl.String))
    return found.filter(tuned)


def _named(study: str, detector: str, params: str) -> str:
    """A detector with what is not the paper's own setting, where it is of the study's ``OTHER_SETTINGS``.

    Examples
    --------
    >>> _named(CIFAR, "ash", '{"percentile": 65.0, "variant": "s"}')
    'ash (percentile 65)'
    >>> _named(CIFAR, "ash", '{"percentile": 90.0, "variant": "s"}')
    'ash'
    """
    given = json.loads(params)
    for other in (one for one in OTHER_SETTINGS.get(study, ()) if one["name"] == detector):
        wanted = vars(registry.create("detectors", detector, **{k: v for k, v in other.items() if k != "name"}))
        if given == wanted:
            changed = (f"{field} {value}" for field, value in other.items() if field != "name")
            return f"{detector} ({', '.join(changed)})"
    return detector


def _table(setting: Setting, found: pl.DataFrame) -> str:
    columns = [name for name in ORDER if name in set(found["column"])]
    means = found.group_by("setting", "column").agg(pl.col("value", "low", "high").mean())
    beside, board = setting.beside or {}, _board(setting) if setting.board else {}
    order = means.group_by("setting").agg(pl.col("value").mean()).sort("value", "setting", descending=[True, False])
    parts = []
    for column in columns:
        of = means.filter(pl.col("column") == column)
        parts.append((column, _marked(of)))
        if column in beside:
            parts.append(("board", {name: row[beside[column]].partition(" ")[0] for name, row in board.items()}))
    lines = ["| detector | " + " | ".join(head for head, _ in parts) + " |", "|" + "---|" * (len(parts) + 1)]
    lines += [
        f"| {name} | " + " | ".join(cells.get(name, "") for _, cells in parts) + " |" for name in order["setting"]
    ]
    return "\n".join(lines)


def _marked(of: pl.DataFrame) -> dict[str, str]:
    """Detector to its figure in one column, bold where its interval overlaps that of the best."""
    best = of.sort("value", descending=True).row(0, named=True)
    shown = {
        row["setting"]: (f"{100 * row['value']:.1f}", row["high"] >= best["low"]) for row in of.iter_rows(named=True)
    }
    return {name: f"**{figure}**" if tied else figure for name, (figure, tied) in shown.items()}


def _board(setting: Setting) -> dict[str, dict[str, str]]:
    """The board's rows of plain training by our names of detectors."""
    ours = {_letters(name): name for name in registry.own("detectors")}
    table = pl.read_csv(BOARDS / f"{setting.board}.csv.gz", infer_schema=False)
    plain = table.filter(pl.col("Training") == "CrossEntropy").iter_rows(named=True)
    named = ((OTHER_NAMES.get(letters := _letters(row["Postprocessor"]), letters), row) for row in plain)
    return {ours.get(name, name): row for name, row in named}


def _letters(name: str) -> str:
    """Letters and digits alone, in lower case.

    Examples
    --------
    >>> _letters("Temp-Scale"), _letters("temp_scale")
    ('tempscale', 'tempscale')
    """
    return "".join(sign for sign in name.lower() if sign.isalnum())


if __name__ == "__main__":
    main()
