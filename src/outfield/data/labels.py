"""Labels as values: what a class is called, which rows have no label, and when two names mean the same class."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outfield.errors import UserError, listed

MISSING = frozenset({"NA", "N/A", "NaN", "nan", "NAN", "null", "NULL"})
"""Words that mean no label among numbers; among words they are categories, as NA is Namibia among countries."""
UNLABELLED = "-1"
"""What test splits of the Hugging Face hub and OpenOOD's lists write where there is no label."""

_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,299})(\.0+)?")
_NUMBER = re.compile(r"[+-]?([0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})([eE][+-]?[0-9]{1,9})?")
_BETWEEN = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")
_PLACEHOLDER = re.compile(r"(?:LABEL_)?([0-9]{1,9})", re.ASCII)


def name(value: Any) -> str | None:
    """What a label value is called, or None where there is none: nothing, NaN, an empty text.

    Whole numbers are called alike however they are written; spaces around a name do not count.

    Raises
    ------
    UserError
        No number and no text: a list, a mapping, infinity.

    Examples
    --------
    >>> name(3), name(3.0), name("3.0"), name(" cat "), name(""), name(float("nan")), name("007")
    ('3', '3', '3', 'cat', None, None, '007')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="backslashreplace")
    if value is None or isinstance(value, bool):
        return None if value is None else str(value)
    if isinstance(value, int | float | Decimal):
        return _of_number(value)
    if not isinstance(value, str | date):
        raise UserError(
            f"Expected labels that are numbers or words, but got {type(value).__name__}: {value!r:.60}. "
            "Name a column that holds one label a row."
        )
    text = str(value).strip()
    odd = _WHOLE.fullmatch(text) and (text[0] == "+" or "." in text) and len(text) < 16
    return str(int(float(text))) if odd else text or None


def _of_number(value: float | Decimal) -> str | None:
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        if math.isnan(value):
            return None
        raise UserError(f"Expected labels that are numbers or words, but got {value}. Mend that label.")
    return str(int(value)) if abs(float(value)) < 2**53 and value == int(value) else str(value)


def names(values: Iterable[Any]) -> list[str | None]:
    """The name of each label value, None where there is no label.

    No label is a value that is absent, NaN or empty; a word such as NA or null where all others are numbers; and -1,
    as test splits of the hub have it, unless -1 and 1 are the two classes or other labels are negative too.

    Examples
    --------
    >>> names(["cat", "", "NA"]), names([1.0, float("nan"), 0.0]), names(["1", "NA"])
    (['cat', None, 'NA'], ['1', None, '0'], ['1', None])
    >>> names([0, -1, 1]), names([-1, 1]), names([-1, -1])
    (['0', None, '1'], ['-1', '1'], [None, None])
    """
    found = list(map(name, values))
    absent = _absent({one for one in found if one is not None})
    return [None if one in absent else one for one in found]


def _absent(present: set[str]) -> set[str]:
    """The names that mean that there is no label."""
    others = present - MISSING
    absent = present & MISSING if all(map(is_number, others)) else set()
    negative = {one for one in others - {UNLABELLED} if is_number(one) and one.startswith("-")}
    if UNLABELLED in others and not negative and others != {UNLABELLED, "1"}:
        absent = absent | {UNLABELLED}
    return absent


def is_number(text: str) -> bool:
    """Whether a name is a number in plain digits.

    Examples
    --------
    >>> is_number("10"), is_number("-2.5"), is_number("²"), is_number("--5")
    (True, True, False, False)
    """
    return _NUMBER.fullmatch(text) is not None


def ordered(found: Iterable[str]) -> tuple[str, ...]:
    """Different names in the order of their numbers 0, 1, ...: numbers by size, then words.

    Examples
    --------
    >>> ordered(["b", "10", "2", "2.5", "a"])
    ('2', '2.5', '10', 'a', 'b')
    """
    return tuple(sorted(set(found), key=lambda text: (*_size(text), text)))


def _size(text: str) -> tuple[int, float]:
    if not is_number(text):
        return 1, 0.0
    return 0, int(text) if _WHOLE.fullmatch(text) and "." not in text else float(text)


def folded(text: str) -> str:
    """What two names that mean the same class have in common: no case, spaces, underscores and hyphens alike.

    Examples
    --------
    >>> folded("Not_Entailment ") == folded("not-entailment"), folded("01") == folded("1.0"), folded("-1")
    (True, True, '-1')
    """
    plain = _BETWEEN.sub(" ", unicodedata.normalize("NFC", text.strip()).casefold())
    whole = re.fullmatch(r"([+-]?)0*([0-9]{1,300})(\.0+)?", plain, re.ASCII)
    return plain if whole is None else f"{'-' * (whole[1] == '-')}{whole[2]}"


def places(own: Sequence[str], known: Sequence[str], of: str = "the model") -> NDArray[np.int64]:
    """The place of each name among the known ones: of the same name, else of the one that is alike; -1 where none is.

    Parameters
    ----------
    own, known : names
    of : what the known names are of, as the message says it

    Raises
    ------
    UserError
        A name is like several known ones, or two names are like the same one.

    Examples
    --------
    >>> places(["entailment", "neutral"], ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"])
    array([2, 1])
    >>> places(["cat", "owl"], ["Cat", "cat"])
    array([ 1, -1])
    """
    exact, taken = _by(dict(enumerate(known))), set(own)
    rest = {place: one for one, several in exact.items() if one not in taken for place in several}
    alike = _by({place: folded(one) for place, one in rest.items()})
    found = [exact.get(one) or alike.get(folded(one)) or [-1] for one in own]
    for one, here in zip(own, found, strict=True):
        if len(here) > 1:
            raise UserError(
                f"Expected one class of {of} for {one!r}, but {listed([known[place] for place in here])} are alike. "
                "Say which one is meant: classes={'NAME': NUMBER}."
            )
    numbers = np.array([here[0] for here in found], dtype=np.int64)
    for place, count in Counter(numbers[numbers >= 0].tolist()).items():
        if count > 1:
            both = [one for one, number in zip(own, numbers, strict=True) if number == place]
            raise UserError(
                f"Expected one name for the class {known[place]!r} of {of}, but {listed(both)} are alike. "
                "Give them one name, or map them: classes={'NAME': 'CLASS'}."
            )
    return numbers


def _by(known: Mapping[int, str]) -> dict[str, list[int]]:
    """Names to their places."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, one in known.items():
        found[one].append(place)
    return found


def target(wanted: str | int, known: Sequence[str] | None) -> int:
    """The output that a user maps a class to: by its name, or by its number.

    Raises
    ------
    UserError
        There is no such output.

    Examples
    --------
    >>> target("CAT", ["dog", "cat"]), target(0, ["dog", "cat"]), target("LABEL_2", None)
    (1, 0, 2)
    """
    if known is not None and isinstance(wanted, str) and (place := int(places([wanted], known)[0])) >= 0:
        return place
    number = _PLACEHOLDER.fullmatch(str(wanted))
    if number is None or (known is not None and int(number[1]) >= len(known)):
        there = f"has {listed(known)}" if known is not None else "names none: give numbers, 0 for the first output"
        raise UserError(f"Expected a class of the model, but got {wanted!r}, and the model {there}. Mend the mapping.")
    return int(number[1])


def numbers_only(known: Sequence[str] | None) -> bool:
    """Whether names say no more than the number of each output: 0, 1, ... or LABEL_0, LABEL_1, ...; or are none.

    Examples
    --------
    >>> numbers_only(["0", "1"]), numbers_only(["LABEL_0", "LABEL_1"]), numbers_only(["1", "2"]), numbers_only(None)
    (True, True, False, True)
    """
    found = [_PLACEHOLDER.fullmatch(one) for one in known or ()]
    return all(one is not None and int(one[1]) == place for place, one in enumerate(found))


def unless_unlabelled(numbers: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Label numbers, or None where all are -1, which says that there are none.

    Examples
    --------
    >>> unless_unlabelled(np.array([-1, -1])), unless_unlabelled(np.array([-1, 2]))
    (None, array([-1,  2]))
    """
    return None if len(numbers) and (numbers == int(UNLABELLED)).all() else numbers


def by_value(labels: NDArray[np.int64], known: Sequence[str] | None) -> NDArray[np.int64] | None:
    """Numbers of the outputs for labels that are the model's own label values, as a classifier fitted on 1, 2, 3 has.

    None where the labels are numbers of outputs: the model's names are no whole numbers, or no label is one of them.

    Raises
    ------
    UserError
        Some labels are the model's label values and others are not: neither reading is safe.

    Examples
    --------
    >>> by_value(np.array([3, 1]), ("1", "2", "3")), by_value(np.array([0, 1]), ("3", "5"))
    (array([2, 0]), None)
    """
    if known is None or numbers_only(known) or not all(_WHOLE.fullmatch(one) for one in known):
        return None
    number = {int(float(one)): place for place, one in enumerate(known)}
    found = np.array([number.get(int(label), -1) for label in labels], dtype=np.int64)
    if (found < 0).all():
        return None
    if strange := [str(label) for label in sorted({int(label) for label in labels[found < 0]})]:
        raise UserError(
            f"Expected labels that the model was fitted on ({listed(known)}), but got {listed(strange)} beside them. "
            "Label the data as in training, or name the model's outputs: classes=[...]."
        )
    return found


def mapping(given: Any) -> tuple[tuple[str, ...] | None, Mapping[str, str | int]]:
    """Names of a model's outputs, or names of the data's classes to those of the model: whichever was given.

    Raises
    ------
    UserError
        It is neither.

    Examples
    --------
    >>> mapping(["cat", "dog"]), mapping({"cat": 1})
    ((('cat', 'dog'), {}), (None, {'cat': 1}))
    """
    if given is None:
        return None, {}
    if isinstance(given, Mapping):
        return None, {str(one): other if isinstance(other, int) else str(other) for one, other in given.items()}
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UserError(
            f"Expected classes as a list of names in the order of the model's outputs, or as a mapping of the data's "
            f"names to the model's, but got {given!r}. Pass, say, classes=['cat', 'dog']."
        )
    return tuple(map(str, given)), {}
