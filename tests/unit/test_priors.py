"""The choice of a detector by family of architectures: what boards say, how little is behind it, where it stands."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import nn

from outfield import registry
from outfield.card.card import Card
from outfield.card.facts import _weighed
from outfield.card.recommendation import Choice
from outfield.models.family import family_of
from outfield.reports.results import Results
from outfield.tables import priors
from outfield.tables.priors import prior
from outfield.testing import simulated

BOARD = Path(priors.__file__).parent / "extracts" / "boards" / "imagenet1k_ood.csv.gz"


def by_hand(postprocessor: str, arch: str) -> float:
    """Near and far averaged, minus the same of MSP, from the lines of the file."""
    found = {}
    for line in gzip.decompress(BOARD.read_bytes()).decode().splitlines()[1:]:
        cells = line.split(",")
        if cells[0] == "CrossEntropy" and arch in cells:
            near, far = (float(re.match(r"[\d.]+", cell)[0]) for cell in cells[2:4])  # type: ignore[index]
            found[cells[1]] = (near + far) / 2
    return found[postprocessor] - found["MSP"]


def test_gains_on_transformers_are_those_of_the_board() -> None:
    found = prior("transformer", ["msp", "rmds", "energy", "ash", "vim"])
    assert found is not None
    table = {row["detector"]: row for row in found.table.iter_rows(named=True)}
    for name, theirs in {"rmds": "RMDS", "energy": "EBO", "ash": "ASH", "vim": "VIM"}.items():
        each = [by_hand(theirs, arch) for arch in ("ViT-B/16", "Swin-T")]
        assert (table[name]["gain"], table[name]["least"], table[name]["most"]) == pytest.approx(
            (sum(each) / 2, min(each), max(each))
        )
    assert "msp" not in table


def test_the_board_favours_shaping_on_cnns_and_relative_mahalanobis_on_transformers() -> None:
    cnn, transformer = (prior(name, registry.own("detectors")) for name in ("cnn", "transformer"))
    assert cnn is not None and transformer is not None
    assert {"adascale", "scale"} & set(cnn.favoured) and "mds" not in cnn.favoured
    assert any(one.startswith("rmds") or one.startswith("mds") for one in transformer.favoured)
    assert not {"ash", "scale", "energy", "msp"} & set(transformer.favoured)
    assert "weak evidence" in cnn.sentence and "weak evidence" in transformer.sentence
    assert len(cnn.networks) == 4 and len(transformer.networks) == 2


def test_what_the_board_does_not_know_is_not_guessed() -> None:
    assert prior("other", ["msp", "knn"]) is None and prior("", ["knn"]) is None and prior("cnn", ["nothing"]) is None


@pytest.mark.parametrize(
    ("module", "family"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)), "cnn"),
        (nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.TransformerEncoderLayer(8, 2, batch_first=True)), "transformer"),
        (nn.ModuleDict({"attn": nn.ModuleDict({"qkv": nn.Linear(8, 24)}), "stem": nn.Conv2d(3, 8, 4)}), "transformer"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), "other"),
    ],
)
def test_the_family_is_known_by_the_modules(module: nn.Module, family: str) -> None:
    assert family_of(module) == family


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("resnet18", "cnn"),
        ("vit_tiny_patch16_224", "transformer"),
        ("swin_tiny_patch4_window7_224", "transformer"),
        ("convnext_atto", "cnn"),
    ],
)
def test_the_family_of_networks_of_the_field(name: str, family: str) -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        assert family_of(timm.create_model(name)) == family


def test_the_prior_is_weighed_among_what_the_data_do_not_tell_apart() -> None:
    among = prior("transformer", ["rmds", "vim"])
    assert _weighed(("rmds",), among) == " So it agrees with the choice."
    assert _weighed(("vim",), among) == " Of those that these data do not tell apart it would take rmds."
    assert _weighed(("cop",), None) == " It has none of those that these data do not tell apart."


def card(family: str) -> Card:
    rows = simulated.rows(seeds=1, detectors=("msp", "rmds"), strategies={"baseline": "baseline"}, shifts=())
    table = pl.DataFrame(
        {"detector": ["msp", "rmds"], "mean": [0.9, 0.89], "low": [0.88, 0.87], "high": [0.92, 0.91],
         "difference": [0.0, -0.01], "high_difference": [0.0, 0.02]}
    )  # fmt: skip
    return Card("a net", rows, Choice("msp", 0.7, table, {}, None, 100), family=family)


def test_a_card_says_what_the_choice_costs_and_what_the_boards_favour() -> None:
    text = card("transformer")._recommendation()
    assert text.startswith("Take msp: ") and "It costs 1 pass through the model for each input." in text
    assert "OpenOOD's board favours rmds on its 2 transformers" in text
    assert text.endswith("Of those that these data do not tell apart it would take rmds.")
    assert "OpenOOD" not in card("")._recommendation() and "OpenOOD" not in card("other")._recommendation()


def test_the_report_shows_both_families_beside_what_was_measured() -> None:
    results = Results.of(simulated.rows(seeds=2, detectors=("msp", "rmds", "ash", "odin")))
    found = registry.create("analyses", "choice_by_architecture").of(results)
    table = {row["detector"]: row for row in found.frame().iter_rows(named=True)}
    assert (
        table["odin"]["passes"] == 3.0
        and table["rmds"]["transformer: favoured"]
        and not table["ash"]["transformer: favoured"]
    )
    assert table["msp"]["cnn: gain"] is None
    assert len(found.sentences()) == 3 and found.sentences()[1].startswith("OpenOOD's board favours rmds")
