"""What a profile says of a published table: where it is from, under which licence, and how its files are read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from outfield import strict_yaml
from outfield.errors import Problems, UnknownName, UserError, listed
from outfield.stats.base import Level

PACKAGE = Path(str(files("outfield")))
SHIPPED = PACKAGE / "tables" / "profiles"
EXTRACTS = Path("tables", "extracts")
MADE = ("model", "family", "kin", "run", "step")
"""Columns that a reading makes of a row's names, beside the measures."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"expected a regular expression, but got {text!r} ({error})") from None
    return text


def _sequence(value: Any) -> Any:
    """A YAML list as a tuple; one value alone as a tuple of it."""
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str | dict) else value


def _named(value: Any) -> Any:
    """Measures as name: column; a column that is given alone keeps its name."""
    if isinstance(value, str):
        return {value: value}
    return {one: one for one in value} if isinstance(value, list) and all(isinstance(v, str) for v in value) else value


def _written(value: Any) -> Any:
    """Cells as the file has them: text; a number in YAML is taken as it is written there."""
    several = value if isinstance(value, list) else [value]
    plain = (int, float)
    return tuple(str(one) if isinstance(one, plain) and not isinstance(one, bool) else one for one in several)


Pattern = Annotated[str, AfterValidator(_pattern)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_sequence)]
Columns = Annotated[dict[str, str], BeforeValidator(_named)]
Cells = Annotated[tuple[str | None, ...], BeforeValidator(_written)]
Where = dict[str, Cells]
"""Columns to the cells that count: as written, a /pattern/ that is found in them, or null for an empty one."""


class Name(_Strict):
    """A text of each row: a column or ``"{several} of {them}"``; where a pattern is found, its groups alone.

    Examples
    --------
    >>> name = Name(of="{model} at {size}", patterns=("^([a-z]+)", "at (.*)"))
    >>> name.columns, name.told("resnet50 at 224"), name.told("50 at 224"), name.told("50")
    (('model', 'size'), 'resnet', '224', '50')
    """

    of: str = Field(min_length=1)
    patterns: Annotated[tuple[Pattern, ...], BeforeValidator(_sequence)] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of which the text is made."""
        return tuple(re.findall(r"{([^{}]+)}", self.of)) or (self.of,)

    def told(self, text: str) -> str:
        """What the first pattern that is found says of a text; the text where none is."""
        found = next(filter(None, (re.search(pattern, text) for pattern in self.patterns)), None)
        return text if found is None else " ".join(filter(None, found.groups())) or found[0]

    def column(self, frame: pl.DataFrame) -> pl.Series:
        """The text of every row of a table."""
        whole = pl.format(re.sub(r"{[^{}]+}", "{}", self.of), *self.columns) if "{" in self.of else pl.col(self.of)
        texts = frame.select(whole.cast(pl.String)).to_series()
        known = texts.drop_nulls().unique()
        told = pl.Series([self.told(text) for text in known], dtype=pl.String)
        return texts.replace_strict(known, told, default=None, return_dtype=pl.String)


def _name(value: Any) -> Any:
    return {"of": value} if isinstance(value, str) else value


Text = Annotated[Name, BeforeValidator(_name)]


class Part(_Strict):
    """One file, and what its columns are called beside those of the other files."""

    file: str = Field(min_length=1)
    columns: dict[str, str] = Field(default_factory=dict, description="Name in the file: name in the joined table.")


class Errors(_Strict):
    """Standard errors of the cells: columns of the same name in a file of their own, or columns beside the measures."""

    file: str = ""
    column: str = Field("{}", description="Name of the column of errors; {} is the column of the measure.")


class LeftOut(_Strict):
    """Rows that are no rows of models, or none to be used, and why."""

    where: Where
    why: str = Field(min_length=1)


class Statement(_Strict):
    """What a paper states, to be put beside what its table supports."""

    topic: str
    text: str


class Paper(_Strict):
    """What a paper states about its table; shares are of the variance, between 0 and 1."""

    statements: dict[str, Statement] = Field(default_factory=dict)
    pooled_rows: int = 0
    shares: dict[str, float] = Field(default_factory=dict)
    friedman: float = float("nan")
    treatments: int = 0
    sets: int = 0


class Reading(_Strict):
    """How the files of a table are read. Every name of a measure is ours; every column is the file's."""

    files: Annotated[tuple[Annotated[Part, BeforeValidator(lambda v: {"file": v} if isinstance(v, str) else v)], ...],
                     BeforeValidator(_sequence)] = ()  # fmt: skip
    keys: Texts = Field(
        (), description="Columns on which the files are joined: their cells tell a row from all others."
    )
    model: Text = Name(of="model")
    family: Text | None = None
    kin: Text | None = Field(None, description="What tells rows that are not independent: they share this text.")
    kinship: Level = Field("cluster", description="What rows that are kin share: a family, a network, a size.")
    strategies: bool = Field(False, description="Each model is one network, trained in another way.")
    independent: bool = Field(False, description="No rows are kin: each is a replicate of its own.")
    run: Text | None = Field(None, description="The training run of a row that is a checkpoint.")
    rerun: Pattern | None = Field(None, description="What a rerun's name has beyond that of the run it repeats.")
    step: str | None = Field(None, description="Column of the training step.")
    id: Columns = Field(default_factory=dict, description="The ID measure, as name: column.")
    ood: Columns = Field(default_factory=dict, description="The OOD measures, as name: column.")
    ood_pattern: Pattern | None = Field(None, description="Further OOD measures: columns in which this is found.")
    ece: str | None = None
    errors: Errors | None = None
    runs: int | None = Field(
        None, ge=1, description="Runs that a cell averages, where spreads are deviations over them."
    )
    items: dict[str, int] = Field(default_factory=dict, description="Items of each test set, by the measure's name.")
    kind: Literal["accuracy", "auroc"] | None = None
    scale: Literal["percent", "share"] | None = None
    higher: Texts = ()
    lower: Texts = ()
    baseline: str | None = None
    duplicates: Texts = ()
    keep: Where = Field(default_factory=dict)
    leave_out: tuple[LeftOut, ...] = Field((), strict=False)
    notes: Texts = ()

    @property
    def names(self) -> dict[str, Name]:
        """The columns of names that are made, and of what."""
        stated = {name: getattr(self, name) for name in MADE if name != "step"}
        return {name: made for name, made in stated.items() if made is not None}

    @property
    def measured(self) -> dict[str, str]:
        """The measures whose columns are named: name to column."""
        return {**self.id, **self.ood, **({self.ece: self.ece} if self.ece else {})}


class Profile(Reading):
    """A published table: where it is from, and how it is read. See ``docs/tables.md``."""

    name: str = ""
    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    url: str = ""
    commit: str = ""
    date: str = ""
    attribution: str = ""
    copyright: str = Field("", description="The notice that the licence asks to pass on.")
    columns: Texts = Field((), description="Columns by which a file of any name is known as this table.")
    studies: dict[str, Reading] = Field(default_factory=dict, description="Tables of one layout, and how each differs.")
    study: str = Field("", description="The study that is read where none is asked for.")
    extract: str = Field("", description="Folder of the files that ship, below the package; default: by its name.")
    extract_note: str = Field("", description="What of the published files ships.")
    paper: Paper = Paper()

    @property
    def cited(self) -> str:
        """Title, source, commit, date, licence and to whom it is owed, as one sentence."""
        origin = ", ".join(filter(None, (self.source, self.commit and f"commit {self.commit}", self.date)))
        return f"{self.title} ({origin}; {'; '.join(filter(None, (self.licence, self.attribution)))})."

    @property
    def shipped(self) -> Path:
        """The folder of what ships of the table; it need not be there."""
        return PACKAGE / (self.extract or EXTRACTS / self.name)

    def reading(self, study: str = "") -> Reading:
        """How a study of the table is read: the profile, and what differs.

        Raises
        ------
        UserError
            There is no such study.
        """
        if study and study not in self.studies:
            raise _no_study(self, study)
        stated = {name: getattr(self, name) for name in Reading.model_fields}
        own = self.studies.get(study)
        return Reading.model_construct(**stated | ({n: getattr(own, n) for n in own.model_fields_set} if own else {}))


def _no_study(profile: Profile, study: str) -> UserError:
    if profile.studies:
        return UnknownName("studies", study, profile.studies)
    return UserError(
        f"Expected a table without studies for the profile {profile.name}, but got --study {study}. Omit it."
    )


def names() -> tuple[str, ...]:
    """Profiles that ship."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def examples() -> tuple[str, ...]:
    """Profiles whose table, or an extract of it, ships too."""
    return tuple(name for name in names() if load(name).shipped.is_dir())


def load(name_or_path: str | Path) -> Profile:
    """A profile that ships, by name, or one's own YAML file.

    Raises
    ------
    UserError
        There is none of the name; the file cannot be read; ``Problems`` with all its mistakes.

    Examples
    --------
    >>> load("krumpl2026").id, load("timm").keys
    ({'acc': 'acc'}, ('model', 'img_size'))
    """
    path = Path(name_or_path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return parse(strict_yaml.read(path, "a profile"), str(path))
    if str(name_or_path) not in names():
        raise UnknownName("profiles", str(name_or_path), names())
    return _load(str(name_or_path))


@cache
def _load(name: str) -> Profile:
    path = SHIPPED / f"{name}.yaml"
    return parse(strict_yaml.read(path, "a profile"), str(path))


def parse(content: Any, where: str = "the profile") -> Profile:
    """A profile of plain values.

    Raises
    ------
    Problems
        All mistakes together.

    Examples
    --------
    >>> parse({"title": "t", "source": "s", "id": {"val": "top1"}, "ood": ["v2"], "kind": "acc", "lower": "v3"})
    Traceback (most recent call last):
    outfield.errors.Problems: the profile: 3 problems
      1. kind: expected 'accuracy' or 'auroc', but got 'acc'
      2. licence: missing
      3. lower: expected names of measures (val, v2), but got v3
    """
    if not isinstance(content, dict):
        raise UserError(f"Expected a profile as fields with values in {where}, but got {type(content).__name__}.")
    problems: list[str] = []
    try:
        found = Profile.model_validate({"name": Path(where).stem, **content})
    except ValidationError as error:
        problems = list(dict.fromkeys(_line(one) for one in error.errors()))
    if problems := [*problems, *_contradictions(content)]:
        raise Problems(where, dict.fromkeys(problems))
    return found


WORDS = {"missing": "missing", "extra_forbidden": "there is no such field"}


def _line(problem: Any) -> str:
    where = ".".join(map(str, problem["loc"]))
    if (kind := problem["type"]) in WORDS:
        return f"{where}: {WORDS[kind]}"
    if kind == "value_error":
        return f"{where}: {problem['ctx']['error']}"
    said = problem["msg"].removeprefix("Input should be ")
    return f"{where}: expected {said}, but got {problem['input']!r:.80}"


def _contradictions(content: Mapping[str, Any]) -> Iterator[str]:
    """What fields say against each other, of every study by itself."""
    studies = content.get("studies") or {}
    if not isinstance(studies, dict):
        return
    if (chosen := content.get("study")) and chosen not in studies:
        yield f"study: expected one of the studies ({listed(list(studies)) or 'none'}), but got {chosen}"
    for name, own in studies.items() or [("", {})]:
        before = f"studies.{name}." if name else ""
        for field, said in _unfit({**content, **own} if isinstance(own, dict) else content):
            yield f"{before if isinstance(own, dict) and field in own else ''}{field}: {said}"


def _unfit(stated: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    several = list(_sequence(stated.get("files") or ()))
    if len(several) > 1 and not stated.get("keys"):
        yield "keys", f"expected columns on which the {len(several)} files are joined, but got none"
    if stated.get("kin") and stated.get("independent"):
        yield "independent", "expected rows that are kin or independent, but got both"
    known = [_named(stated.get(name)) or {} for name in ("id", "ood", "ece")]
    if not all(isinstance(one, dict) for one in known):
        return
    if len(known[0]) != 1:
        yield "id", f"expected one ID measure, but got {len(known[0])}"
    if not known[1] and not stated.get("ood_pattern"):
        yield "ood", "expected OOD measures, or a pattern of their columns (ood_pattern), but got none"
    measured = [str(name) for one in known for name in one]
    if taken := sorted({name for name in measured if name in MADE or measured.count(name) > 1}):
        yield "ood", f"expected a name of its own for each measure, but {listed(taken)} stands for something else too"
    if not stated.get("ood_pattern"):
        yield from _strangers(stated, measured)


def _strangers(stated: Mapping[str, Any], measured: list[str]) -> Iterator[tuple[str, str]]:
    """Names of measures that are none."""
    for field in ("items", "higher", "lower"):
        given = stated.get(field) or ()
        named = list(given) if isinstance(given, dict) else _sequence(given)
        if strange := [str(name) for name in named if name not in measured]:
            yield field, f"expected names of measures ({listed(measured)}), but got {listed(strange)}"
