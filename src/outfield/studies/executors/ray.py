from __future__ import annotations

import os
import pickle
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from outfield.errors import MissingExtra, UserError
from outfield.studies.executors.base import Deaths, Done, Event, Executor, Failed, Notify, Work, attempt, set_threads

_POLL = 0.1
_STARTS = 3
_NO_CLUSTER = (
    "Start it there with `ray start --head`, or leave out --address. "
    "If it asks for a token, export RAY_AUTH_MODE=token."
)
_GIB = 2**30
_ADDRESS = "RAY_ADDRESS"
_HOST_AND_PORT = re.compile(r"([^/:]+):(\d+)$")
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Of a Ray that is started here: it reports to nobody, and leaves GPUs alone that nobody asked for."""


@dataclass(frozen=True)
class Ray(Executor):
    """Ray's workers, on this machine or on a cluster [1]: each model of the study is a task of Ray.

    Every machine of a cluster needs outfield, and reads data, and writes results, at the same paths or addresses.

    Parameters
    ----------
    processes : int
        Workers of a Ray that is started here; on a cluster its free resources decide.
    threads : int
        Threads of each task, which are CPUs to Ray.
    gpus : float
        GPUs of each task; a part of one lets tasks share it.
    memory : float, optional
        GiB of each task; Ray starts no more of them on a machine than fit.
    retries : int
        How often a task is tried again whose worker was killed or whose machine was lost.
    address : str, optional
        Of a cluster: ``auto``, ``ray://head:10001`` or ``head:6379``; by default ``$RAY_ADDRESS``, and without that a
        Ray is started on this machine, and stopped at the end. Where this process is connected already, that is used.

    References
    ----------
    [1] Moritz et al., Ray: A Distributed Framework for Emerging AI Applications, OSDI 2018.
    """

    processes: int = 2
    threads: int = 1
    gpus: float = 0.0
    memory: float | None = None
    retries: int = 2
    address: str | None = None

    def run(self, work: Work, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        if tasks:
            with self._connected():
                yield from self._supervised(pickle.dumps(work), tasks, notify)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        ray = _imported()
        if ray.is_initialized():
            yield
            return
        os.environ.update({name: value for name, value in _SETTINGS.items() if name not in os.environ})
        self._connect(ray)
        try:
            yield
        finally:
            ray.shutdown()

    def _connect(self, ray: Any) -> None:
        address = self.address or os.environ.get(_ADDRESS)
        try:
            if address:
                _knock(address)
                ray.init(address, logging_level="WARNING")
            else:
                _start(ray, self.processes * self.threads)
        except (Exception, SystemExit) as error:
            raise UserError(
                f"Expected Ray at {address or 'this machine'}, but got: {error} "
                + (_NO_CLUSTER if address else "Try again when the machine is less busy.")
            ) from error
        if not address:
            self._check(ray.cluster_resources())

    def _check(self, there: dict[str, float]) -> None:
        """Ray waits for ever for what a machine alone does not have."""
        for name, wanted in (("GPU", self.gpus), ("memory", (self.memory or 0) * _GIB)):
            if wanted > (has := there.get(name, 0)):
                unit = _GIB if name == "memory" else 1
                raise UserError(
                    f"Expected {wanted / unit:g} {'GiB' if unit > 1 else 'GPUs'} for each task (`resources`), but this "
                    f"machine has {has / unit:.3g} for Ray. Ask for less, or give the --address of a cluster."
                )

    def _supervised(self, work: bytes, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        ray = _imported()
        letters = ray.remote(_Letters).options(num_cpus=0, max_restarts=-1).remote()
        memory = int(self.memory * _GIB) if self.memory else None
        do = ray.remote(_do).options(num_cpus=self.threads, num_gpus=self.gpus, memory=memory, max_retries=0)
        shared, deaths = ray.put(work), Deaths(self.retries)

        def start(index: int) -> Any:
            return do.remote(shared, index, tasks[index], self.threads, letters)

        running = {start(index): index for index in range(len(tasks))}
        try:
            while running:
                ended, _ = ray.wait(list(running), timeout=_POLL)
                _tell(letters, notify)
                for one in ended:
                    if end := _outcome(one, index := running.pop(one), deaths):
                        yield end
                    else:
                        running[start(index)] = index
        finally:
            for one in running:
                ray.cancel(one, force=True)
            ray.kill(letters)


def _knock(address: str) -> None:
    """``OSError`` where nobody listens at ``HOST:PORT``; Ray itself would go on asking for minutes."""
    if match := _HOST_AND_PORT.search(address):
        socket.create_connection((match[1], int(match[2])), timeout=10).close()


def _start(ray: Any, cpus: int) -> None:
    """Start Ray here; on a busy machine its own helpers may miss their 15 s, and it has to be started again.

    Where they do, Ray raises an error, or ends the process by ``SystemExit``.
    """
    for left in reversed(range(_STARTS)):
        try:
            ray.init("local", num_cpus=cpus, include_dashboard=False, logging_level="ERROR")
            return
        except (Exception, SystemExit):
            ray.shutdown()
            if not left:
                raise


class _Letters:
    """Where workers leave their events until they are fetched."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def put(self, event: Event) -> None:
        self.events.append(event)

    def fetch(self) -> list[Event]:
        fetched, self.events = self.events, []
        return fetched


def _do(work: bytes, index: int, task: Any, threads: int, letters: Any) -> Done | Failed:
    set_threads(threads)
    return attempt(pickle.loads(work), index, task, letters.put.remote)


def _tell(letters: Any, notify: Notify) -> None:
    """Pass on the events; while the machine that holds them is lost, progress alone is."""
    ray = _imported()
    with suppress(ray.exceptions.RayActorError):
        for event in ray.get(letters.fetch.remote()):
            notify(event)


def _outcome(one: Any, index: int, deaths: Deaths) -> Done | Failed | None:
    ray = _imported()
    try:
        end: Done | Failed = ray.get(one)
    except ray.exceptions.RayTaskError as error:
        return Failed(index, str(error), by_user=False)
    except ray.exceptions.RayError:
        return deaths.of(index)
    return end


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", extra="ray") from None
    return ray
