"""Whether more of a measure is better: known of our own metrics and of common names, else asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from outfield import registry
from outfield.errors import UserError, listed

HIGHER = re.compile(
    r"auc|auroc|aupr\w*|auprc|roc|acc(uracy)?\d*|top\d+|tpr|tnr|f1|map|precision|recall|sensitivity|specificity|"
    r"correct|r2"
)
LOWER = re.compile(
    r"fpr\w*|fnr\w*|err(or)?s?|loss|nll|n?ece|mce|brier|e?aurc|autc|risk|rmse|mse|mae|rank|drop|gap|perplexity"
)
ARROWS = frozenset("↑↓")
"""What tables write beside the name of a measure of which more, or less, is better."""
TURNED = {"neg", "negative", "minus", "inverse", "sd", "std", "se", "var", "variance", "delta", "diff", "relative"}
"""Words beside which the name of a measure does not tell its direction."""


def higher_is_better(name: str) -> bool | None:
    """Whether more is better of a measure of this name; None where the name does not say.

    Examples
    --------
    >>> [higher_is_better(name) for name in ("AUROC near", "fpr_at_95_id", "FPR95 far", "sketch", "1 - auroc")]
    [True, False, False, None, None]
    >>> higher_is_better("sketch ↑"), higher_is_better("gap (↓)")
    (True, False)
    """
    if arrows := ARROWS & set(name):
        return arrows == {"↑"} if len(arrows) == 1 else None
    plain = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")
    if plain in registry.names("metrics"):
        return bool(registry.find("metrics", plain).higher_is_better)
    words = plain.split("_")
    if _turned(name):
        return None
    better = {flag for flag, known in ((True, HIGHER), (False, LOWER)) if any(map(known.fullmatch, words))}
    return better.pop() if len(better) == 1 else None


def directions(
    columns: Sequence[str], higher: Iterable[str], lower: Iterable[str], known: bool | None
) -> dict[str, bool]:
    """Columns to whether more is better, those of which it is known.

    Parameters
    ----------
    columns : the measures' names
    higher, lower : what the user says of some
    known : what is known of all others whose names do not tell; None where their names must

    Raises
    ------
    UserError
        A name is no column, or stands on both sides.

    Examples
    --------
    >>> directions(["auroc", "sketch", "fpr95"], [], ["sketch"], None)
    {'auroc': True, 'sketch': False, 'fpr95': False}
    >>> directions(["near", "1 - auroc", "fpr95"], [], [], True)
    {'near': True, 'fpr95': False}
    """
    higher, lower = set(higher), set(lower)
    if strange := sorted((higher | lower) - set(columns)):
        raise UserError(
            f"Expected the name of an OOD measure after --higher and --lower, but got {', '.join(strange)}. "
            f"The OOD measures are {', '.join(columns)}."
        )
    if both := sorted(higher & lower):
        raise UserError(f"Expected a direction for {', '.join(both)}, but got both. Name it after one option.")
    stated = dict.fromkeys(higher, True) | dict.fromkeys(lower, False)
    guessed = {name: stated.get(name, _told(name, known)) for name in columns}
    return {name: flag for name, flag in guessed.items() if flag is not None}


def _told(name: str, known: bool | None) -> bool | None:
    """What a name says; else what is known of all, unless the name says that it is turned."""
    found = higher_is_better(name)
    return known if found is None and not _turned(name) else found


def _turned(name: str) -> bool:
    words = re.sub(r"[^a-z0-9]+", " ", name.casefold()).split()
    return bool(TURNED & set(words) or re.search(r"(^|\s)(1\s*)?-", name.strip()))


def unknown(columns: Sequence[str], found: Mapping[str, bool]) -> tuple[str, ...]:
    """A sentence on the measures whose direction is not known, if there are such.

    Examples
    --------
    >>> print(*unknown(["auroc", "sketch"], {"auroc": True}))
    Ranks leave out sketch: the name does not tell whether higher or lower values are better. Say so with --higher ...
    """
    left = [name for name in columns if name not in found]
    if not left:
        return ()
    return (
        f"Ranks leave out {listed(left)}: the name does not tell whether higher or lower values are better. "
        f"Say so with --higher NAME or --lower NAME.",
    )
