"""Which rows are kin: names of real models, columns of lineage, copies; what is asked for; what is not merged."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from outfield.errors import UserError
from outfield.tables.kin import Kin, clusters, copies, families, parts

RESULTS = Path(os.environ.get("OUTFIELD_DATA") or Path(__file__).parents[3] / "shared" / "data") / "results"


def kin(names: list[str], unit: str | None = None, values: np.ndarray | None = None, **columns: list) -> Kin:
    return clusters(pl.DataFrame({"model": names, **columns}), names, unit=unit, values=values)


def groups(found: Kin, names: list[str]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for mark, name in zip(found.clusters, names, strict=True):
        out.setdefault(mark, []).append(name)
    return out


def table(path: str) -> pl.DataFrame:
    if not (RESULTS / path).exists():
        pytest.skip(f"{path} is not in shared/data/results")
    return pl.read_csv(RESULTS / path, infer_schema_length=None)


# --- names ---


@pytest.mark.parametrize(
    ("name", "family", "architecture", "size"),
    [
        ("eva02_large_patch14_448.mim_in22k_ft_in1k", "eva02", "eva02_large_patch14_448", "large"),
        ("resnet50.a1_in1k", "resnet50", "resnet50", ""),
        ("mobilenetv3_small_050.lamb_in1k", "mobilenetv3", "mobilenetv3_small_050", "small"),
        ("convnext_zepto_rms.ra4_e3600_r224_in1k", "convnext", "convnext_zepto_rms", "zepto"),
        ("pythia-70m-deduped", "pythia", "pythia-70m", "70m"),
        ("pythia-6.9b", "pythia", "pythia-6.9b", "6.9b"),
        ("facebook/opt-1.3b", "opt", "opt-1.3b", "1.3b"),
        ("bloom-7b1", "bloom", "bloom-7b1", "7b1"),
        ("resnet50-randomized_smoothing_noise_0.25", "resnet50", "resnet50-randomized_smoothing_noise_0.25", ""),
        ("Moosavi-Dezfooli2019Robustness", "moosavi", "moosavi-dezfooli2019robustness", ""),
    ],
)
def test_names_carry_family_architecture_and_size(name, family, architecture, size):
    found = parts(name)
    assert (found.family, found.architecture, found.size) == (family, architecture, size)


@pytest.mark.parametrize(
    ("name", "seed", "configuration"),
    [
        ("resnet18_seed3", "3", "resnet18"),
        ("resnet18_seed3_sgd", "3", "resnet18_sgd"),
        ("run 12", "12", ""),
        ("Run 0", "0", ""),
        ("bert base (seed 4)", "4", "bert base"),
        ("190M-1xC-rerun", "rerun", "190M-1xC"),
        ("vit-b16 trial=7", "7", "vit-b16"),
    ],
)
def test_names_carry_a_seed_or_run(name, seed, configuration):
    found = parts(name)
    assert (found.seed, found.configuration) == (seed, configuration)


@pytest.mark.parametrize(
    "name",
    ["mobileone_s1.apple_in1k", "poolformer_s12.sail_in1k", "repvgg_a0.rvgg_in1k", "repghostnet_150.in1k",
     "test_vit.r160_in1k", "Debenedetti2022Light_XCiT-S12", "xcit_nano_12_p8_224", "resnet18_50k_96_epochs",
     "shufflenet_v2_x1_0",      "peteish7_eval_170k-450k", "Wang2020Improving", "prune_v12", "init_free_net"],
)  # fmt: skip
def test_sizes_steps_and_words_are_no_seeds(name):
    assert not parts(name).seed and parts(name).configuration == name


# --- seeds ---


@pytest.mark.parametrize("pattern", ["net{}_seed{}", "net{}-s{}", "net{} run {}", "net{}/seed={}"])
def test_six_nets_of_twenty_seeds_are_six_units(pattern):
    names = [pattern.format("abcdef"[net], seed) for net in range(6) for seed in range(20)]
    found = kin(names)
    assert found.replicates and found.level == "configuration" and len(set(found.clusters)) == 6
    assert found.sentence.startswith("120 rows are 6 configurations whose names differ in a seed or run alone")


def test_reruns_of_one_configuration_are_the_units_and_the_reach_is_said():
    found = kin([f"Run {i}" for i in range(100)])
    assert found == Kin((), found.sentence, level="run")
    assert "what is found holds for reruns of that configuration" in found.sentence


def test_one_size_in_several_families_is_no_seed():
    names = [f"{net}-s{size}" for net in ("poolformer", "poolformerv2") for size in (12, 24, 36)]
    assert not kin(names).replicates
    assert not kin([f"mobileone-s{size}" for size in range(5)]).replicates


def test_three_configurations_are_not_averaged_to_three_rows():
    found = kin([f"{net}_seed{seed}" for net in "abc" for seed in range(9)])
    assert not found.replicates and len(set(found.clusters)) == 3


# --- real tables ---


def test_timm_is_of_238_families():
    names = table("timm/results-imagenet.csv")["model"].to_list()
    found = kin(names)
    assert found.level == "family" and len(set(found.clusters)) == 238 and not found.replicates
    assert "238 families by the first word of their names (vit 108, tf 80, convnext 61, ...)" in found.sentence
    assert len({parts(name).architecture for name in names}) == 900


def test_open_clip_is_kin_by_what_it_was_trained_on():
    frame = table("open_clip/openclip_results.csv")
    names = [f"{a} {b}" for a, b in frame.select("name", "pretrained").iter_rows()]
    found = clusters(frame, names)
    by = groups(found, frame["pretrained"].to_list())
    assert set(by["openai"]) == {"openai"} and len(by) > 10
    assert all(each.startswith("laion2b") for each in by["laion2b"])
    assert "by the column pretrained" in found.sentence


def test_robustbench_papers_are_never_merged():
    names = table("robustbench/model_info.csv")["id"].unique(maintain_order=True).to_list()
    found = kin(names)
    for mark, members in groups(found, names).items():
        assert len({name.split("_")[0] for name in members}) == 1 or mark == "moosavi", members
    assert len(set(found.clusters)) > 80


def test_pythia_sizes_are_kin_to_their_deduped_twins():
    names = table("pythia/pythia_evals_wide_values.csv")["model"].unique(maintain_order=True).to_list()
    found = kin(names)
    by = groups(found, names)
    assert found.level == "architecture"
    assert by["pythia-70m"] == ["pythia-70m", "pythia-70m-deduped", "pythia-70m-0.25MtokBS"]
    assert by["pythia-1b"] == ["pythia-1b", "pythia-1b-deduped", "pythia-1b-0.5MtokBS", "pythia-1b-bf16"]
    assert by["bloom-7b1"] == ["bloom-7b1"] and by["opt-1.3b"] == ["opt-1.3b"]


def test_olmo_runs_of_one_size_are_kin():
    names = table("olmo_ladder/peteish-moreeval.csv")["run"].unique(maintain_order=True).to_list()
    found = kin(names)
    by = groups(found, names)
    assert not found.replicates and {"190M-1xC", "190M-1xC-rerun"} <= set(by["190m"])
    assert all(len({name.split("-")[0].split("_")[0] for name in members}) == 1 for members in by.values())


def test_the_testbed_keeps_its_architectures_apart():
    found = Counter(kin(table("imagenet_testbed_top1.csv")["model"].to_list()).clusters)
    assert found["resnet18"] > 90 and found["alexnet"] == 4 and len(found) > 50


# --- columns, and what is asked for ---


def test_a_column_of_architectures_comes_before_names():
    names = [f"m{i}" for i in range(12)]
    found = kin(names, Architecture=[f"net{i % 6}" for i in range(12)])
    assert found.level == "architecture" and "by the column Architecture" in found.sentence


def test_a_column_of_few_values_or_of_one_for_most_is_no_sample_of_families():
    names = [f"m{i}" for i in range(12)]
    assert kin(names, family=["a", "b"] * 6).clusters == ()
    assert kin(names, arch=["ResNet18"] * 8 + list("abcd")).clusters == ()


def test_three_families_are_named_but_not_inferred_from():
    found = kin([f"{net}_{word}" for net in ("cnn", "vit", "mlp") for word in "abcd"])
    assert found.clusters == () and "show 3 families (cnn 4, vit 4, mlp 4), too few to infer" in found.sentence


@pytest.mark.parametrize("names", [[f"model {i}" for i in range(20)], [f"m{i}" for i in range(20)], list("abcdefgh")])
def test_bare_numbers_are_no_families(names):
    assert kin(names).clusters == ()


def test_the_unit_is_a_column_a_pattern_or_the_row():
    names = [f"x{i}y{i % 3}" for i in range(9)]
    assert kin(names, unit="lab", lab=list("aabbccdde")).clusters == tuple("aabbccdde")
    assert kin(names, unit=r"(?P<unit>y\d)").clusters == ("y0", "y1", "y2") * 3
    assert kin([f"a_seed{i}" for i in range(9)], unit="row").clusters == ()


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("labb", "a column, a pattern with a group called unit.*but got 'labb'. Did you mean 'lab'"),
        ("(?P<unit>", "a pattern with a group called unit"),
        ("(?P<unit>zz)", "none of 4 does .the first is 'a'"),
        ("(?P<unit>.?)$", "puts all"),
    ],
)
def test_a_unit_that_is_none_of_them_is_told(unit, said):
    with pytest.raises(UserError, match=said):
        kin(["a", "ba", "ca", "da"], unit=unit, lab=list("wxyz"))


# --- copies ---


def measured(n: int, digits: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    first = rng.uniform(60, 90, n)
    return np.stack([first, first - 30 + rng.normal(0, 3, n)], axis=1).round(digits)


def test_a_renamed_copy_is_seen_with_two_measures():
    values = np.vstack([measured(40, 2), measured(40, 2)[:1]])
    assert copies(values, [f"m{i}" for i in range(41)]) == [("m0", "m40")]


def test_equal_rows_of_few_digits_may_be_chance():
    values = measured(400, 0)
    assert len(np.unique(values, axis=0)) < 400
    assert copies(values, [f"m{i}" for i in range(400)]) == []


@pytest.mark.parametrize("seed", range(20))
def test_unrelated_models_are_no_copies(seed):
    assert copies(measured(60, 2, seed), [f"m{i}" for i in range(60)]) == []


def test_one_measure_and_constant_ones_are_not_enough():
    values = np.stack([np.r_[70.11, 70.11, 80.22, 81.5, 60.1], np.full(5, 0.5)], axis=1)
    assert copies(values, list("abcde")) == []


def test_shares_made_of_percent_keep_their_digits():
    values = np.vstack([measured(40, 2), measured(40, 2)[:1]]) / 100
    assert copies(values, [f"m{i}" for i in range(41)]) == [("m0", "m40")]


def test_copies_under_names_of_two_families_are_one_cluster():
    values = np.vstack([measured(24, 2), measured(24, 2)[:1]])
    names = [*(f"{family}_{i}" for family in "abcdef" for i in range(4)), "zoo_1"]
    found = kin(names, values=values)
    assert found.clusters[-1] == "a" and found.clusters[4] == "b" and "a_0 = zoo_1" in found.sentence
    assert families(names)[-1] == "zoo"
