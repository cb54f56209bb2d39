"""Which rows of a table are kin: reruns of one configuration, members of one family, copies under another name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.spatial import cKDTree

from outfield.errors import UserError, listed, near, plural
from outfield.stats.base import Level
from outfield.tables.base import FAMILY, OWN, Measures, errors_of_means
from outfield.types import Array

ROW = "row"
LEAST = 5
"""Families below which names or a column are no sample of families."""
CHANCE = 0.05
"""Expected number of pairs that agree by chance, up to which equal rows are copies."""
NEIGHBOURHOOD = 5
MOST_DIGITS = 7
"""Of more digits it is not known how many were measured: the smallest difference is the step."""
LINEAGE: dict[str, Level] = {
    "architecture": "architecture", "arch": "architecture", "backbone": "architecture", "base_model": "family",
    "family": "family", "model_family": "family", "pretrained": "family", "pretrain": "family",
    "pretrain_data": "family", "pretraining_data": "family", "training_data": "family",
}  # fmt: skip
"""Columns that say where a model comes from, the first of them before the others, and what their values are."""
DATA = ("pretrained", "pretrain", "pretrain_data", "pretraining_data", "training_data")
"""Those of them whose values begin with the data: ``laion2b_s34b_b79k``."""

SEED = re.compile(
    r"(?:^|[\s_\-.,/(\[])(?:random[\s_-]?)?(?:seed|run|rep|replicate|replica|repeat|trial|rerun|init)"
    r"[\s_\-=.:#]*(\d+)[\])]?(?=$|[\s_\-.,/)])|[\s_\-.](rerun)(?=$|[\s_\-.])",
    re.IGNORECASE,
)
SHORT_SEED = re.compile(r"[-_ ]s(\d{1,4})$")
"""As in ``net-s1``; but ``mobileone_s1`` is a size: it takes the same numbers in several configurations."""
SIZE = re.compile(
    r"^(?:\d+(?:\.\d+)?[mb]\d*|atto|femto|pico|nano|zepto|micro|mini|tiny|small|medium|base|large|xlarge|huge|giant|xxs|xs|xl|"
    r"xxl)$",
    re.IGNORECASE,
)
IMAGE_SIZE = re.compile(r"(?:^|[_\-x])(?:r)?(128|160|192|224|240|256|288|320|336|378|384|448|512|560)(?=$|[_\-.])")


@dataclass(frozen=True)
class Name:
    """What the name of a model carries.

    Parameters
    ----------
    family : str
        Its first word, of the part after a ``/``.
    architecture : str
        What stands before ``.`` and a training tag; else the name up to its size.
    size, seed, image_size, tag : str
        Empty where the name has none.
    configuration : str
        The name without its seed.
    """

    family: str
    architecture: str
    size: str
    seed: str
    image_size: str
    tag: str
    configuration: str


def parts(name: str) -> Name:
    """What a model's name carries.

    Examples
    --------
    >>> found = parts("vit_base_patch16_224.augreg_in21k_ft_in1k")
    >>> found.family, found.architecture, found.size, found.image_size, found.tag
    ('vit', 'vit_base_patch16_224', 'base', '224', 'augreg_in21k_ft_in1k')
    >>> found = parts("EleutherAI/pythia-6.9b-deduped_seed3")
    >>> found.family, found.architecture, found.size, found.seed, found.configuration
    ('pythia', 'pythia-6.9b', '6.9b', '3', 'EleutherAI/pythia-6.9b-deduped')
    """
    seed = SEED.search(name)
    configuration = _tidied(SEED.sub(" ", name)) if seed else name.strip()
    own = configuration.lower().rsplit("/", 1)[-1]
    stem, _, tag = own.partition(dot.group()) if (dot := _tag(own)) else (own, "", "")
    image = IMAGE_SIZE.search(own)
    words = re.split(r"[_\-\s]", stem)
    size = next((word for word in words if SIZE.match(word)), "")
    return Name(
        family=re.split(r"[\s_\-./:,(]", own, maxsplit=1)[0] or own,
        architecture=stem if tag or not size else own[: own.index(size) + len(size)],
        size=size, seed=next(filter(None, seed.groups()), "") if seed else "", image_size=image[1] if image else "",
        tag=tag, configuration=configuration,
    )  # fmt: skip


def _tag(name: str) -> re.Match[str] | None:
    """The first dot that is no decimal point."""
    return re.search(r"(?<!\d)\.|\.(?!\d)|\.(?=\d+[a-z]+_)", name)


def _tidied(name: str) -> str:
    return re.sub(r"\s+(?=[_\-.,/])|\s+(?=\s)", "", name).strip(" _-.,/")


@dataclass(frozen=True)
class Kin:
    """Which rows are kin, and how it was found.

    Parameters
    ----------
    clusters : tuple of str
        What each row is kin to; empty where each stands alone.
    sentence : str
        How it was found, with its figures.
    replicates : bool
        Rows of a cluster differ in a seed alone: average them, for the configuration is the unit.
    level : str
        What the unit is: ``configuration``, ``family``, ``architecture``, ``cluster``, ``run`` or ``model`` (the row).
    """

    clusters: tuple[str, ...]
    sentence: str
    replicates: bool = False
    level: Level = "model"


def clusters(frame: pl.DataFrame, names: Sequence[str], *, unit: str | None = None, values: Array | None = None) -> Kin:
    """Which rows are kin: by ``unit``, else by seeds in their names, columns of lineage, families, equal measures.

    Parameters
    ----------
    frame : the table, a row a name
    names : what the rows are called
    unit : a column, a pattern with a group ``unit``, or ``row`` for each row alone
    values : measures [n, k], in which copies are looked for

    Raises
    ------
    UserError
        ``unit`` is no column and no pattern with such a group, or puts all rows together.

    Examples
    --------
    >>> names = [f"net{net}_seed{seed}" for net in range(4) for seed in range(3)]
    >>> found = clusters(pl.DataFrame({"model": names}), names)
    >>> found.clusters[:4], found.replicates
    (('net0', 'net0', 'net0', 'net1'), True)
    >>> print(found.sentence)
    12 rows are 4 configurations whose names differ in a seed or run alone: a configuration is the unit.
    """
    rows = [str(name) for name in names]
    if unit is not None:
        return _stated(frame, rows, unit)
    for found in (*_reruns(rows), *_lineage(frame, rows), *_families(rows)):
        return _with_copies(found, rows, values)
    return _with_copies(
        Kin((), f"Each of {len(rows)} rows is taken as independent.{_few_families(rows)}"), rows, values
    )


def with_kin(found: Measures, frame: pl.DataFrame, named: str, unit: str | None = None) -> Measures:
    """Measures with what their units are kin to; configurations in place of rows that differ in a seed alone.

    Parameters
    ----------
    found : the measures of units
    frame, named : the table they were read from, and its column of units
    unit : see :func:`clusters`

    Examples
    --------
    >>> units = pl.DataFrame({"unit": [f"{net}_seed{i}" for net in "abcd" for i in (1, 2)], "family": "", "acc": 0.5})
    >>> made = with_kin(Measures(units, "acc", ()), units, "unit")
    >>> made.level, made.names
    ('configuration', ['a', 'b', 'c', 'd'])
    """
    rows = found.units.select(pl.col("unit").alias(named)).join(
        frame.unique(named, keep="first"), on=named, how="left", maintain_order="left"
    )
    columns = [found.id, *found.ood]
    kin = clusters(rows, found.names, unit=unit, values=found.units.select(columns).to_numpy().astype(float))
    if kin.replicates:
        averaged = _averaged(found, kin)
        return with_kin(averaged, _first_of_each(rows, kin, named), named)
    level = "run" if kin.level == "run" else found.level
    said = " ".join(filter(None, (found.clustering, kin.sentence)))
    return replace(found, clusters=kin.clusters, clustering=said, kinship=kin.level, level=level)


def _averaged(found: Measures, kin: Kin) -> Measures:
    """Means over the rows of each configuration; the errors of means of independent rows."""
    marks = pl.Series("unit", kin.clusters)
    units = found.units.with_columns(marks).group_by("unit", maintain_order=True)
    measured = [name for name in found.units.columns if name not in OWN]
    errors = None
    if found.errors is not None:
        of_units = found.errors.with_columns(marks).group_by("unit", maintain_order=True)
        errors = of_units.agg(errors_of_means(found.errors.columns)).drop("unit")
    return replace(
        found, units=units.agg(FAMILY, pl.col(measured).mean()), errors=errors, level="configuration",
        repeated=found.units.height, clustering=kin.sentence,
    )  # fmt: skip


def _first_of_each(rows: pl.DataFrame, kin: Kin, named: str) -> pl.DataFrame:
    return rows.with_columns(pl.Series(named, kin.clusters)).unique(named, keep="first", maintain_order=True)


# --- stated ---


def _stated(frame: pl.DataFrame, rows: list[str], unit: str) -> Kin:
    if unit == ROW:
        return Kin((), f"Each of {len(rows)} rows is taken as independent, as asked.")
    if unit in frame.columns:
        marks = frame[unit].cast(str).to_list()
        found = tuple(name if mark is None else mark for mark, name in zip(marks, rows, strict=True))
        how, level = f"the column {unit}, as asked", LINEAGE.get(_plain(unit), "cluster")
    else:
        found, how, level = _matched(rows, _pattern(unit, frame)), f"the pattern {unit}, as asked", "cluster"
    if len(set(found)) == 1:
        raise UserError(f"Expected at least two units, but {how}, puts all {len(rows)} rows into one. Choose another.")
    return Kin(found, _sentence(found, level, how), level=level)


def _pattern(unit: str, frame: pl.DataFrame) -> re.Pattern[str]:
    try:
        pattern = re.compile(unit)
    except re.error:
        pattern = re.compile("")
    if "unit" not in pattern.groupindex:
        columns = [name for name in frame.columns if not name.startswith("__")]
        raise UserError(
            "Expected as the unit a column, a pattern with a group called unit, as (?P<unit>[a-z]+), or row, but got "
            f"{unit!r}.{near(unit, columns)} The table has the columns {listed(columns)}."
        )
    return pattern


def _matched(rows: list[str], pattern: re.Pattern[str]) -> tuple[str, ...]:
    matches = [pattern.search(name) for name in rows]
    if not any(matches):
        raise UserError(
            f"Expected names that the pattern of the unit matches, but none of {len(rows)} does (the first is "
            f"{rows[0]!r}). Mend the pattern."
        )
    return tuple(match["unit"] or name if match else name for match, name in zip(matches, rows, strict=True))


# --- seeds ---


def _reruns(rows: list[str]) -> Iterator[Kin]:
    """Rows that differ in a seed alone, where most do."""
    configurations = _without_seed(rows)
    counts = Counter(configurations)
    if sum(n for n in counts.values() if n > 1) <= len(rows) / 2:
        return
    if len(counts) == 1:
        yield Kin(
            (), f"{len(rows)} rows are reruns of one configuration, for their names differ in a seed or run alone: the "
            "run is the unit, and what is found holds for reruns of that configuration.", level="run",
        )  # fmt: skip
        return
    said = (
        f"{len(rows)} rows are {len(counts)} configurations whose names differ in a seed or run alone: a configuration "
        "is the unit."
    )
    yield Kin(tuple(configurations), said, len(counts) >= 4, "configuration")


def _without_seed(rows: list[str]) -> list[str]:
    found = [parts(name) for name in rows]
    if not any(each.seed for each in found):
        return _without_short_seed(rows)
    return [each.configuration for each in found]


def _without_short_seed(rows: list[str]) -> list[str]:
    """Names less ``-s1``, if all have one, and several configurations the same numbers from 0 or 1 on."""
    matches = [SHORT_SEED.search(name) for name in rows]
    if not all(matches):
        return rows
    numbers: dict[str, list[int]] = {}
    for name, match in zip(rows, matches, strict=True):
        numbers.setdefault(name[: match.start()], []).append(int(match[1]))  # type: ignore[union-attr,index]
    sets = {tuple(sorted(each)) for each in numbers.values()}
    first = min(sets)
    crossed = len(sets) == 1 and len(numbers) > 1 and len(first) > 1
    if not crossed or first[0] > 1 or first != tuple(range(first[0], first[0] + len(first))):
        return rows
    return [name[: match.start()] for name, match in zip(rows, matches, strict=True)]  # type: ignore[union-attr]


# --- lineage ---


def _plain(column: str) -> str:
    return re.sub(r"[\s_\-]+", "_", column.strip().lower())


def _lineage(frame: pl.DataFrame, rows: list[str]) -> Iterator[Kin]:
    by_plain = {_plain(column): column for column in frame.columns}
    for plain, level in LINEAGE.items():
        if plain not in by_plain or frame.height != len(rows):
            continue
        marks = [None if mark is None else str(mark).strip() for mark in frame[by_plain[plain]].to_list()]
        if plain in DATA:
            marks = [mark and mark.lower().split("_")[0] for mark in marks]
        found = tuple(mark or name for mark, name in zip(marks, rows, strict=True))
        if _are_sample(found):
            yield Kin(found, _sentence(found, level, f"the column {by_plain[plain]}"), level=level)


def _are_sample(marks: Sequence[str]) -> bool:
    """Whether marks can be a sample of families: five or more, some of several rows, none of more than half."""
    counts = Counter(marks)
    return len(counts) >= LEAST and len(counts) < len(marks) and max(counts.values()) <= len(marks) / 2


def _families(rows: list[str]) -> Iterator[Kin]:
    found = [parts(name) for name in rows]
    ways: tuple[tuple[list[str], Level, str], ...] = (
        ([each.family for each in found], "family", "the first word of their names"),
        ([each.architecture for each in found], "architecture", "their names up to size or training tag"),
        ([each.configuration for each in found], "configuration", "their names without seed or run"),
    )
    for marks, level, how in ways:
        if _are_sample(marks):
            yield Kin(tuple(marks), _sentence(marks, level, how), level=level)


def _few_families(rows: list[str]) -> str:
    """A sentence on families too few to be a sample."""
    counts = Counter(families(rows))
    if not 1 < len(counts) < LEAST or min(counts.values()) < 2:
        return ""
    return f" Their names show {len(counts)} families ({_counted(counts)}), too few to infer to other families from."


def families(names: Sequence[str]) -> list[str]:
    """The first word of each name.

    Examples
    --------
    >>> families(["vit_base_patch16_224.augreg_in1k", "facebook/opt-125m", "RN50-quickgelu"])
    ['vit', 'opt', 'rn50']
    """
    return [parts(name).family for name in names]


def _sentence(marks: Sequence[str], level: Level, how: str) -> str:
    counts = Counter(marks)
    word = plural("unit" if level == "cluster" else level)
    return (
        f"{len(marks):,} rows are of {len(counts):,} {word} by {how} ({_counted(counts)}): rows of one are not "
        f"independent, and intervals hold for new {word}."
    )


def _counted(counts: Counter[str], most: int = 3) -> str:
    tail = ", ..." if len(counts) > most else ""
    return ", ".join(f"{name} {n}" for name, n in counts.most_common(most)) + tail


# --- copies ---


def copies(values: Array, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Groups of rows that are one model under several names: equal in every measure, to all given digits.

    Two measures are enough if their digits are. How many pairs would be equal by chance is bounded by the pairs that
    lie within five steps of the last digit, of which a share of 1 in 11 to the number of measures falls on the same
    step; a constant measure does not count.

    Parameters
    ----------
    values : array, shape [n, k]
    names : what the rows are called

    Examples
    --------
    >>> values = np.array([[76.13, 24.31], [76.13, 24.31], [80.21, 30.55], [71.02, 19.97]])
    >>> copies(values, ["resnet50", "resnet50-v1", "b", "c"])
    [('resnet50', 'resnet50-v1')]
    >>> copies(values.round(-1), ["resnet50", "resnet50-v1", "b", "c"])
    []
    """
    steps = _in_steps(np.asarray(values, float))
    if steps.shape[1] < 2 or len(steps) < 3:
        return []
    _, code, counts = np.unique(steps, axis=0, return_inverse=True, return_counts=True)
    found = [tuple(names[int(i)] for i in np.flatnonzero(code == group)) for group in np.flatnonzero(counts > 1)]
    return sorted(found, key=lambda group: list(names).index(group[0])) if _beyond_chance(steps, counts) else []


def _in_steps(values: Array) -> Array:
    """Measures that vary, as whole numbers of their smallest step; rows with a gap are left out as unlike any."""
    complete = np.where(np.isfinite(values).all(axis=1, keepdims=True), values, np.nan)
    columns = [_steps(column) for column in complete.T]
    kept = [column for column in columns if np.nanmax(column, initial=0) > np.nanmin(column, initial=0)]
    return np.stack(kept, axis=1) if kept else np.empty((len(values), 0))


def _steps(column: Array) -> Array:
    known = np.unique(column[np.isfinite(column)].round(12))
    gaps = np.diff(known)
    if not gaps.size:
        return np.zeros(len(column))
    digits = next((d for d in range(-3, MOST_DIGITS) if np.allclose(known, known.round(d), rtol=0, atol=1e-9)), None)
    step = float(gaps.min()) if digits is None else 10.0 ** (-digits)
    return np.asarray((column / step).round())


def _beyond_chance(steps: Array, counts: Array) -> bool:
    complete = steps[np.isfinite(steps).all(axis=1)]
    tree = cKDTree(complete)
    close = (tree.count_neighbors(tree, NEIGHBOURHOOD + 0.5, p=np.inf) - len(complete)) / 2
    equal = float((counts * (counts - 1)).sum()) / 2
    boxes = (2 * NEIGHBOURHOOD + 1) ** complete.shape[1] - 1
    return bool((close - equal + 1) / boxes < CHANCE)


def _with_copies(found: Kin, rows: list[str], values: Array | None) -> Kin:
    """Copies put into the cluster of the first of them."""
    same = [] if values is None or found.level == "run" or found.replicates else copies(values, rows)
    if not same:
        return found
    marks = dict(zip(rows, found.clusters or rows, strict=True))
    moved = {name: marks[group[0]] for group in same for name in group}
    said = "; ".join(" = ".join(group) for group in same[:3]) + ("; ..." if len(same) > 3 else "")
    return Kin(
        tuple(moved.get(name, marks[name]) for name in rows),
        f"{found.sentence} Equal in every measure and so one model: {said}.",
        level=found.level if found.clusters else "cluster",
    )
