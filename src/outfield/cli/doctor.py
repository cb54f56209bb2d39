from __future__ import annotations

from importlib import metadata, util
from pathlib import Path

from typer import Exit, echo

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "polars",
    "duckdb",
    "lightning_fabric",
    "scikit-learn",
    "altair",
    "vl-convert-python",
)
EXTRAS = {"vision": ("timm",), "text": ("transformers", "peft"), "serve": ("fastapi",), "ray": ("ray",)}


def doctor() -> None:
    """Say what this installation has, what it lacks, and how to get it."""
    import torch

    from outfield import registry
    from outfield.features.cache import default_folder

    echo(f"outfield {metadata.version('outfield')}, Python packages:")
    for package in PACKAGES:
        echo(f"  {package} {metadata.version(package)}")
    echo(f"Devices: cpu ({torch.get_num_threads()} threads){', cuda' if torch.cuda.is_available() else ''}")
    for extra, packages in EXTRAS.items():
        absent = [package for package in packages if util.find_spec(package) is None]
        echo(f"Extra {extra}: " + (f"absent; pip install 'outfield[{extra}]'" if absent else "installed"))
    echo(f"Plug-ins: {', '.join(f'{len(registry.names(kind))} {kind}' for kind in registry.kinds())}")
    if broken := _unloadable():
        echo("Plug-ins that do not load:\n" + "\n".join(f"  {line}" for line in broken))
        raise Exit(1)
    folder = default_folder()
    echo(f"Cache: {folder} ({'writable' if _writable(folder) else 'NOT writable: set $OUTFIELD_CACHE'})")


def _unloadable() -> list[str]:
    """Plug-ins that cannot be imported, each with the reason."""
    from outfield import registry

    broken = []
    for kind in registry.kinds():
        for name in registry.names(kind):
            try:
                registry.find(kind, name)
            except Exception as error:
                broken.append(f"{kind} {name}: {type(error).__name__}: {error}")
    return broken


def _writable(folder: Path) -> bool:
    import os

    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)
