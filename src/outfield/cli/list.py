from __future__ import annotations

from typing import Annotated

from typer import Argument, echo


def list(kind: Annotated[str, Argument(help="detectors, strategies, shifts, metrics, sources ...")] = "") -> None:
    """Names of the plug-ins of a kind, own and installed ones; of every kind when none is given."""
    from outfield import registry

    if kind:
        echo("\n".join(registry.names(kind)))
        return
    for each in registry.kinds():
        echo(f"{each} ({len(registry.names(each))}): {', '.join(registry.names(each))}")
