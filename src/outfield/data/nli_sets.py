"""NLI sets in the formats that they are published in, as entailment or not.

Labels: 1 entailment, 0 no entailment. Three-way sets lose neutral; two-way sets keep their own negatives.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TextIO

import numpy as np
from numpy.typing import NDArray

from outfield import keys
from outfield.data import labels as labelling
from outfield.errors import MissingExtra, UnknownName, UserError

REMOVED = None
"""What a label maps to when its rows are left out: neutral of a three-way set, and rows without a gold label."""
EMPTY = "empty text"
"""Why a pair is left out whose premise or hypothesis has no words."""
NONE = "-"
"""What SNLI and MNLI write for a pair without a gold label; a label that is absent or empty counts as that."""

THREE_WAY: Mapping[str, int | None] = {"entailment": 1, "neutral": REMOVED, "contradiction": 0}
_NUMBERS: Mapping[str, int | None] = {"0": 1, "1": REMOVED, "2": 0}
_LETTERS: Mapping[str, int | None] = {"e": 1, "n": REMOVED, "c": 0}
_UNKNOWN: Mapping[str, int | None] = {"-": REMOVED, "-1": REMOVED}


@dataclass(frozen=True)
class Format:
    """How a set is published.

    Parameters
    ----------
    premise, hypothesis, label : tuple of str
        The columns' names in its editions; the first that a file has is taken.
    labels : mapping of label to 1, 0 or None
    sizes : mapping of a file's name, and folder where it takes one, to its number of rows
        Published sizes, checked where the file is whole.
    header : tuple of str
        Columns of a table that has no header line.
    quotes : bool
        Whether quotation marks enclose fields of a table; in most of these sets they are part of the text.
    """

    premise: tuple[str, ...]
    hypothesis: tuple[str, ...]
    label: tuple[str, ...]
    labels: Mapping[str, int | None]
    sizes: Mapping[str, int] = field(default_factory=dict)
    header: tuple[str, ...] = ()
    quotes: bool = False


_PREMISE, _HYPOTHESIS = ("sentence1", "premise", "context"), ("sentence2", "hypothesis", "statement")
_GOLD = ("gold_label", "label")

FORMATS: dict[str, Format] = {
    "snli": Format(
        _PREMISE, _HYPOTHESIS, _GOLD, {**THREE_WAY, **_NUMBERS, **_LETTERS, **_UNKNOWN},
        {"snli_1.0_dev": 10_000, "snli_1.0_test": 10_000, "snli_1.0_train": 550_152,
         "snli_dev.tsv": 9_842, "snli_test.tsv": 9_824, "original_train": 1_666, "revised_combined_train": 6_664},
    ),
    "mnli": Format(
        _PREMISE, _HYPOTHESIS, _GOLD, {**THREE_WAY, **_NUMBERS, **_UNKNOWN},
        {"multinli_1.0_train": 392_702, "multinli_1.0_dev_matched": 10_000, "multinli_1.0_dev_mismatched": 10_000,
         "dev_matched.tsv": 9_815, "dev_mismatched.tsv": 9_832, "mnli_matched_dev_bert100": 9_815},
    ),
    "scitail": Format(
        _PREMISE, _HYPOTHESIS, _GOLD, {"entails": 1, "entailment": 1, "neutral": 0},
        {"scitail_1.0_train": 23_596, "scitail_1.0_dev": 1_304, "scitail_1.0_test": 2_126},
        header=("premise", "hypothesis", "label"),
    ),
    "rte": Format(
        _PREMISE, _HYPOTHESIS, _GOLD, {"entailment": 1, "not_entailment": 0, "0": 1, "1": 0},
        {"RTE/train": 2_490, "RTE/dev": 277, "rte_train": 2_490, "rte_dev": 277},
    ),
    "wnli": Format(
        _PREMISE, _HYPOTHESIS, _GOLD, {"1": 1, "0": 0, "entailment": 1, "not_entailment": 0},
        {"WNLI/train": 635, "WNLI/dev": 71},
    ),
    "hans": Format(
        _PREMISE, _HYPOTHESIS, _GOLD, {"entailment": 1, "non-entailment": 0, "0": 1, "1": 0},
        {"heuristics_evaluation_set": 30_000, "heuristics_train_set": 30_000, "hans_regenerated": 30_000},
    ),
    "paws": Format(
        _PREMISE, _HYPOTHESIS, _GOLD, {"1": 1, "0": 0},
        {"final/train": 49_401, "final/dev": 8_000, "final/test": 8_000},
    ),
    "anli": Format(
        _PREMISE, _HYPOTHESIS, _GOLD, {**_LETTERS, **THREE_WAY, **_NUMBERS},
        {"anli_r1_dev": 1_000, "anli_r2_dev": 1_000, "anli_r3_dev": 1_198,
         "R1/dev": 1_000, "R2/dev": 1_000, "R3/dev": 1_200, "R1/test": 1_000, "R2/test": 1_000, "R3/test": 1_200,
         "R1/train": 16_946, "R2/train": 45_460, "R3/train": 100_459},
        quotes=True,
    ),
    "sick": Format(
        ("sentence_A",), ("sentence_B",), ("entailment_judgment", "entailment_label"),
        {label.upper(): value for label, value in THREE_WAY.items()},
        {"sick_train": 4_500, "sick_trial": 500, "sick_test_annotated": 4_927},
    ),
    "breaking_nli": Format(_PREMISE, _HYPOTHESIS, _GOLD, THREE_WAY, {"breaking_nli": 8_193}),
    "med": Format(_PREMISE, _HYPOTHESIS, _GOLD, {"entailment": 1, "neutral": 0}, {"med.tsv": 5_382}),
    "conjnli": Format(("Premise", "premise"), ("Hypothesis", "hypothesis"), ("Label", "label"), THREE_WAY,
                      {"conjnli_dev": 623}),
    "semi_automatic": Format(_PREMISE, _HYPOTHESIS, _GOLD, _LETTERS),
}  # fmt: skip
"""Sets by name. PAWS is of paraphrases, taken as entailment, as study 2 does. HANS, PAWS, RTE, WNLI, SciTail and MED
are two-way: what they do not call entailment stays as a negative. In numbers, 0 is entailment in SNLI, MNLI, ANLI,
HANS and RTE, and 1 is in WNLI and PAWS."""


@dataclass(frozen=True, eq=False)
class NliPairs:
    """A data set of premises and hypotheses with labels, and what was left out."""

    premises: tuple[str, ...]
    hypotheses: tuple[str, ...]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    left_out: Mapping[str, int] = field(default_factory=dict)

    classes: ClassVar[tuple[str, ...]] = ("no entailment", "entailment")

    def __len__(self) -> int:
        return len(self.premises)

    def read(self, rows: slice | NDArray[np.int64]) -> list[tuple[str, str]]:
        """Premise and hypothesis of some rows, in that order."""
        return [(self.premises[row], self.hypotheses[row]) for row in np.arange(len(self))[rows].tolist()]

    def take(self, rows: Sequence[int] | np.ndarray[Any, Any]) -> NliPairs:
        """Some rows, in the order given."""
        chosen = [int(row) for row in rows]
        premises, hypotheses = (tuple(texts[row] for row in chosen) for texts in (self.premises, self.hypotheses))
        return NliPairs(premises, hypotheses, self.labels[chosen], self.left_out)

    def contents(self) -> list[tuple[str, str]]:
        """What makes a pair the same as another: its words, whatever case and spaces."""
        both = zip(self.premises, self.hypotheses, strict=True)
        return [(" ".join(a.lower().split()), " ".join(b.lower().split())) for a, b in both]

    @property
    def empty(self) -> int:
        """How many were left out whose premise or hypothesis has no words."""
        return self.left_out.get(EMPTY, 0)

    def digest(self) -> str:
        """Digest of the texts and labels."""
        return keys.key(premises=self.premises, hypotheses=self.hypotheses, labels=self.labels.tolist())

    @classmethod
    def joined(cls, parts: Sequence[NliPairs]) -> NliPairs:
        """Several sets as one."""
        left_out = sum((Counter(part.left_out) for part in parts), Counter())
        return cls(
            tuple(text for part in parts for text in part.premises),
            tuple(text for part in parts for text in part.hypotheses),
            np.concatenate([part.labels for part in parts]),
            left_out,
        )


def read(name: str, path: Path | str) -> NliPairs:
    """A set from a published file: ``.jsonl``, ``.tsv``, ``.csv`` or ``.txt``, gzipped or alone of its kind in a zip.

    Parameters
    ----------
    name : str
        A key of ``FORMATS``.
    path : path, or ``hub:DATASET[:CONFIG]:SPLIT``

    Raises
    ------
    UnknownName
        There is no such set.
    UserError
        No such file, set of the Hub or column; a row that is cut off or whose texts are none; labels that are not the
        set's; a whole file of another size than published; one class.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "rte_own.tsv")
    >>> _ = file.write_text("sentence1\\tsentence2\\tlabel\\nIt rains.\\tIt is wet.\\t0\\nIt rains.\\tIt snows.\\t1\\n")
    >>> read("rte", file).labels.tolist()
    [1, 0]
    """
    kept, left_out = [], Counter[str]()
    for said, value, texts in _labelled(name, str(path)):
        if value is REMOVED:
            left_out[f"label {said}"] += 1
        elif not all(map(str.strip, texts)):
            left_out[EMPTY] += 1
        else:
            kept.append((*texts, value))
    if {value for *_, value in kept} != {0, 1}:
        raise UserError(
            f"Expected entailment and its opposite in {path}, but after mapping only {sorted({k[2] for k in kept})} is "
            f"left. The labels of {name} mean {dict(FORMATS[name].labels)}."
        )
    premises, hypotheses, labels = zip(*kept, strict=True)
    return NliPairs(premises, hypotheses, np.array(labels), dict(left_out))


def neutral(name: str, path: Path | str) -> list[tuple[str, str]]:
    """The neutral pairs of a three-way set, which ``read`` leaves out.

    Raises
    ------
    UserError
        As ``read``; or the set has none.
    """
    found = [
        texts
        for said, value, texts in _labelled(name, str(path))
        if value is REMOVED and labelling.folded(said) not in _UNKNOWN and all(map(str.strip, texts))
    ]
    if not found:
        raise UserError(f"Expected neutral pairs in {path}, but there are none. Name a set of three labels.")
    return found


def _labelled(name: str, where: str) -> Iterator[tuple[str, int | None, tuple[str, str]]]:
    """The label of each row, what it means, and the two texts."""
    if name not in FORMATS:
        raise UnknownName("NLI sets", name, FORMATS)
    style = FORMATS[name]
    rows = list(_hub(where) if where.startswith("hub:") else _records(Path(where), style))
    if not rows:
        raise UserError(f"Expected rows in {where}, but found none. Point it to a file that holds rows.")
    _check_size(name, style, where, len(rows))
    premise, hypothesis, label = (
        _column(rows[0], names, where) for names in (style.premise, style.hypothesis, style.label)
    )
    for number, row in enumerate(rows, 1):
        _check_row(row, (premise, hypothesis, label), f"row {number} of {where}")
    said = [labelling.name(row[label]) or NONE for row in rows]
    meaning = _meanings(style)
    _check_labels(name, style, where, Counter(one for one in said if labelling.folded(one) not in meaning))
    for row, one in zip(rows, said, strict=True):
        yield one, meaning[labelling.folded(one)], (row[premise] or "", row[hypothesis] or "")


def _check_row(row: Mapping[str, Any], columns: tuple[str, str, str], where: str) -> None:
    if lacking := [name for name in columns if name not in row]:
        raise UserError(f"Expected {', '.join(lacking)} in {where}, but got {dict(row)!r:.80}. Mend or remove it.")
    for name in columns[:2]:
        if not isinstance(row[name], str | None):
            raise UserError(f"Expected a text as {name} in {where}, but got {row[name]!r:.60}. Write it as a text.")


def _meanings(style: Format) -> dict[str, int | None]:
    """What each label means, by its name without case, with spaces, underscores and hyphens alike."""
    meaning = {labelling.folded(one): value for one, value in style.labels.items()}
    return {**meaning, NONE: REMOVED} if NONE in style.labels else meaning


def _check_labels(name: str, style: Format, where: str, unknown: Mapping[str, int]) -> None:
    if unknown:
        shown = ", ".join(f"{one} ({count} rows)" for one, count in sorted(unknown.items())[:5])
        raise UserError(
            f"Expected the labels of {name}, {', '.join(style.labels)}, but {where} has {shown}, which are not "
            "among them. Name the set that the file is of."
        )


def _check_size(name: str, style: Format, where: str, rows: int) -> None:
    for part, size in style.sizes.items():
        if _is_whole(where, part) and rows != size:
            raise UserError(
                f"Expected {size:,} rows in {where}, the published size of {name}, but got {rows:,}. "
                "Get the whole file, or give an excerpt another name."
            )


def _is_whole(where: str, part: str) -> bool:
    """Whether a path ends as the published file does, whatever its suffix.

    Examples
    --------
    >>> _is_whole("nli/RTE/dev.tsv", "RTE/dev"), _is_whole("nli/my_snli_test.tsv", "snli_test.tsv")
    (True, False)
    """
    path = f"/{where.removesuffix('.gz')}"
    return path.endswith(f"/{part}") or path.removesuffix(Path(path).suffix).endswith(f"/{part}")


def _column(row: Mapping[str, Any], names: tuple[str, ...], where: str) -> str:
    for name in names:
        if name in row:
            return name
    raise UserError(f"Expected a column {' or '.join(names)} in {where}, but got {', '.join(row)}. Name the right set.")


def _records(path: Path, style: Format) -> Iterator[Mapping[str, Any]]:
    try:
        with _opened(path) as (lines, suffix):
            if suffix == ".jsonl":
                yield from (_object(line, path) for line in lines if line.strip())
            else:
                yield from _table(lines, "," if suffix == ".csv" else "\t", style)
    except OSError as error:
        raise UserError(f"Expected an NLI set at {path}, but it cannot be read: {error.strerror or error}.") from None
    except (csv.Error, json.JSONDecodeError, UnicodeDecodeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"Expected an NLI set in {path}, but could not read it ({error}). Mend it.") from None


def _object(line: str, path: Path) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise UserError(f"Expected a JSON object in every line of {path}, but got {line.strip()!r:.60}. Mend it.")
    return found


def _table(lines: TextIO, separator: str, style: Format) -> Iterator[Mapping[str, Any]]:
    if style.quotes:
        table = csv.reader(lines, delimiter=separator)
    else:
        table = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
    first = next(table, [])
    named = any(name in first for name in style.premise)
    header = first if named or not style.header else list(style.header)
    if not named and style.header:
        yield dict(zip(header, first, strict=False))
    for cells in table:
        if len(cells) < min(len(header), 3):
            raise UserError(f"Expected {len(header)} columns in every line, but got {cells!r:.80}. Mend that line.")
        yield dict(zip(header, cells, strict=False))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[TextIO, str]]:
    """The lines of a file and the suffix that says what they are."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            inner = [n for n in archive.namelist() if Path(n).suffix.lower() in (".jsonl", ".tsv")]
            if len(inner) != 1:
                raise UserError(f"Expected one .jsonl or .tsv in {path}, but got {inner}. Unpack it and name the file.")
            with archive.open(inner[0]) as raw:
                yield io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), Path(inner[0]).suffix.lower()
    elif path.suffix.lower() == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as lines:
            yield lines, path.with_suffix("").suffix.lower()
    else:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield lines, path.suffix.lower()


def _hub(where: str) -> Iterator[Mapping[str, Any]]:
    """Rows of ``hub:DATASET[:CONFIG]:SPLIT``."""
    _, *parts = where.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise UserError(f"Expected hub:DATASET[:CONFIG]:SPLIT, but got {where}. Name a split, as hub:snli:test does.")
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", extra="text") from None
    name, *config, split = parts
    try:
        yield from datasets.load_dataset(name, *config, split=split)
    except Exception as error:  # whatever the library, the network or the set's files raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"Expected the set {where} of the Hub, but got: {reason}. Mend its name, configuration or split, or see "
            "whether the Hub can be reached."
        ) from error


def sampled(pairs: NliPairs, limit: int | None, seed: int) -> NliPairs:
    """A seeded sample of at most ``limit`` pairs; all, in their order, where there are no more."""
    if limit is None or limit >= len(pairs):
        return pairs
    return pairs.take(np.sort(np.random.default_rng(seed).permutation(len(pairs))[:limit]))


def beside(pairs: NliPairs, limit: int | None, seed: int, count: int | None) -> NliPairs:
    """Of the pairs that ``sampled`` leaves out, at most ``count``; no pair where it takes all.

    Examples
    --------
    >>> four = NliPairs(("a", "b", "c", "d"), ("e",) * 4, np.array([1, 1, 0, 1]))
    >>> sampled(four, 2, seed=0).premises, beside(four, 2, seed=0, count=5).premises
    (('a', 'c'), ('b', 'd'))
    """
    start = len(pairs) if limit is None else limit
    order = np.random.default_rng(seed).permutation(len(pairs))[start:]
    return pairs.take(np.sort(order[:count]))


def shots(pairs: NliPairs, count: int | None, seed: int) -> NliPairs:
    """``count`` training pairs, half of each label, drawn with a seed; all, shuffled, where ``count`` is None.

    Raises
    ------
    UserError
        An odd count, or too few pairs of a label.

    Examples
    --------
    >>> four = NliPairs(("a",) * 4, ("b",) * 4, np.array([1, 1, 0, 1]))
    >>> shots(four, 2, seed=0).labels.sum()
    np.int64(1)
    """
    rng = np.random.default_rng(seed)
    if count is None:
        return pairs.take(rng.permutation(len(pairs)))
    groups = [np.flatnonzero(pairs.labels == label) for label in (0, 1)]
    if count % 2 or count < 2 or min(map(len, groups)) < count // 2:
        raise UserError(
            f"Expected an even number of shots, at most {2 * min(map(len, groups))} here, but got {count}. "
            "Balanced shots take half of each label."
        )
    rows = np.concatenate([rng.permutation(group)[: count // 2] for group in groups])
    return pairs.take(rng.permutation(rows))


def duplicates(train: NliPairs, test: NliPairs) -> int:
    """How many test pairs are in the training set too, by content.

    Examples
    --------
    >>> one = NliPairs(("It  rains.",), ("It is wet.",), np.array([1]))
    >>> duplicates(one, NliPairs(("it rains.", "x"), ("It is wet.", "y"), np.array([1, 0])))
    1
    """
    seen = set(train.contents())
    return sum(content in seen for content in test.contents())
