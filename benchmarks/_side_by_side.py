"""Measuring side by side: wall and processor seconds of steps in one process, and their ratios."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import TypeVar

import torch

R = TypeVar("R")


@dataclass(frozen=True)
class Seconds:
    """What a step took: on the clock, and of the processor in all threads."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def over(self, other: Seconds) -> str:
        """Both ratios; a machine with other work to do moves the first, and hardly the second."""
        return f"{self.wall / other.wall:.2f} (processor {self.cpu / other.cpu:.2f})"

    def __str__(self) -> str:
        return f"{self.wall:.2f} s (processor {self.cpu:.2f} s)"


def timed(work: Callable[[], R]) -> tuple[R, Seconds]:
    """What ``work`` returns, and what it took."""
    wall, cpu = perf_counter(), process_time()
    made = work()
    return made, Seconds(perf_counter() - wall, process_time() - cpu)


@contextmanager
def compiled() -> Iterator[dict[str, str]]:
    """An environment in which Python keeps what it compiled, as it does for users, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": folder}


def parsed(about: str | None, **numbers: int) -> argparse.ArgumentParser:
    """A parser with these whole numbers and ``--threads``, one by default."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in ({"threads": 1} | numbers).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"{default} by default")
    return parser


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments; torch then has as many threads as they say."""
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return args
