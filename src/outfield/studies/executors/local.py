from __future__ import annotations

import os
import pickle
import queue
import signal
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from outfield.errors import UserError
from outfield.studies.executors.base import Done, Event, Executor, Failed, Notify, Work

_POLL = 0.1
_events: Any = None
_work: Any = None


@dataclass(frozen=True)
class Local(Executor):
    """Processes on this machine.

    Parameters
    ----------
    processes : int
        With one, the tasks run in this process.
    threads : int
        Threads of each process.
    """

    processes: int = 2
    threads: int = 1

    def run(self, work: Work, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        if self.processes == 1 or len(tasks) <= 1:
            _set_threads(self.threads)
            yield from (_attempt(work, index, task, notify) for index, task in enumerate(tasks))
        else:
            yield from self._pool(work, tasks, notify)

    def _pool(self, work: Work, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        context = get_context("spawn")
        events = context.Queue()
        pool = ProcessPoolExecutor(
            min(self.processes, len(tasks)), context, _start, (pickle.dumps(work), events, self.threads)
        )
        try:
            pending = {pool.submit(_attempt_here, index, task) for index, task in enumerate(tasks)}
            while pending:
                done, pending = wait(pending, timeout=_POLL, return_when="FIRST_COMPLETED")
                _drain(events, notify)
                yield from map(_outcome, done)
        finally:
            _stop(pool)
            events.close()


def _stop(pool: ProcessPoolExecutor) -> None:
    workers = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join()


def _outcome(future: Future[Done | Failed]) -> Done | Failed:
    try:
        return future.result()
    except BrokenProcessPool:
        raise UserError(
            "A worker process was killed (out of memory?). What was finished is kept: run the same command again to go "
            "on, with fewer `resources.processes` if memory is short."
        ) from None


def _start(work: bytes, events: Any, threads: int) -> None:
    global _events, _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    _set_threads(threads)
    _events, _work = events, pickle.loads(work)


def _attempt_here(index: int, task: Any) -> Done | Failed:
    return _attempt(_work, index, task, _events.put)


def _attempt(work: Work, index: int, task: Any, notify: Notify) -> Done | Failed:
    try:
        return Done(index, work(task, notify))
    except UserError as error:
        return Failed(index, str(error), by_user=True)
    except Exception:
        return Failed(index, traceback.format_exc(), by_user=False)


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _drain(events: Any, notify: Notify) -> None:
    while True:
        try:
            event: Event = events.get_nowait()
        except queue.Empty:
            return
        notify(event)
