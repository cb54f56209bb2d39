"""Which column of anyone's table holds what: as it is named, by a pattern, or guessed and said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
import polars as pl
import polars.selectors as cs

from outfield.errors import UserError, listed, with_and
from outfield.stats.frames import require
from outfield.tables.cells import Numbers, names, numbers
from outfield.tables.shares import is_detection
from outfield.tables.text import Ignored
from outfield.types import Array

MOST_MEASURES = 40
"""OOD measures that are taken without being asked for."""
LEAST = 4
"""Rows from which two columns of the same values are copies."""
ROUNDING = 2e-4
"""How far two columns of shares may be apart as copies: what tables round."""
NEARLY = 0.9
"""The share of rows that a column of names tells apart."""
FILLED = 0.8
"""The share of cells that a measure must have to be taken without being asked for."""
TIERS = (
    r"id|val(idation)?|id[ _-]?(acc|accuracy|top-?1|performance|measure)\.?|in[ _-]?dist(ribution)?\w*",
    r"(.*[ _-])?(val|valid|validation|dev|clean|source)([ _-].*)?",
    r"acc\.?|accuracy|top-?1|top-?1[ _-]acc(uracy)?|(.*[ _-])?test[ _-]acc(uracy)?|acc(uracy)?[ _-]test",
    r"(.*/)?(imagenet|in)([ _-]?1k)?([ _-]?(val|top-?1|acc))?|ilsvrc\w*",
)
"""Names of ID measures, those that tell most first."""
PROPERTY = re.compile(
    r"(^|[^a-z])(params?|parameters|param count|flops|g?macs|size|img|image size|crop|epochs?|lr|learning rate|wd|rank|"
    r"diff|delta|steps?|seed|year|date|count|throughput|time|latency|memory|tokens?|batch|eps|epsilon|idx|index|"
    r"unnamed|number|depth|width|layers|resolution|passes|temperature)($|[^a-z])"
)
"""Words in the names of columns that are no measures of a model."""
LOSS = re.compile(r"(^|[^a-z])(loss|nll|ppl|perplexity|crossentropyloss|bpb|mce|mfr|brier|rmse|mse|mae)($|[^a-z])")
MEAN = re.compile(r"(^|[^a-z])(average|avg|mean|overall)($|[^a-z])")
SAME_SET = re.compile(r"(.*[ _-])?(top-?[2-9]\d*|f1([ _-]\w+)?|macro[ _-]?f1|precision|recall|kappa|mcc)")
SPREAD = re.compile(r"(?P<of>.+?)[ _-]*(?P<kind>stderr|std[ _-]?err|se|std|sd|stdev|error bar)")
STANDARD_ERROR = re.compile(r"(stderr|std[ _-]?err|se)$")
STEP = re.compile(r"_?(global[ _-]?|training[ _-]?)?(steps?|iter(ation)?s?|checkpoint|epoch)")
FAMILY = ("family", "category", "lineage", "group")
MODEL = ("model", "model_name", "model name", "name", "id", "run", "method", "network", "net", "architecture", "arch")


@dataclass(frozen=True)
class Roles:
    """What the columns of a wide table are.

    Parameters
    ----------
    model : tuple of str
        Columns whose names together name a row's model.
    id, ood, ece : the measures
    family, strategy : columns of names, or None
    step : str or None
        The column that counts along a run, where the rows are checkpoints of runs.
    errors : mapping
        Measures to the columns of their standard errors or standard deviations.
    notes : tuple of str
        What was guessed.
    ignored : tuple of (what, name, why)
    """

    model: tuple[str, ...]
    id: str
    ood: tuple[str, ...]
    ece: str | None = None
    family: str | None = None
    strategy: str | None = None
    step: str | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns of names."""
        found = (*self.model, self.strategy, self.family)
        return tuple(dict.fromkeys(name for name in found if name))


def matching(pattern: str, columns: Sequence[str]) -> list[str]:
    """Columns of this name, else those that a glob or a regular expression matches; the name itself where none does.

    Examples
    --------
    >>> matching("imagenet-*", ["model", "imagenet-a", "imagenet-r"]), matching("acc|top1", ["top1"])
    (['imagenet-a', 'imagenet-r'], ['top1'])
    """
    if pattern in columns:
        return [pattern]
    found = [name for name in columns if fnmatchcase(name, pattern)] or _expressed(pattern, columns)
    return found or [pattern]


def _expressed(pattern: str, columns: Sequence[str]) -> list[str]:
    try:
        return [name for name in columns if re.fullmatch(pattern, name)]
    except re.error:
        return []


def one(option: str, pattern: str | None, columns: Sequence[str]) -> str | None:
    """The one column that a pattern names.

    Raises
    ------
    UserError
        Several columns match.

    Examples
    --------
    >>> one("--id", "*val*", ["model", "in1k val"])
    'in1k val'
    """
    if pattern is None:
        return None
    found = matching(pattern, columns)
    if len(found) > 1:
        raise UserError(f"Expected one column for {option} {pattern}, but {listed(found)} match. Name one of them.")
    return found[0]


def _chosen(patterns: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that some patterns name, each once; a name that is given twice stays twice, to be told."""
    if len(set(patterns)) < len(patterns):
        return tuple(patterns)
    return tuple(dict.fromkeys(name for each in patterns for name in matching(each, columns)))


def roles(
    frame: pl.DataFrame, *, model: str | None = None, family: str | None = None, strategy: str | None = None,
    id: str | None = None, ood: Sequence[str] = (), ece: str | None = None, error: str | None = None,
    step: str | None = None,
) -> Roles:  # fmt: skip
    """The roles of a wide table's columns: those given (names, globs or regular expressions), the others guessed.

    Parameters
    ----------
    frame : a row a model
    model : a column, or several joined by ``+``; by default one called model, else names that tell the rows apart
    id : by default the one column whose name says so
    ood : by default all other columns of shares that are measured on sets of their own
    error : pattern of columns of errors, in which ``{}`` stands for a measure's name

    Raises
    ------
    UserError
        A column is not there; no column, or more than one, may be meant: the message names them.

    Examples
    --------
    >>> table = {"net": list("abcde"), "val": [0.7, 0.8, 0.9, 0.6, 0.5], "sketch": [0.1, 0.2, 0.3, 0.4, 0.2]}
    >>> found = roles(pl.DataFrame(table | {"params": [5, 6, 7, 8, 9]}))
    >>> found.model, found.id, found.ood, found.ignored[0][1]
    (('net',), 'val', ('sketch',), 'params')
    """
    columns = frame.columns
    listed_once = len(set(ood)) == len(ood)
    chosen = (
        tuple(dict.fromkeys(name for each in ood for name in matching(each, columns))) if listed_once else tuple(ood)
    )
    named = {"id": id, "ece": ece, "family": family, "strategy": strategy, "step": step}
    found = {option: one(f"--{option}", pattern, columns) for option, pattern in named.items()}
    guess = _Guess(frame, given=[*chosen, *(name for name in found.values() if name)])
    names_, notes = guess.model(model, found["strategy"])
    known = Roles(names_, found.pop("id") or "", chosen, **found)  # type: ignore[arg-type]  # names or None
    if not (known.id and chosen):
        known = guess.measures(known)
    require(frame, [*known.labels, known.id, *known.ood, *([known.ece] if known.ece else [])])
    if known.step is None and (counted := guess.step(known)):
        notes += (f"The rows are checkpoints of runs: {counted} counts along each.",)
        known = replace(known, step=counted)
    errors, said = _errors(columns, (known.id, *known.ood), error)
    used = {*errors.values(), known.step, *known.labels}
    left = tuple(each for each in known.ignored if each[1] not in used)
    return replace(known, errors=errors, notes=(*notes, *known.notes, *said), ignored=left)


def _errors(
    columns: Sequence[str], measured: Sequence[str], pattern: str | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Columns of errors by their measure, and what was guessed."""
    if pattern is not None:
        return _errors_named(columns, measured, pattern), ()
    spreads = {name: each for name in columns if (each := SPREAD.fullmatch(name)) and name not in measured}
    found = {each["of"]: name for name, each in spreads.items() if each["of"] in measured}
    kinds = {"standard errors" if is_standard_error(name) else "standard deviations" for name in found.values()}
    holds = "holds" if len(found) == 1 else "hold"
    said = f"Guessed: {listed(list(found.values()))} {holds} {' and '.join(sorted(kinds))}."
    return found, (said,) if found else ()


def is_standard_error(column: str) -> bool:
    """Whether the name of a column of spreads says that they are standard errors.

    Examples
    --------
    >>> is_standard_error("acc_stderr"), is_standard_error("acc_std")
    (True, False)
    """
    return STANDARD_ERROR.search(column) is not None


def _errors_named(columns: Sequence[str], measured: Sequence[str], pattern: str) -> dict[str, str]:
    if "{}" not in pattern and len(measured) > 1:
        raise UserError(
            f"Expected a pattern with {{}} for the measure's name, or a file, after --error, but got {pattern!r}. "
            "Write for example --error '{}_stderr'."
        )
    named = {name: pattern.replace("{}", name) for name in measured}
    if not (found := {name: error for name, error in named.items() if error in columns}):
        raise UserError(
            f"Expected columns of errors as {pattern} says, for example {named[measured[0]]}, but the table has "
            f"{listed(list(columns), most=12)}. Name the pattern of its columns."
        )
    return found


class _Guess:
    """What the names and the cells of a table's columns tell."""

    def __init__(self, frame: pl.DataFrame, given: Sequence[str]) -> None:
        self.frame, self.given = frame, given

    def numbers(self, name: str) -> Numbers | None:
        try:
            return numbers(self.frame, name)
        except UserError:
            return None

    @cached_property
    def text(self) -> list[str]:
        """Columns of names: text that holds no numbers."""
        schema = self.frame.select(~cs.by_name(*self.given, require_all=False) & (cs.string() | cs.categorical()))
        return [name for name in schema.columns if self.numbers(name) is None]

    def model(self, given: str | None, strategy: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns that name a model, and what was guessed."""
        columns = self.frame.columns
        if given is not None:
            parts = [given] if given in columns else given.split("+")
            return tuple(name for part in parts for name in matching(part, columns)), ()
        if "model" in columns or strategy is not None:
            return (("model",) if "model" in columns else (str(strategy),)), ()
        if not self.text:
            raise UserError(
                f"Expected a column that names the models, but none of {listed(columns, most=8)} holds text. Write: "
                "outfield analyse TABLE --model COLUMN."
            )
        usual = sorted(self.text, key=lambda name: [*MODEL, name.casefold()].index(name.casefold()))
        if alone := next((name for name in usual if self._distinct([name]) > NEARLY), None):
            return (alone,), (f"Guessed: {alone} names the models.",)
        several = self._telling_apart()
        together = "together name" if len(several) > 1 else "names"
        return several, (f"Guessed: {with_and(several)} {together} the models.",)

    def _telling_apart(self) -> tuple[str, ...]:
        """The columns of names that tell more rows apart, each with those before it."""
        chosen: list[str] = []
        for name in self.text:
            if self._distinct([*chosen, name]) > self._distinct(chosen):
                chosen.append(name)
        return tuple(chosen)

    def _distinct(self, columns: Sequence[str]) -> float:
        """The share of rows that these columns tell apart."""
        return self.frame.select(columns).n_unique() / self.frame.height if columns else 0.0

    def step(self, known: Roles) -> str | None:
        """The column that counts along runs: its numbers differ within most models."""
        free = [name for name in self.frame.columns if name not in (*known.labels, known.id, *known.ood)]
        return next((name for name in free if STEP.fullmatch(name.casefold()) and self._counts(name, known)), None)

    def _counts(self, name: str, known: Roles) -> bool:
        """Whether a column of numbers takes more than two values in most models."""
        if not (known.model and self.frame.schema[name].is_numeric()):
            return False
        steps = self.frame.group_by(known.model).agg(pl.col(name).n_unique())[name].to_numpy()
        return float(np.median(steps)) > 2

    def measures(self, known: Roles) -> Roles:
        """The roles with the ID and OOD measures, where they are not named."""
        candidates, ignored = self._candidates((*known.labels, known.id, *known.ood, *filter(None, [known.ece])))
        ece = known.ece or next((name for name in candidates if name.casefold() == "ece"), None)
        candidates = [name for name in candidates if name != ece]
        id, notes = (known.id, ()) if known.id else _id(candidates, ignored)
        if known.ood:
            return replace(known, id=id, ece=ece, notes=notes, ignored=ignored)
        others = [name for name in candidates if name != id]
        ood, same = _ood(others, id)
        _enough(ood, others, id, ignored)
        notes += (f"Guessed: the OOD measures are {listed(list(ood), most=12)}.",)
        family = known.family or next(
            (each for each in self.text if each.casefold() in FAMILY and each not in known.model), None
        )
        if family != known.family:
            notes += (f"Guessed: {family} names the families.",)
        return replace(known, id=id, ood=ood, ece=ece, family=family, notes=notes, ignored=(*ignored, *same))

    def _candidates(self, taken: Sequence[str]) -> tuple[list[str], tuple[Ignored, ...]]:
        """Columns that may be measures, and why the others are none."""
        found: dict[str, Array] = {}
        ignored: list[Ignored] = []
        for name in self.frame.columns:
            if name in taken:
                continue
            if why := _no_name(name, self.frame.columns) or self._no_share(name):
                ignored.append(("column", name, why))
                continue
            values = numbers(self.frame, name).values.to_numpy().astype(float)
            if why := _copy(values, found):
                ignored.append(("column", name, why))
            else:
                found[name] = values
        return list(found), tuple(ignored)

    def _no_share(self, name: str) -> str:
        """Why the cells of a column are no shares; empty where they may be."""
        found = self.numbers(name)
        if found is None:
            kind = self.frame.schema[name]
            return (
                f"it holds text, as {self.frame[name].drop_nulls()[0]!r}" if kind == pl.String else f"it holds {kind}"
            )
        known = found.values.drop_nulls().to_numpy()
        if len(known) < FILLED * self.frame.height:
            return f"{self.frame.height - len(known)} of its {self.frame.height} cells are empty"
        if known.size > 2 and known.min() in (0, 1) and (np.diff(np.sort(known)) == 1).all():
            return "it numbers the rows"
        if known.size and (known.min() < 0 or known.max() > 100):
            return f"its values run from {known.min():g} to {known.max():g}: neither shares nor percent"
        return ""


def _copy(values: Array, found: Mapping[str, Array]) -> str:
    """Which column has the same values, or what they lack to the whole; empty where none has."""
    if not found or len(values) < LEAST:
        return ""
    others = np.array(list(found.values()))
    for whole, word in ((0, "it repeats {}"), (1, "it is 1 minus {}"), (100, "it is 100 minus {}")):
        apart = np.abs(others - (whole - values if whole else values))
        same = np.flatnonzero((np.nan_to_num(apart) <= ROUNDING * max(whole, 1)).all(axis=1))
        if same.size:
            return word.format(list(found)[same[0]])
    return ""


def _enough(ood: Sequence[str], others: Sequence[str], id: str, ignored: Sequence[Ignored]) -> None:
    """``UserError`` where no OOD measure is known, or so many that the user should choose."""
    if not ood:
        same = f" ({listed(list(others))} seem to be of the set of {id})" if others else ""
        raise UserError(
            f"Expected OOD measures beside {id}, but no column holds one{same}{_reasons(ignored)}. Join the columns of "
            f"other sets to the table, or write: outfield analyse TABLE --id {id!r} --ood COLUMN COLUMN."
        )
    if len(ood) > MOST_MEASURES:
        raise UserError(
            f"Expected to be told which of {len(ood)} columns are the OOD measures ({listed(list(ood))}). Write: "
            f"outfield analyse TABLE --id {id!r} --ood {ood[0]!r} {ood[1]!r}, or a pattern as --ood 'imagenet-*'."
        )


def _no_name(name: str, columns: Sequence[str]) -> str:
    """Why a column is no measure, by its name; empty where it may be one."""
    plain = name.casefold()
    if not plain.strip() or PROPERTY.search(plain.replace("_", " ")):
        return "its name is not that of a measure"
    if LOSS.search(plain):
        return "a loss is no share of items"
    if (spread := SPREAD.fullmatch(name)) and spread["of"] in columns:
        return f"it is the spread of {spread['of']}"
    if plain.endswith("_err") and name[: -len("_err")] in columns:
        return f"it is the error of {name[: -len('_err')]}"
    return "by its name it is a mean over other measures" if MEAN.search(plain.replace("_", " ")) else ""


def _bare(name: str) -> str:
    """A name in small letters without its unit and arrows: acc of ``Acc (%) ↑``."""
    return re.sub(r"[(\[]?[%↑↓][)\]]?", "", name.casefold()).strip(" _")


def _reasons(ignored: Sequence[Ignored]) -> str:
    """Why columns are no measures, in a list that begins with a colon; empty where there are none."""
    each = [f"{name!r}, for {why}" for what, name, why in ignored if what == "column"]
    return f": not {listed(each)}" if each else ""


def _id(candidates: Sequence[str], ignored: Sequence[Ignored]) -> tuple[str, tuple[str, ...]]:
    """The ID measure by its name."""
    for tier in TIERS:
        if found := [name for name in candidates if re.fullmatch(tier, _bare(name))]:
            if len(found) > 1:
                raise UserError(_ask("which of several columns is the ID measure", found, ignored))
            return found[0], (f"Guessed: {found[0]} is the ID measure.",)
    raise UserError(_ask("the ID measure, for no column's name tells it", candidates, ignored))


def _ood(candidates: Sequence[str], id: str) -> tuple[tuple[str, ...], list[Ignored]]:
    """The OOD measures among the others: AUROCs and the like where there are such, else all that have a set's name."""
    same = [name for name in candidates if SAME_SET.fullmatch(_bare(name)) and not is_detection(name)]
    left = [name for name in candidates if name not in same]
    detection = [name for name in left if is_detection(name)]
    others = [name for name in left if detection and name not in detection]
    ignored = [("column", name, f"it seems another measure of the set of {id}") for name in same]
    ignored += [("column", name, "it is no measure of detection, as the OOD measures are") for name in others]
    return tuple(detection or left), ignored


def _ask(what: str, candidates: Sequence[str], ignored: Sequence[Ignored]) -> str:
    """A question on the ID measure, its candidates, and the command that answers it."""
    none = f"No column holds shares or percent{_reasons(ignored)}."
    of = f"Candidates: {listed([*candidates], most=12)}." if candidates else none
    first = repr(candidates[0]) if candidates else "COLUMN"
    return f"Expected to be told {what}. {of} Write: outfield analyse TABLE --id {first} --ood COLUMN COLUMN."


def joined(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Names of several columns as one, null where all are empty.

    Examples
    --------
    >>> joined(pl.DataFrame({"name": ["ViT", "ViT"], "data": ["laion", None]}), ["name", "data"]).to_list()
    ['ViT, laion', 'ViT']
    """
    if len(columns) == 1:
        return names(frame, columns[0])
    parts = pl.DataFrame([names(frame, name) for name in columns])
    text = parts.select(pl.concat_str(pl.all(), separator=", ", ignore_nulls=True)).to_series()
    return pl.select(pl.when(text != "").then(text)).to_series().rename(columns[0])
