"""What a study is: the YAML file and the Python object, one and the same.

A plug-in is written as its name, or as a mapping of its name and parameters::

    detectors: [msp, {name: gen, gamma: 0.5}]

A relative ``path`` or ``root`` of a source and the ``weights`` of a model start from the data root of the study.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from outfield import registry, strict_yaml
from outfield.data.member import Category
from outfield.errors import Problems, UserError, singular
from outfield.places import home

LONGEST = 200
"""Signs of a wrong value that a message shows."""
Stream = Literal["outliers", "wild", "unlabelled", "learn"]
ROOT_VARIABLE = "OUTFIELD_DATA"
"""Environment variable that goes before the ``data`` of a study file."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Plugin(BaseModel):
    """A plug-in by name; every other field is a parameter of it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field(description="Name, as `outfield list` shows it.")

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    def build(self, kind: str) -> Any:
        """The plug-in, its parameters checked against its fields.

        Raises
        ------
        UserError
            There is no such plug-in or parameter, or a parameter has the wrong type; all of it at once.

        Examples
        --------
        >>> Plugin(name="energy", temperature=2.0).build("detectors")
        Energy(temperature=2.0)
        >>> Plugin(name="energy", warmth=2.0).build("detectors")
        Traceback (most recent call last):
        outfield.errors.UserError: The detector 'energy' has no parameter 'warmth'. Its parameters are ...
        """
        registry.check(kind, self.name, self.params)
        try:
            cls = registry.find(kind, self.name)
            bases = cls.base_fields() if kind == "detectors" else ()
            params = _nested_in(self.params, f"The {singular(kind)} {self.name!r}") if kind in NESTING else self.params
            params |= {name: _wrapped(value, name) for name, value in params.items() if name in bases}
            return TypeAdapter(cls).validate_python(params)
        except ValidationError as error:
            raise Problems(f"The {singular(kind)} {self.name!r}", _readable(error)) from None


Named = Annotated[Plugin, BeforeValidator(_named)]


NESTING = ("sources", "tasks")
"""Kinds that are made from sources."""


def _nested_in(params: dict[str, Any], title: str) -> dict[str, Any]:
    """Parameters with the sources that they hold; what is wrong with any of these is told together."""
    problems: list[str] = []
    made = {name: _nested(value, name, problems) for name, value in params.items()}
    if problems:
        raise Problems(title, problems)
    return made


def _nested(value: Any, where: str, problems: list[str]) -> Any:
    """A source that another source or a task is made from is written as a mapping with its name, at any depth."""
    if isinstance(value, list):
        return [_nested(one, f"{where}[{i}]", problems) for i, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("name"), str):
        return {name: _nested(one, f"{where}.{name}", problems) for name, one in value.items()}
    faults = [*_fault(where, "sources", Plugin.model_validate(value))]
    problems += faults
    return value if faults else Plugin.model_validate(value).build("sources")


def _wrapped(value: Any, where: str) -> Any:
    """The detectors that another wraps are written as plug-ins are anywhere."""
    if isinstance(value, (list, tuple)):
        return tuple(_wrapped(one, f"{where}[{i}]") for i, one in enumerate(value))
    if not isinstance(value, (str, dict)):
        return value
    try:
        return _plugin().validate_python(value).build("detectors")
    except Problems as error:
        raise Problems(where, [f"{where}.{problem}" for problem in error.problems]) from None
    except ValidationError as error:
        raise Problems(where, [f"{where}.{problem}" for problem in _readable(error)]) from None
    except UserError as error:
        raise Problems(where, [f"{where}: {error}"]) from None


class IdSets(_Strict):
    """The ID data: one source for each split."""

    name: str = Field("ID", description="What the reports call the ID data.")
    train: Named = Field(description="What models are trained on and detectors fitted on.")
    val: Named = Field(description="Held out: temperature, tuning.")
    test: Named = Field(description="What everything is measured on.")


class OodSet(_Strict):
    """One OOD set."""

    name: str
    category: Category = Field(description="near, far, extreme or synthetic.")
    source: Named


class ShiftSet(_Strict):
    """One covariate shift of the ID test set."""

    shift: Named
    label: str | None = Field(None, description="Name in rows; by default the shift's. Of one shift with two settings.")
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field((1, 2, 3, 4, 5), min_length=1)
    limit: int | None = Field(
        None, ge=1, description="On at most so many ID test inputs: a seeded sample, each class with its share."
    )

    @property
    def title(self) -> str:
        return self.label or self.shift.name


def _shift(value: Any) -> Any:
    return value if isinstance(value, dict) and "shift" in value else {"shift": value}


class ShiftedSet(_Strict):
    """The ID classes from another source: a covariate shift that lies in files."""

    name: str
    source: Named


Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""What the rows' column of seeds holds."""


class Tuning(_Strict):
    """Hyper-parameters chosen per model on ID-val against these sets, never on a test set."""

    ood: tuple[OodSet, ...] = Field(min_length=1, description="OOD-val: sets that are no test sets.")


class Trained(_Strict):
    """Models that the study trains: one strategy, several seeds."""

    strategy: Named
    label: str | None = Field(None, description="Name in tables; by default the strategy's.")
    seeds: tuple[Seed, ...] = Field((0, 1, 2), min_length=1)

    @property
    def title(self) -> str:
        return self.label or self.strategy.name

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, one a seed; two labels may differ by a blank alone.

        Examples
        --------
        >>> Trained(strategy={"name": "pgd", "epsilon": 0.1}, label="PGD 0.1", seeds=[0, 1]).names
        ('PGD-0.1-0', 'PGD-0.1-1')
        """
        return tuple(map(self.named, self.seeds))

    def named(self, seed: int) -> str:
        """The name of the model of a seed."""
        return f"{self.title}-{seed}".replace(" ", "-")


class Fitted(_Strict):
    """Models of scikit-learn that the study fits: one estimator, several seeds (its ``random_state``)."""

    estimator: Named = Field(description="Class of scikit-learn, with its parameters: RandomForestRegressor.")
    label: str | None = Field(None, description="Name in tables; by default the estimator's.")
    family: str = "baseline"
    seeds: tuple[Seed, ...] = Field((0, 1, 2), min_length=1)

    @property
    def title(self) -> str:
        return self.label or self.estimator.name

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, one a seed.

        Examples
        --------
        >>> Fitted(estimator={"name": "RandomForestRegressor", "n_estimators": 50}, seeds=[7]).names
        ('RandomForestRegressor-7',)
        """
        return tuple(map(self.named, self.seeds))

    def named(self, seed: int) -> str:
        """The name of the model of a seed."""
        return f"{self.title}-{seed}".replace(" ", "-")


class Opened(_Strict):
    """A model that is there already, of any framework: what ``outfield evaluate`` takes."""

    model: str = Field(description="timm:NAME, hf:NAME, onnx:FILE, sklearn:FILE.skops, or FILE.py:CALLABLE.")
    label: str
    strategy: str | None = Field(None, description="How it was trained; by default the label.")
    family: str = "baseline"
    seed: Seed = Field(0, description="Apart for models that were trained in one way several times.")
    options: dict[str, Any] = Field(default_factory=dict, description="Of `open_model`: head, features, layers ...")

    @property
    def names(self) -> tuple[str, ...]:
        """The model's name."""
        return (self.label,)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


class Stored(_Strict):
    """A model whose weights are there already."""

    weights: Annotated[tuple[Path, ...], BeforeValidator(_listed)] = Field(
        min_length=1,
        description="A .safetensors file or a torch file of tensors alone; several where head and backbone lie apart.",
    )
    network: Named
    label: str
    strategy: str | None = Field(None, description="How it was trained; by default the label.")
    family: str = "baseline"
    seed: Seed = Field(0, description="Apart for models that were trained in one way several times.")
    origin: str = Field("", description="Where the weights are published: shown where they are not there.")
    rename: dict[str, str | None] = Field(
        default_factory=dict,
        description="Patterns (regular expressions) of the weights' names and what replaces them, in this order; null "
        "drops the weights that match. The names that a network was published under are known without.",
    )
    preprocess: dict[str, Any] = Field(
        default_factory=dict,
        description="Of `Pictures`: side, channels, mean, std, crop, interpolation, squash.",
    )
    head: str | None = None
    layers: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The model's name."""
        return (self.label,)


def _kind_of_model(model: Any) -> str:
    """The field that says which kind of model an entry is."""
    if isinstance(model, BaseModel):
        return {Stored: "weights", Fitted: "estimator", Opened: "model"}.get(type(model), "strategy")
    return next((field for field in ("weights", "estimator", "model") if field in _map(model)), "strategy")


AnyModel = Annotated[
    Annotated[Trained, Tag("strategy")]
    | Annotated[Stored, Tag("weights")]
    | Annotated[Fitted, Tag("estimator")]
    | Annotated[Opened, Tag("model")],
    Discriminator(_kind_of_model),
]
KINDS_OF_MODEL = ("strategy", "weights", "estimator", "model")


class Resources(_Strict):
    """What the executor may use; nothing else sets threads or devices."""

    executor: str = Field("local", description="`local` (processes on this machine) or `ray` (a cluster).")
    processes: int = Field(2, ge=1, description="At a time, one model each; on a cluster its free resources decide.")
    threads: int = Field(1, ge=1, description="Threads of each process.")
    shards: int = Field(1, ge=1, description="Parts that each data set is extracted in; processes share them.")
    device: str = Field("cpu", description="With `cuda` and several local processes, each gets a GPU, in turn.")
    gpus: float = Field(0.0, ge=0, description="GPUs of each process, with `ray`; a part of one is shared.")
    memory: float | None = Field(None, gt=0, description="GiB of each process, with `ray`: so many are run as fit.")
    retries: int = Field(2, ge=0, description="How often a model whose process was killed is tried again.")


def _usual_detectors() -> tuple[Plugin, ...]:
    return tuple(Plugin(name=name) for name in registry.usual("detectors"))


def _every_detector(value: Any) -> Any:
    """The word ``all`` names each of outfield's own."""
    return [{"name": name} for name in registry.own("detectors")] if value == "all" else value


class Spec(_Strict):
    """A study: models x detectors x data sets."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$", description="Also the name of its results folder.")
    title: str = Field("", description="One line for the report.")
    notes: tuple[str, ...] = Field((), description="What a reader of the results must know; the report shows it.")
    data: Path | None = Field(
        None,
        description="The data root: the folder, relative to the study file, that relative paths of data and weights "
        "start from. `--data` goes before it, then `$OUTFIELD_DATA`. Without it they start from the study file's "
        "folder, or from `--data`.",
    )
    seed: int = Field(0, ge=0, lt=2**63)
    task: Named | None = Field(
        None, description="What is learned, with its data; without it, one class for each item: id, ood, shifts ..."
    )
    id: IdSets | None = None
    ood: tuple[OodSet, ...] = ()
    shifts: tuple[Annotated[ShiftSet, BeforeValidator(_shift)], ...] = ()
    streams: dict[Stream, Named] = Field(
        default_factory=dict,
        description="What a strategy reads beside the training set, by role: outliers, wild, unlabelled, learn.",
    )
    shifted: tuple[ShiftedSet, ...] = Field((), description="Accuracy and calibration are measured on them too.")
    network: Named | None = Field(None, description="The architecture of the models that the study trains.")
    layers: tuple[str, ...] | None = Field(None, description="Layers of it that probes read; by default its blocks.")
    epochs: int | None = Field(None, ge=1, description="Training length; by default each strategy's own.")
    models: tuple[AnyModel, ...] = Field(min_length=1)
    detectors: Annotated[tuple[Named, ...], BeforeValidator(_every_detector)] = Field(
        default_factory=_usual_detectors,
        min_length=1,
        description="By default those of outfield that cost little beside the passes (`outfield list detectors`); "
        "`all` are all of outfield's own. Those of other packages are named.",
    )
    estimators: tuple[Named, ...] = Field(
        (),
        description="Of accuracy without labels: what they say of the ID test set and of every shift, from the labels "
        "of ID-val, which no model should have seen. By default none.",
    )
    analyses: tuple[Named, ...] = Field(
        (), description="Analyses whose parameters are not the defaults; a report shows every other one as it is."
    )
    separability: bool = Field(
        False,
        description="Also how far a linear function of the features tells each OOD set from the ID test set, which no "
        "detector may know: the metric `linear_separability`.",
    )
    tuning: Tuning | None = None
    full_spectrum: bool = Field(
        False,
        description="Detectors also score the shifted ID inputs. Rows whose metric ends in `_full_spectrum` set ID and "
        "shifted ID inputs together against each OOD set (OpenOOD v1.5).",
    )
    fit_on: Literal["all", "right"] = Field(
        "all", description="Training inputs that detectors learn from: `all`, or those that the model gets `right`."
    )
    half: bool = Field(False, description="Keep features as float16.")
    batch: int = Field(256, ge=1, description="Inputs of one forward pass.")
    probe_limit: int | None = Field(
        None,
        ge=1,
        description="Detectors that query the model beyond its forward pass (their probes) are fitted and measured on "
        "at most so many inputs of each set: a seeded sample, each class (or part) with its share. The others, "
        "accuracy and calibration use every input.",
    )
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _consistent(self) -> Spec:
        if problems := [*_unusable(self), *_repeated(self), *_of_id(self), *_of_task(self)]:
            raise ValueError("\n".join(problems))
        return self

    @property
    def id_name(self) -> str:
        """What the reports call the ID data."""
        return "ID" if self.id is None else self.id.name

    @property
    def task_name(self) -> str:
        """The name of the task, as rows say it."""
        return "classify" if self.task is None else self.task.name

    @classmethod
    def load(cls, path: str | Path, data: str | Path | None = None) -> Self:
        """A study from its YAML file, its relative paths made absolute.

        Parameters
        ----------
        path : path of the file
        data : path, optional
            The data root, before ``$OUTFIELD_DATA`` and the file's own ``data``.

        Raises
        ------
        Problems
            Everything that is wrong with the file, together.
        """
        path = Path(path)
        content = strict_yaml.read(path)
        return cls.parse(_rooted(content, _root(path, content, data)), path.name)

    @classmethod
    def parse(cls, content: Any, where: str = "the study") -> Self:
        """A study from plain values, its problems collected; relative paths start from the working folder."""
        if not isinstance(content, dict):
            raise UserError(f"Expected a mapping of fields in {where}, but got {type(content).__name__}.")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise Problems(where, dict.fromkeys([*_readable(error), *_unusable_parts(content)])) from None


def _root(path: Path, content: Any, data: str | Path | None) -> Path:
    """The folder that relative paths of a study file start from."""
    stated = content.get("data") if isinstance(content, dict) else None
    named = data or (stated and os.environ.get(ROOT_VARIABLE))
    root = home(named) if named else path.parent / home(str(stated or "."))
    return Path(os.path.abspath(root))


def _rooted(content: Any, root: Path) -> Any:
    """A study's content with the paths of its sources and weights below the data root."""
    if not isinstance(content, dict):
        return content
    fields = ("task", "id", "ood", "tuning", "streams", "shifted")
    parts = {field: sources_below(content[field], root) for field in fields if field in content}
    models = [_model(model, root) for model in _list(content.get("models"))]
    stated = {"data": str(root)} if "data" in content else {}
    return content | parts | stated | ({"models": models} if models else {})


def _model(model: Any, root: Path) -> Any:
    """An entry of the models with the paths of its files below the data root."""
    if not isinstance(model, dict):
        return model
    if "weights" in model:
        return model | {"weights": [_below(root, one) for one in _listed(model["weights"])]}
    reference = model.get("model")
    if isinstance(reference, str) and (file := file_of(reference)):
        return model | {"model": reference.replace(file, _below(root, file))}
    return model


def file_of(reference: str) -> str:
    """The file that a reference of ``open_model`` names; empty where it names none.

    Examples
    --------
    >>> file_of("onnx:net.onnx"), file_of("zoo/nets.py:resnet"), file_of("ridge.skops"), file_of("timm:resnet18")
    ('net.onnx', 'zoo/nets.py', 'ridge.skops', '')
    """
    kind, _, rest = reference.partition(":")
    if kind in ("onnx", "sklearn", "weights"):
        return rest
    path, _, function = reference.rpartition(":")
    return path if path.endswith(".py") and function else reference if reference.endswith((".onnx", ".skops")) else ""


def sources_below(value: Any, root: Path) -> Any:
    """A source, or what holds sources, with its paths below the root."""
    if isinstance(value, list):
        return [sources_below(one, root) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _below(root, one) if _is_path(name, one) else sources_below(one, root) if name != "classes" else one
        for name, one in value.items()
    }


def _is_path(name: str, value: Any) -> bool:
    if not isinstance(value, str) or value.startswith("hub:"):
        return False
    return name in ("path", "root") or (name == "labels" and value.endswith(".npy"))


def _below(root: Path, path: Any) -> Any:
    return str(root / home(path)) if isinstance(path, str | Path) else path


def shipped(name: str) -> Path:
    """The file of a study that comes with outfield.

    Examples
    --------
    >>> shipped("digits").name
    'digits.yaml'
    >>> shipped("didgits")
    Traceback (most recent call last):
    outfield.errors.UserError: There is no study 'didgits' that comes with outfield. Give the path of a ...
    """
    here = Path(__file__).parent
    for folder in (here / "shipped", here.parents[2] / "studies"):
        if (path := folder / f"{name}.yaml").is_file():
            return path
    raise UserError(f"There is no study {name!r} that comes with outfield. Give the path of a study file.")


def _plugins(spec: Spec) -> Iterator[tuple[str, str, Plugin]]:
    """Where, kind and plug-in of everything that a study names."""
    yield "resources.executor", "executors", Plugin(name=spec.resources.executor)
    if spec.task is not None:
        yield "task", "tasks", spec.task
    for split in ("train", "val", "test") if spec.id is not None else ():
        yield f"id.{split}", "sources", getattr(spec.id, split)
    sets = {"ood": spec.ood, "tuning.ood": spec.tuning.ood if spec.tuning else ()}
    for where, members in sets.items():
        for i, member in enumerate(members):
            yield f"{where}[{i}].source", "sources", member.source
    yield from ((f"streams.{role}", "sources", source) for role, source in spec.streams.items())
    yield from ((f"shifted[{i}].source", "sources", one.source) for i, one in enumerate(spec.shifted))
    yield from ((f"shifts[{i}]", "shifts", shift.shift) for i, shift in enumerate(spec.shifts))
    yield from ((f"detectors[{i}]", "detectors", detector) for i, detector in enumerate(spec.detectors))
    yield from ((f"estimators[{i}]", "estimators", estimator) for i, estimator in enumerate(spec.estimators))
    yield from ((f"analyses[{i}]", "analyses", analysis) for i, analysis in enumerate(spec.analyses))
    yield from (
        (f"models[{i}].strategy", "strategies", model.strategy)
        for i, model in enumerate(spec.models)
        if isinstance(model, Trained)
    )


def _unusable(spec: Spec) -> Iterator[str]:
    for where, kind, plugin in _plugins(spec):
        yield from _fault(where, kind, plugin)
    networks = [("network", spec.network)] if spec.network else []
    networks += [(f"models[{i}].network", m.network) for i, m in enumerate(spec.models) if isinstance(m, Stored)]
    for where, network in networks:
        try:
            registry.check("networks", network.name, network.params)
        except UserError as error:
            yield f"{where}: {error}"
    for i, model in enumerate(spec.models):
        if isinstance(model, Stored):
            yield from _stored_faults(f"models[{i}]", model)
    own = spec.task is not None and registry.find("tasks", spec.task.name).network
    if spec.network is None and not own and any(isinstance(model, Trained) for model in spec.models):
        yield "network: missing; the models that the study trains need an architecture"
    for i, model in enumerate(spec.models):
        if isinstance(model, Fitted):
            yield from _unfit(f"models[{i}].estimator", model.estimator)


def _unfit(where: str, estimator: Plugin) -> Iterator[str]:
    from outfield.models.sklearn import estimator_of

    try:
        estimator_of(estimator.name, estimator.params)
    except UserError as error:
        yield f"{where}: {error}"


def _of_task(spec: Spec) -> Iterator[str]:
    """A study names a task with its data, or the data of a classification."""
    if spec.task is None:
        if spec.id is None:
            yield "id: missing; name the ID data, or a task that brings its own"
        if not spec.ood:
            yield "ood: missing; name an OOD set, or a task that brings its own"
        return
    given = ("id", "ood", "shifts", "shifted", "streams", "tuning")
    for field in (name for name in given if getattr(spec, name)):
        yield f"{field}: the task {spec.task.name!r} brings its data itself; write them below task, or leave one out"


def _stored_faults(where: str, model: Stored) -> Iterator[str]:
    from outfield.models.preprocess import Pictures

    known = [one.name for one in fields(Pictures)]
    if unknown := [name for name in model.preprocess if name not in known]:
        yield f"{where}.preprocess: no {', '.join(map(repr, unknown))}; there are {', '.join(known)}"
    try:
        TypeAdapter(Pictures).validate_python(model.preprocess)
    except ValidationError as error:
        yield from (f"{where}.preprocess.{line}" for line in _readable(error))
    except UserError as error:
        yield f"{where}.preprocess: {error}"
    for pattern in model.rename:
        try:
            re.compile(pattern)
        except re.error as error:
            yield f"{where}.rename: {pattern!r} is no regular expression ({error})"


def _fault(where: str, kind: str, plugin: Plugin) -> Iterator[str]:
    try:
        made = plugin.build(kind)
        if kind == "estimators" and made.needs_second:
            yield f"{where}: {plugin.name!r} compares two models, and a study measures each alone; leave it out"
        if kind == "tasks":
            for _ in made.wanted(0):
                pass
    except Problems as error:
        yield from (f"{where}.{problem}" for problem in error.problems)
    except UserError as error:
        yield f"{where}: {error}"


def unfit_estimators(estimators: Iterable[Plugin]) -> Iterator[str]:
    """What keeps estimators of accuracy from a study.

    Examples
    --------
    >>> [*unfit_estimators([Plugin(name="agreement")])]
    ["estimators[0]: 'agreement' compares two models, and a study measures each alone; leave it out"]
    """
    for i, estimator in enumerate(estimators):
        yield from _fault(f"estimators[{i}]", "estimators", estimator)


def _unusable_parts(content: dict[str, Any]) -> Iterator[str]:
    """Faults of the plug-ins of a file that does not validate as a whole: they are told together with the rest."""
    for where, kind, named in _written(content):
        with suppress(ValidationError):
            plugin = _plugin().validate_python(named)
            yield from _unfit(where, plugin) if kind == "sklearn" else _fault(where, kind, plugin)


def _written(content: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Where, kind and text of the plug-ins of an unchecked file."""
    yield "task", "tasks", content.get("task")
    splits = _map(content.get("id"))
    yield from ((f"id.{split}", "sources", splits.get(split)) for split in ("train", "val", "test"))
    for kind in ("detectors", "estimators"):
        yield from ((f"{kind}[{i}]", kind, member) for i, member in enumerate(_list(content.get(kind))))
    kinds = {"ood": {"source": "sources"}, "models": {"strategy": "strategies", "estimator": "sklearn"}}
    for field, inner in kinds.items():
        members = enumerate(map(_map, _list(content.get(field))))
        yield from ((f"{field}[{i}].{key}", inner[key], one[key]) for i, one in members for key in inner if key in one)


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


@cache
def _plugin() -> TypeAdapter[Plugin]:
    return TypeAdapter(Named)


def _repeated(spec: Spec) -> Iterator[str]:
    names = {
        "ood": [member.name for member in spec.ood],
        "shifted": [member.name for member in spec.shifted],
        "tuning.ood": [member.name for member in spec.tuning.ood] if spec.tuning else [],
        "models": [name for model in spec.models for name in model.names],
    }
    for where, values in names.items():
        for name in sorted({value for value in values if values.count(value) > 1}):
            yield f"{where}: the name {name!r} is used more than once"


def _of_id(spec: Spec) -> Iterator[str]:
    """Sets that have the name of an ID set: rows and scores tell the two apart by name."""
    named = {"ood": [one.name for one in spec.ood], "shifted": [one.name for one in spec.shifted]}
    for field, names in named.items():
        what = "OOD" if field == "ood" else "shifted"
        for i, name in enumerate(names):
            if name in ("train", "val", "test"):
                yield f"{field}[{i}].name: {name!r} is what an ID set is called; give the {what} set another name"


def _readable(error: ValidationError) -> Iterator[str]:
    """A line for each problem: where, what was expected, what came."""
    problems = error.errors()
    for problem in problems:
        where = _place(problem["loc"])
        prefix = f"{where}: " if where else ""
        if problem["type"] == "value_error":
            yield from (prefix + line for line in str(problem["ctx"]["error"]).splitlines())
        elif problem["type"] == "too_short" and any(_inside(other["loc"], problem["loc"]) for other in problems):
            continue
        else:
            yield prefix + _said(problem["type"], problem["msg"], problem["input"])


def _said(kind: str, message: str, value: Any) -> str:
    if kind in ("missing", "extra_forbidden"):
        return {"missing": "missing", "extra_forbidden": "there is no such field"}[kind]
    shown = repr(value)
    return f"{message[0].lower()}{message[1:]}, but got {shown if len(shown) <= LONGEST else shown[:LONGEST] + ' ...'}"


def _inside(location: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(location) > len(outer) and location[: len(outer)] == outer


def _place(location: tuple[int | str, ...]) -> str:
    of_model = len(location) > 2 and location[0] == "models"  # then the kind of model is told between
    parts = location[:2] + location[3:] if of_model else location
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
