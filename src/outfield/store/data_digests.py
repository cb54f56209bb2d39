"""What a study was measured on: the content digests of its data sets, as ``study.json`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from outfield.store import query


def digests(folder: Path | str, test: str | None = None) -> dict[str, str]:
    """Data set to the digest of what was measured: ``test`` and the OOD sets.

    Where an outfield that did not keep them ran the study there is none but ``test``, as its rows say it.

    Examples
    --------
    >>> digests("results/digits")  # doctest: +SKIP
    {'test': 'd1b2...', 'letters': '03fe...'}
    """
    found = query.manifest(folder).get("data")
    kept = {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}
    return kept | ({"test": test} if test else {})


def unchecked(names: Sequence[str]) -> str:
    """That nobody can tell whether the data of some sets are what was measured.

    Examples
    --------
    >>> unchecked(["letters"])
    "Whether the data of 'letters' are what was measured could not be checked: the study kept no digest of them. ..."
    """
    return (
        f"Whether the data of {', '.join(map(repr, names))} are what was measured could not be checked: the study kept "
        "no digest of them. Run it again with this version of outfield."
    )
