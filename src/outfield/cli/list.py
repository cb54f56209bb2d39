from __future__ import annotations

from typing import Annotated

from typer import Argument

from outfield.cli._plain import say


def list(
    kind: Annotated[
        str,
        Argument(
            help="detectors, strategies, metrics, sources, models, datasets, tables, systems ...; kinds shows all.",
            metavar="KIND",
        ),
    ] = "",
    name: Annotated[str, Argument(help="One of them: its page.", metavar="NAME")] = "",
) -> None:
    """Say what there is: of every kind, of one kind with a line each, or the page of one (list detectors rmds)."""
    from outfield.cli import _listing

    say(_listing.shown(kind, name))
