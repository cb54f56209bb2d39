"""The machine that results are made on, in words."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def machine() -> str:
    """Processor, cores, memory, accelerators and system of this machine.

    Accelerators are asked of torch where it is loaded already.

    Examples
    --------
    >>> "cores" in machine()
    True
    """
    return ", ".join(_parts())


def _parts() -> Iterator[str]:
    yield _processor()
    yield f"{os.cpu_count()} cores"
    with suppress(AttributeError, ValueError, OSError):
        yield f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        names = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
        yield from (f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    yield f"{platform.system()} {platform.release()}"
    yield f"Python {platform.python_version()}"


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()
