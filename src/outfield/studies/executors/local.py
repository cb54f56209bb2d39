from __future__ import annotations

import os
import pickle
import queue
import shutil
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from outfield.errors import UserError
from outfield.studies.executors.base import (
    Deaths,
    Done,
    Event,
    Executor,
    Failed,
    Notify,
    Work,
    attempt,
    set_threads,
    threads_of,
)
from outfield.temporary_files import work_folder

_POLL = 0.1
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_events: Any = None
_work: Any = None


@dataclass(frozen=True)
class Local(Executor):
    """Processes on this machine.

    Each model has its process to itself: where that is killed, its jobs alone are tried again in a fresh one.

    Parameters
    ----------
    processes : int
        With one, all work is done in this process.
    threads : int
        Threads of each process.
    device : str
        With ``cuda`` and several processes, each gets one of the GPUs, in turn.
    retries : int
        How often a model whose process was killed is tried again.
    """

    processes: int = 2
    threads: int = 1
    device: str = "cpu"
    retries: int = 2

    def run(self, work: Work, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        if self.processes == 1 or len(tasks) <= 1:
            with threads_of(self.threads):
                yield from (attempt(work, index, task, notify) for index, task in enumerate(tasks))
        else:
            with _on_disk(work) as path:
                yield from self._parallel(path, tasks, notify)

    def _parallel(self, work: Path, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        gpus = _gpus() if self.device == "cuda" else ()
        seats = [
            _Seat(work, self.threads, gpus[number % len(gpus)] if gpus else None)
            for number in range(min(self.processes, len(tasks)))
        ]
        try:
            yield from _supervised(seats, deque(enumerate(tasks)), Deaths(self.retries), notify)
        finally:
            for seat in seats:
                seat.stop()


@contextmanager
def _on_disk(work: Work) -> Iterator[Path]:
    """A file that workers read the work from: through a pipe to one that dies, a large object would wait for ever."""
    with work_folder("work") as folder:
        yield _written(Path(folder) / "work", pickle.dumps(work))


def _written(path: Path, content: bytes) -> Path:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"Expected to write {len(content) / 2**20:,.1f} MiB for the workers to {path}, but got: {error.strerror}. "
            "Free some space, or name another folder with $TMPDIR."
        ) from error
    return path


@dataclass
class _Seat:
    """One process at a time and the queue of its events; both are renewed when it is killed."""

    work: Path
    threads: int
    gpu: str | None
    pool: ProcessPoolExecutor = field(init=False)
    events: Any = field(init=False)

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        context = get_context("spawn")
        self.events = context.Queue()
        self.pool = ProcessPoolExecutor(1, context, _start, (self.work, self.events, self.threads, self.gpu))

    def start(self, index: int, task: Any) -> Future[Done | Failed]:
        try:
            return self.pool.submit(_attempt_here, index, task)
        except BrokenProcessPool:
            self.stop()
            self.renew()
            return self.pool.submit(_attempt_here, index, task)

    def tell(self, notify: Notify) -> None:
        while True:
            try:
                event: Event = self.events.get_nowait()
            except queue.Empty:
                return
            notify(event)

    def stop(self) -> None:
        workers = list((self.pool._processes or {}).values())
        self.pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
            worker.join()
        self.events.close()


def _supervised(
    seats: list[_Seat], waiting: deque[tuple[int, Any]], deaths: Deaths, notify: Notify
) -> Iterator[Done | Failed]:
    free = list(seats)
    running: dict[Future[Done | Failed], tuple[_Seat, int, Any]] = {}
    while waiting or running:
        while waiting and free:
            seat, (index, task) = free.pop(), waiting.popleft()
            running[seat.start(index, task)] = seat, index, task
        ended, _ = wait(running, timeout=_POLL, return_when="FIRST_COMPLETED")
        for seat in seats:
            seat.tell(notify)
        for future in ended:
            seat, index, task = running.pop(future)
            free.append(seat)
            if end := _outcome(future, deaths, index):
                yield end
            else:
                waiting.append((index, task))


def _outcome(future: Future[Done | Failed], deaths: Deaths, index: int) -> Done | Failed | None:
    try:
        return future.result()
    except BrokenProcessPool:
        return deaths.of(index)


def _gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, by what ``CUDA_VISIBLE_DEVICES`` calls them."""
    if stated := os.environ.get(_VISIBLE):
        return tuple(stated.split(","))
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))


def _start(work: Path, events: Any, threads: int, gpu: str | None) -> None:
    global _events, _work
    threading.Thread(target=_end_with_parent, args=(work,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if gpu is not None:
        os.environ[_VISIBLE] = gpu
    set_threads(threads)
    _events, _work = events, pickle.loads(work.read_bytes())


def _end_with_parent(work: Path) -> None:
    """A worker is of no use when the process that asked for it is gone; nor is the file of its work."""
    if parent := parent_process():
        parent.join()
        shutil.rmtree(work.parent, ignore_errors=True)
        os._exit(1)


def _attempt_here(index: int, task: Any) -> Done | Failed:
    return attempt(_work, index, task, _events.put)
