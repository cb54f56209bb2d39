"""The table of detectors on real scores: the board's names are ours, ties are marked, studies are cut as they say."""

from __future__ import annotations

import polars as pl

from benchmarks import real_scores


def test_the_board_is_read_by_our_names() -> None:
    board = real_scores._board(real_scores.SETTINGS[0])
    near = {name: row["Near-OOD_AUROC"] for name, row in board.items()}
    assert near["msp"] == "88.03 ± 0.25" and near["energy"] == "87.58 ± 0.46" and near["temp_scale"].startswith("88.09")
    assert not {"ebo", "tempscale", "adascalea"} & near.keys()


def test_what_overlaps_the_best_is_bold() -> None:
    column = pl.DataFrame(
        {"setting": ["a", "b", "c"], "value": [0.9, 0.88, 0.8], "low": [0.87, 0.85, 0.77], "high": [0.93, 0.91, 0.83]}
    )
    assert real_scores._marked(column) == {"a": "**90.0**", "b": "**88.0**", "c": "80.0"}


def test_a_cut_study_has_the_models_of_the_settings_and_smaller_sets() -> None:
    spec = real_scores.reduced("cifar10_real", values=True)
    assert [model.names[0] for model in spec.models] == ["ResNet-20", "ResNet-32", "cnn_a adv"]
    assert not spec.shifts and all(one.source.params["limit"] == real_scores.CIFAR_LIMIT for one in spec.ood)
    names = {detector.name for detector in spec.detectors}
    assert "msp" in names and not {"odin", "gram", "adascale"} & names
