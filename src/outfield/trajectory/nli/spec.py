"""What `outfield track` reads for language: models, NLI sets, LoRA, pattern and verbaliser."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from outfield import strict_yaml
from outfield.data.nli_sets import FORMATS
from outfield.errors import Problems
from outfield.models.pair_models import ACCELERATE, PATTERN, Lora, Mode, Verbaliser
from outfield.places import home
from outfield.studies.spec import ROOT_VARIABLE, Named, OodSet, sources_below, unfit_estimators
from outfield.trajectory.spec import Checkpoints, Strict, unfit


class NliSet(Strict):
    """One file of one set."""

    name: str
    format: str = Field("", description="The set's format, of `outfield.data.nli_sets.FORMATS`; default: name.")
    path: str = Field(description="Below `data`, or hub:DATASET[:CONFIG]:SPLIT.")

    @property
    def style(self) -> str:
        """The key of ``FORMATS``."""
        return self.format or self.name


class LanguageModel(Strict):
    """A model of the Hub, a local folder, or ``package:MODULE/FOLDER`` of an installed package."""

    label: str
    path: str
    mode: Mode = "causal"


class Training(Strict):
    """AdamW with linear warm-up and decay."""

    learning_rate: float = Field(2e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warm_up: float = Field(0.1, ge=0, lt=1)
    epochs: int = Field(40, ge=1)
    steps: int | None = Field(None, ge=1, description="Instead of epochs.")
    batch: int = Field(16, ge=1)
    gradient_checkpointing: bool = False


class Items(Strict):
    """How many items of each set are measured; null for all."""

    id: int | None = Field(None, ge=1)
    ood: int | None = Field(None, ge=1, description="Of every other set.")
    fit: int | None = Field(None, ge=1, description="Training pairs that detectors are fitted on.")
    val: int | None = Field(None, ge=1, description="ID pairs beside those measured: the ID side of AUROCs.")


class Resources(Strict):
    """How many runs go at once, and threads of each; the rows are the same."""

    processes: int = Field(1, ge=1)
    threads: int = Field(1, ge=1)


class Nli(Strict):
    """Study 2: fine-tuning runs on NLI, measured on many NLI sets at checkpoints."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$")
    kind: Literal["nli"] = "nli"
    title: str = ""
    note: str = Field("", description="What a reader must know, shown on the report.")
    data: Path = Field(
        Path("."),
        description="Folder of the sets, relative to the study file; `--data`, then $OUTFIELD_DATA go before it.",
    )
    models: tuple[LanguageModel, ...] = Field(min_length=1)
    train: tuple[NliSet, ...] = Field(min_length=1)
    id: NliSet
    ood: tuple[NliSet, ...] = Field(min_length=1)
    detectors: tuple[Named, ...] = Field((), description="Measured at every checkpoint on `ood_sets`.")
    estimators: tuple[Named, ...] = Field(
        (), description="Of accuracy without labels, on every set at every checkpoint, from pairs of the ID set."
    )
    ood_sets: tuple[OodSet, ...] = Field(
        (), description="Texts without a right answer, such as neutral pairs: an AUROC for each detector."
    )
    shots: tuple[int | None, ...] = Field((64,), min_length=1, description="Training pairs, half of each label.")
    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1)
    seed: int = Field(0, description="Of the samples of items, the same for all runs.")
    items: Items = Items()
    checkpoints: Checkpoints = Checkpoints(early=6, even=7)
    max_tokens: int | None = Field(None, ge=1, description="Tokens that are kept of a premise.")
    batch: int = Field(32, ge=1, description="Pairs of one evaluation batch.")
    patterns: tuple[str, ...] = Field((PATTERN,), min_length=1)
    verbaliser: Verbaliser = Verbaliser()
    loss: Literal["answers", "vocabulary"] = "answers"
    padding: Literal["left", "right"] = "left"
    lora: Lora = Lora()
    training: Training = Training()
    device: str = Field(
        "cpu",
        description="cpu, cuda, cuda:1 ...; auto: spread over all there are; accelerate: as `accelerate launch` says.",
    )
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _consistent(self) -> Nli:
        if problems := [*self._faults()]:
            raise ValueError("\n".join(problems))
        return self

    def _faults(self) -> Iterator[str]:
        for one in (*self.train, self.id, *self.ood):
            if one.style not in FORMATS:
                yield f"{one.name}: there is no format {one.style!r}; there are {', '.join(FORMATS)}"
        for pattern in self.patterns:
            yield from _unfilled(pattern)
        yield from unfit(self.detectors, {f"ood_sets[{i}]": one.source for i, one in enumerate(self.ood_sets)})
        if bool(self.detectors) != bool(self.ood_sets):
            yield "detectors: they are measured on ood_sets; give both, or none"
        yield from unfit_estimators(self.estimators)
        if self.estimators and self.items.id is None:
            yield "items.id: missing; estimators read labelled pairs of the ID set that are not measured"
        if self.detectors and self.items.id is None:
            yield "items.id: missing; detectors rank OOD sets against pairs of the ID set that are not measured there"
        if self.device == ACCELERATE and self.resources.processes > 1:
            yield "resources.processes: accelerate starts the processes itself; leave it at 1 beside device: accelerate"
        if repeated := _repeated([self.id.name, *(one.name for one in self.ood), *(one.name for one in self.ood_sets)]):
            yield f"ood: the name {repeated} is used more than once"
        if repeated := _repeated(model.label for model in self.models):
            yield f"models: the label {repeated} is used more than once; give each model its own"
        for field in ("seeds", "shots", "patterns"):
            if repeated := _repeated(map(str, getattr(self, field))):
                yield f"{field}: {repeated} stands there more than once"

    @classmethod
    def load(cls, path: Path | str, data: Path | str | None = None) -> Nli:
        """A study from its YAML file.

        Parameters
        ----------
        path : path of the file
        data : path, optional
            The folder of the sets, before ``$OUTFIELD_DATA`` and the file's own ``data``.

        Raises
        ------
        Problems
            Everything that is wrong with it.
        """
        path, content = Path(path), strict_yaml.read(Path(path))
        stated = data or os.environ.get(ROOT_VARIABLE)
        root = home(stated) if stated else path.parent / home(str(_field(content, "data", ".")))
        root = Path(os.path.abspath(root))
        if sets := _field(content, "ood_sets", ()):
            content |= {"ood_sets": sources_below(sets, root)}
        return cls.parse(content, str(path)).model_copy(update={"data": root})

    @classmethod
    def parse(cls, content: Any, where: str = "the study") -> Nli:
        """A study from plain values."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise Problems(where, (line for each in error.errors() for line in _lines(each))) from None

    def place(self, one: NliSet) -> str:
        """Where a set's file is."""
        return one.path if one.path.startswith("hub:") else str(self.data / one.path)


def _field(content: Any, name: str, default: Any) -> Any:
    return content.get(name, default) if isinstance(content, dict) else default


def _unfilled(pattern: str) -> Iterator[str]:
    """What keeps a pattern from holding both texts."""
    texts = {name: f"<{name}>" for name in ("premise", "hypothesis")}
    try:
        filled = pattern.format(**texts)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        why = f"no value for {error}" if isinstance(error, KeyError) else error
        yield f"patterns: {pattern!r} cannot be filled in ({why}); write any brace that is text twice"
        return
    if not all(text in filled for text in texts.values()):
        yield f"patterns: {pattern!r} lacks {{premise}} or {{hypothesis}}"


def _repeated(names: Iterable[str]) -> str:
    """The names that come more than once."""
    return ", ".join(sorted(name for name, count in Counter(names).items() if count > 1))


def _lines(problem: Any) -> Iterator[str]:
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "value_error":
        yield from str(problem["ctx"]["error"]).splitlines()
    else:
        yield f"{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r:.60}"
