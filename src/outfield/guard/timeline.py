"""The story of a stream from its audit log: every look of the monitor, alarms, acknowledgements, estimated accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from outfield.errors import UserError
from outfield.guard.audit import ACKNOWLEDGED, answers, log_rows
from outfield.guard.description import Description, Promised, monitor_with_mirror
from outfield.guard.monitor import Monitor
from outfield.places import home

FLAGGED = 100
"""Flagged inputs that are shown, the last ones."""
DIRECTIONS = {"up": "scores rise: inputs look less like the calibration data",
              "down": "scores fall: inputs look more usual than the calibration data"}  # fmt: skip
"""What an alarm of each direction says."""


LOOK: dict[str, pl.DataType | type[pl.DataType]] = {
    "items": pl.Float64, "time": pl.Datetime("us", "UTC"), "flagged": pl.Int64, "in_block": pl.Int64,
    "up": pl.Float64, "down": pl.Float64,
}  # fmt: skip


@dataclass
class Alarm:
    """An alarm, and whether somebody has acknowledged it."""

    direction: str
    at: float
    time: datetime
    acknowledged: datetime | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Timeline:
    """What an audit log tells of the bundle that answered last.

    Parameters
    ----------
    bundle : Description or Bundle
    monitor : Monitor
        As it stands, with its mirror.
    answers : frame
        The answers of this bundle since it began to answer, in their order.
    earlier, lacking : int
        Answers of other bundles before, which are not in ``answers``; and answers that were lost or deleted.
    looks : frame
        A row a look: ``items``, ``time``, ``flagged`` and ``in_block`` (inputs above the threshold, of all and of this
        block), ``up`` and ``down`` (the evidence, and that of the mirror).
    alarms : list of Alarm
    accuracy : frame
        The estimates, as they were made.
    """

    bundle: Promised
    monitor: Monitor
    answers: pl.DataFrame
    earlier: int
    lacking: int
    looks: pl.DataFrame
    alarms: list[Alarm]
    accuracy: pl.DataFrame

    @property
    def flagged(self) -> pl.DataFrame:
        """The last inputs that were flagged, the latest first."""
        return self.answers.filter(pl.col("verdict") == "ood").tail(FLAGGED).reverse()

    @property
    def open_alarms(self) -> list[Alarm]:
        """Those that nobody has acknowledged."""
        return [one for one in self.alarms if one.acknowledged is None]


def timeline(folder: Path | str, bundle: Promised | None = None, *, run_length: float = 100_000) -> Timeline:
    """The story that an audit log tells, worked out from its answers.

    Parameters
    ----------
    bundle : Bundle, optional
        By default what the log says of the bundle that answered last.

    Raises
    ------
    UserError
        No audit log; or none of this bundle at its end.
    """
    table = answers(folder)
    described = Description.load(folder, str(table["digest"][-1])) if bundle is None else bundle
    return timeline_of(table, folder, described, run_length=run_length)


def timeline_of(
    table: pl.DataFrame, folder: Path | str, described: Promised, *, run_length: float = 100_000
) -> Timeline:
    """The same of answers that were read already."""
    digest = described.manifest.digest
    start = stretch_of(table, digest)
    events = log_rows(folder, "events")
    replay = _Replay(monitor_with_mirror(described, run_length=run_length), table[start:])
    for event in events.filter(pl.col("event") == ACKNOWLEDGED).iter_rows(named=True):
        if (at := place_of(table, event)) >= start and event["digest"] == digest:
            replay.until(at - start)
            replay.acknowledge(event["time"], event["note"])
    replay.until(len(table) - start)
    told = log_rows(folder, "accuracy")
    return Timeline(
        described, replay.monitor, table[start:], start, lacking(table), replay.looks(), replay.alarms,
        told.filter(pl.col("digest") == digest),
    )  # fmt: skip


def stretch_of(table: pl.DataFrame, digest: str) -> int:
    """Where the last answers of a bundle begin, after which there are none of others.

    Raises
    ------
    UserError
        The last answer is of another bundle.
    """
    of_others = (table["digest"] != digest).arg_true()
    start = int(of_others[-1]) + 1 if len(of_others) else 0
    if start == len(table):
        raise UserError(
            f"Expected answers of this bundle (digest {digest[:12]}) at the end of the log, but the last is of "
            f"{str(table['digest'][-1])[:12]}. Pass the bundle that the service has."
        )
    return start


def monitor_of(bundle: Promised, folder: Path | str, *, run_length: float = 100_000) -> tuple[Monitor, int]:
    """The monitor as it stands after the answers of an audit log, and how many answers the log lacks.

    It is of the last stretch of answers that this bundle gave: a service that reloads another begins anew.

    Raises
    ------
    UserError
        No audit log, or none of this bundle.
    """
    found = timeline(folder, bundle, run_length=run_length)
    return found.monitor, found.lacking


def lacking(table: pl.DataFrame) -> int:
    """How many answers were lost or deleted, by the gaps in their numbers."""
    return int(table.group_by("run").agg((pl.col("row").max() + 1 - pl.len()).alias("n"))["n"].sum())


def place_of(table: pl.DataFrame, event: dict[str, object]) -> int:
    """How many answers came before an event."""
    same = table["run"] == event["after_run"]
    if not same.any():
        return int((table["time"] <= event["time"]).sum())
    return int(same.arg_max() or 0) + int((same & (table["row"] <= event["after_row"])).sum())


class _Replay:
    """A monitor that is given answers look by look."""

    def __init__(self, monitor: Monitor, table: pl.DataFrame) -> None:
        self.monitor, self.alarms = monitor, list[Alarm]()
        self._scores, self._times = table["score"].fill_null(float("nan")).to_numpy(), table["time"]
        self._flags = (table["verdict"] == "ood").to_numpy()
        self._at, self._flagged, self._shown = 0, 0, 0
        self._rows: list[tuple[object, ...]] = []

    def until(self, stop: int) -> None:
        """Give it the answers before a place."""
        watch = self.monitor
        while self._at < stop:
            missing = watch.block - int(watch.open.items if watch.open else 0)
            part = slice(self._at, min(self._at + missing, stop))
            before = watch.blocks
            watch.update(self._scores[part])
            self._at = part.stop
            self._flagged += int(self._flags[part].sum())
            if watch.blocks > before:
                self._look(self._times[self._at - 1])

    def _look(self, time: datetime) -> None:
        self._rows.append((
            self.monitor.items, time, self._flagged, self._flagged - self._shown,
            *(one.statistic for one in self.monitor.directions.values()),
        ))  # fmt: skip
        self._shown = self._flagged
        open_ = {one.direction for one in self.alarms if one.acknowledged is None}
        for name, one in self.monitor.directions.items():
            if one.alarm and name not in open_:
                self.alarms.append(Alarm(name, one.items, time))

    def acknowledge(self, time: datetime, note: str) -> None:
        self.monitor.acknowledge()
        for one in self.alarms:
            if one.acknowledged is None:
                one.acknowledged, one.note = time, note

    def looks(self) -> pl.DataFrame:
        return pl.DataFrame(self._rows, schema=LOOK, orient="row")


def is_log(folder: Path | str) -> bool:
    """Whether a folder is an audit log."""
    place = home(folder)
    return (place / "answers").is_dir() and (place / "events").is_dir()
