"""What a study was measured on: the content digests of its data sets, as ``study.json`` has them."""

from __future__ import annotations

from pathlib import Path

from outfield.store import query


def digests(folder: Path | str) -> dict[str, str]:
    """Data set to the digest of what was measured: ``test`` and the OOD sets.

    Empty where an outfield that did not keep them ran the study.

    Examples
    --------
    >>> digests("results/digits")  # doctest: +SKIP
    {'test': 'd1b2...', 'letters': '03fe...'}
    """
    found = query.manifest(folder).get("data")
    return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}
