from __future__ import annotations

import builtins
from typing import Annotated

from typer import Argument, Option

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
    task: Annotated[str, Option(help="Only what serves this task: novelty, open-set, ood ...")] = "",
    modality: Annotated[str, Option(help="Only what takes these inputs: pictures, tokens (texts), rows ...")] = "",
    needs: Annotated[
        builtins.list[str] | None, Option(help="Only detectors that read this; give several for all.")
    ] = None,
) -> None:
    """Say what there is: of every kind, of one kind with a line each, or the page of one (list detectors rmds).

    `outfield list catalogue` writes all that carries tags as a page of Markdown, by task.
    """
    from outfield.cli import _listing

    say(_listing.shown(kind, name, task=task, modality=modality, needs=tuple(needs or ())))
