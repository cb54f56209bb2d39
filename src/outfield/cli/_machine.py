"""What ``outfield doctor`` says of the machine and its packages: what a report of a fault must name."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

NOT_ASKED = ("dev", "all", "peers")
"""Extras that no user of the command line misses."""


def lines() -> Iterator[tuple[str, str]]:
    """What it is, and what is there."""
    yield "outfield", metadata.version("outfield")
    yield "Python", f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}"
    yield "System", f"{platform.platform()}, {sys.getfilesystemencoding()} names"
    yield "CPU", f"{_processor()}, {_cores()}{_memory()}"
    yield "GPU", "; ".join(_gpus())
    yield "Packages", ", ".join(_stated(one) for one in required())
    for extra, packages in extras().items():
        absent = any(_version(one.name) is None for one in packages)
        yield f"Extra {extra}", ", ".join(map(_stated, packages)) + (f"; pip install 'outfield[{extra}]'" * absent)


def required() -> list[Requirement]:
    """The packages that outfield needs."""
    return [one for one in _requirements() if one.marker is None or one.marker.evaluate({"extra": ""})]


def extras() -> dict[str, list[Requirement]]:
    """The packages of each extra."""
    names = metadata.metadata("outfield").get_all("Provides-Extra") or []
    found = {
        name: [one for one in _requirements() if one.marker and one.marker.evaluate({"extra": name})] for name in names
    }
    always = {one.name for one in required()}
    return {
        name: [one for one in packages if one.name not in always and one.name != "outfield"]
        for name, packages in sorted(found.items())
        if name not in NOT_ASKED
    }


def _requirements() -> list[Requirement]:
    return [Requirement(text) for text in metadata.requires("outfield") or ()]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _stated(one: Requirement) -> str:
    version = _version(one.name)
    if version is None:
        return f"{one.name} ABSENT"
    fits = one.specifier.contains(version, prereleases=True)
    return f"{one.name} {version}" + ("" if fits else f" (NEEDS {one.specifier})")


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _cores() -> str:
    import torch

    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{free} core{'s' * (free != 1)} ({torch.get_num_threads()} used by torch)"


def _memory() -> str:
    try:
        return f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB of memory"
    except (AttributeError, OSError, ValueError):
        return ""


def _gpus() -> Iterator[str]:
    """Every GPU that torch can use, or why it can use none."""
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(number)
            yield f"cuda:{number} {found.name}, {found.total_memory / 2**30:.0f} GiB"
    elif torch.backends.mps.is_available():
        yield "mps"
    else:
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        yield f"none that torch can use (torch {torch.__version__} is built {built})"
