"""What a service answered, for whoever checks it later: hourly Parquet without inputs, and the monitor's state.

The folder holds ``answers/``, ``feedback/``, ``events/`` and ``accuracy/`` (:mod:`outfield.guard.row_log`), what each
bundle is that answered (``bundles/``), ``monitor.safetensors`` and, where none was given, the key of the hashes. An
input stands there as a keyed hash: who has the key can tell whether an input was
asked about, and nobody can tell the input. A random share of the answers is marked for audit: their labels, sent back
as feedback, say what the guard's promise is worth (:mod:`outfield.guard.feedback`).
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from outfield.errors import UserError
from outfield.guard.description import Description, Promised
from outfield.guard.monitor import Monitor
from outfield.guard.row_log import ADDRESS, RowLog, now, rows
from outfield.guard.verdicts import Verdicts
from outfield.places import home
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    from outfield.guard.accuracy import AccuracyEstimates

ANSWER = {
    "input": pa.string(), "score": pa.float64(), "p": pa.float64(), "verdict": pa.string(), "prediction": pa.string(),
    "digest": pa.string(), "audited": pa.bool_(), "audit_probability": pa.float64(),
}  # fmt: skip
FEEDBACK = {"answer": pa.string(), "label": pa.string()}
AFTER = {"after_run": pa.string(), "after_row": pa.int64(), "digest": pa.string()}
"""After which answer something was, and of which bundle that is."""
EVENT = {"event": pa.string(), "note": pa.string(), **AFTER}
ACKNOWLEDGED = "acknowledged"
"""The event that an operator has seen the alarm: the monitor begins anew."""
ACCURACY = {
    "estimator": pa.string(), "value": pa.float64(), "low": pa.float64(), "high": pa.float64(), "n": pa.int64(),
    "known": pa.float64(), "ood_share": pa.float64(), "trust": pa.string(), **AFTER,
}  # fmt: skip
"""A row an estimator of each window; where none is estimated a row without one, whose ``trust`` says why."""
STATE = "monitor.safetensors"
KEY = "key"
KEY_BYTES = 32


@dataclass(frozen=True)
class Marks:
    """Of some answers: the id by which a label can be sent back, and whether it is asked for."""

    answer: list[str]
    audit: list[bool]


class Audit:
    """The audit log of a service, and the state that its monitor has after a restart.

    Parameters
    ----------
    folder : path
    probability : float
        Share of the answers that are marked for audit, at random.
    key : path, optional
        A file of at least 32 random bytes that its owner alone can read; made in ``folder`` where none is given.
    every : int
        Blocks of the monitor between two writings of its state.

    Raises
    ------
    UserError
        A share outside (0, 1], a key that others can read, or another process that writes into the folder.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        probability: float = 0.01,
        key: Path | str | None = None,
        every: int = 1,
        clock: Callable[[], datetime] = now,
    ) -> None:
        if not 0 < probability <= 1:
            raise UserError(f"Expected an audited share above 0 and at most 1, but got {probability:g}. Choose one.")
        self.folder, self.probability, self.every = home(folder), probability, every
        self._key, self.state_failures = _key(self.folder / KEY if key is None else home(key), made=key is None), 0
        self.answers = RowLog(self.folder / "answers", ANSWER, clock=clock)
        self.feedback = RowLog(self.folder / "feedback", FEEDBACK, clock=clock)
        self.events = RowLog(self.folder / "events", EVENT, clock=clock)
        self.accuracy = RowLog(self.folder / "accuracy", ACCURACY, clock=clock)
        self._random = np.random.default_rng()
        self._blocks = 0

    def add(
        self, fields: Mapping[str, Array], found: Verdicts, predicted: Array | None, digest: str, monitor: Monitor
    ) -> Marks:
        """Have answers written, and the monitor's state where a block has become full."""
        n = len(found.score)
        audited = (self._random.random(n) < self.probability).tolist()
        numbers = self.answers.add({
            "input": hashes(fields, self._key), "score": found.score.tolist(), "p": found.p.tolist(),
            "verdict": found.verdict.tolist(), "digest": [digest] * n,
            "prediction": [None] * n if predicted is None else [str(one) for one in predicted.tolist()],
            "audited": audited, "audit_probability": [self.probability] * n,
        })  # fmt: skip
        if monitor.blocks - self._blocks >= self.every or monitor.blocks < self._blocks:
            self.keep(monitor, digest)
        return Marks([f"{self.answers.run}-{number}" for number in numbers], audited)

    def describe(self, bundle: Promised) -> None:
        """Write down what a bundle is whose answers follow; a failure is counted."""
        try:
            Description.of(bundle).save(self.folder)
        except (OSError, UserError):
            self.state_failures += 1

    def acknowledge(self, note: str, digest: str) -> None:
        """Have written that an alarm was seen, after the answers until now."""
        self.events.add({"event": [ACKNOWLEDGED], "note": [note], **self._after(1, digest)})

    def estimated(self, found: AccuracyEstimates, digest: str) -> None:
        """Have an estimate of the recent accuracy written."""
        estimates: list[tuple[str | None, Estimate]] = [*found.estimates.items()] or [(None, Estimate(float("nan")))]
        n = len(estimates)
        self.accuracy.add({
            "estimator": [name for name, _ in estimates],
            **{key: [_finite(getattr(one, key)) for _, one in estimates] for key in ("value", "low", "high", "n")},
            "known": [found.known.value] * n, "ood_share": [found.ood_share] * n, "trust": [found.trust] * n,
            **self._after(n, digest),
        })  # fmt: skip

    def _after(self, n: int, digest: str) -> dict[str, list[Any]]:
        last = self.answers.added - 1
        return {"after_run": [self.answers.run] * n, "after_row": [last] * n, "digest": [digest] * n}

    def keep(self, monitor: Monitor, digest: str) -> None:
        """Write the state of a monitor; a failure is counted."""
        self._blocks = monitor.blocks
        try:
            save_state(monitor, self.folder / STATE, digest)
        except (OSError, SafetensorError):
            self.state_failures += 1

    def resumed(self, monitor: Monitor, digest: str) -> Monitor:
        """A new monitor with the state that was kept of this bundle's, where there is one."""
        found = resumed(monitor, self.folder / STATE, digest)
        self._blocks = found.blocks
        return found

    @property
    def lost(self) -> int:
        """Rows that could not be written."""
        return sum(one.lost for one in self._logs)

    @property
    def failures(self) -> int:
        """How often something could not be written."""
        return sum(one.failures for one in self._logs) + self.state_failures

    @property
    def _logs(self) -> tuple[RowLog, ...]:
        return self.answers, self.feedback, self.events, self.accuracy

    def health(self) -> dict[str, Any]:
        """What is written, what is lost, and why."""
        return {
            "written": self.answers.written, "lost": self.lost, "state_failures": self.state_failures,
            "failure": next((one.failure for one in self._logs if one.failure), None),
        }  # fmt: skip

    def close(self) -> None:
        """Write what waits."""
        for one in self._logs:
            one.close()


def _finite(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value


def _key(path: Path, *, made: bool) -> bytes:
    """The key of a file; a new one where there is none, kept where that can be."""
    if made and not path.exists():
        return _new_key(path)
    if not path.is_file():
        raise UserError(f"Expected a key at {path}, but there is no such file. Make one, or leave the option out.")
    if path.stat().st_mode & 0o077:
        raise UserError(f"Expected a key that its owner alone can read, but others can read {path}. chmod 600 it.")
    if len(content := path.read_bytes()) < KEY_BYTES:
        raise UserError(
            f"Expected a key of at least {KEY_BYTES} bytes at {path}, but got {len(content)}. Make another."
        )
    return content


def _new_key(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as target:
            target.write(key)
    return key


def hashes(fields: Mapping[str, Array], key: bytes) -> list[str]:
    """HMAC-SHA256 of each input, of 128 bits: of the names, types, shapes and bytes of its fields.

    Examples
    --------
    >>> a, b, again = hashes({"inputs": np.array([[1.0], [2.0], [1.0]])}, b"a key")
    >>> a == again, a == b, len(a)
    (True, False, 32)
    """
    arrays = [(name, np.ascontiguousarray(fields[name])) for name in sorted(fields)]
    head = "|".join(f"{name}:{one.dtype.str}:{one.shape[1:]}" for name, one in arrays).encode()
    n = len(arrays[0][1])
    return [
        hmac.digest(key, head + b"".join(one[row].tobytes() for _, one in arrays), "sha256")[:16].hex()
        for row in range(n)
    ]


def save_state(monitor: Monitor, path: Path, digest: str) -> None:
    """Write a monitor's state, whole or not at all, with the digest of the bundle whose scores it saw.

    It is not forced onto the disk: what it survives is the end of the process.

    Raises
    ------
    OSError
        It cannot be written; what was there stays.
    """
    temporary = path.with_suffix(".part")
    save_file({name: np.ascontiguousarray(one) for name, one in monitor.state().items()}, temporary, {"digest": digest})
    temporary.replace(path)


def resumed(monitor: Monitor, path: Path, digest: str) -> Monitor:
    """A monitor with the state in a file, where that is of the same bundle.

    Raises
    ------
    UserError
        The file is not what was written.
    """
    if not path.is_file():
        return monitor
    try:
        with safe_open(path, "numpy") as found:
            kept, state = found.metadata() or {}, {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118
        return monitor.resumed(state) if kept.get("digest") == digest else monitor
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"Expected the state of a monitor at {path}, but it is damaged ({error}). Move it away: the monitor then "
            "begins anew, and `outfield guard monitor BUNDLE FOLDER` says what it knew."
        ) from None


def answers(folder: Path | str, *, empty: bool = False) -> pl.DataFrame:
    """The answers of an audit log, in their order, each with its ``answer`` id.

    Raises
    ------
    UserError
        No audit log, or one without an answer where it must not be ``empty``.
    """
    table = rows(home(folder) / "answers", _none(ANSWER) if empty else None)
    return table.with_columns(pl.concat_str("run", pl.col("row").cast(pl.String), separator="-").alias("answer"))


def log_rows(folder: Path | str, name: str) -> pl.DataFrame:
    """The rows of one of an audit log's other logs, ``events`` or ``accuracy``; none where nothing was written."""
    return rows(home(folder) / name, _none(EVENT if name == "events" else ACCURACY))


def _none(columns: Mapping[str, pa.DataType]) -> pl.DataFrame:
    found = pl.from_arrow(pa.schema({**ADDRESS, **columns}).empty_table())
    assert isinstance(found, pl.DataFrame)
    return found


def pairs(told: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The answers and labels of a request of feedback.

    Raises
    ------
    UserError
        Something else.
    """
    found = [(one.get("answer"), one.get("label")) for one in told if isinstance(one, dict)]
    known = [(a, str(label)) for a, label in found if isinstance(a, str) and isinstance(label, (str, int))]
    if not known or len(known) < len(told) or any(len(a) > 100 or len(label) > 1_000 for a, label in known):
        raise UserError(
            'Expected {"answer": ID, "label": LABEL} with the id of an answer and its true label ("ood" where it is of '
            "no class), or a list of these, but got something else. Send those."
        )
    return known
