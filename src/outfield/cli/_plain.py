"""Text of anyone's for a terminal."""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|[\ud800-\udfff]")
"""Control characters but tab and line feed, what turns the direction of text, and halves of characters."""


def plain(text: object) -> str:
    r"""Text whose control characters are written out.

    Examples
    --------
    >>> print(plain("a\x1b[31mb\0"))
    a\x1b[31mb\x00
    """
    return CONTROL.sub(lambda sign: sign[0].encode("unicode_escape").decode(), str(text))


def say(text: object) -> None:
    """A line on the terminal, as it is."""
    print(plain(text), flush=True)
