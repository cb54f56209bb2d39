"""A guard from a model to its alarm: bundle, service, 20,000 inputs of which a share is OOD after 10,000, and a report.

    python benchmarks/guard_demo.py [FOLDER]

The published ResNet-20 on CIFAR-10, with 10% Tiny-ImageNet, where the real data are (``$OUTFIELD_DATA``), else a small
network on eight of the ten digits, with 50% of the other two. Writes the bundle, the audit log and ``report.html`` to
FOLDER; ``guard.html`` there is the page of the guard as its operator sees it after the run.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
from _guard_models import DATA, WEIGHTS, digits, digits_network, resnet20

from outfield import registry
from outfield.dashboard.guard_page import save, view_of_log
from outfield.data.in_memory import in_memory
from outfield.features.cache import Cache
from outfield.guard.audit import answers
from outfield.guard.build import build
from outfield.guard.bundle import Bundle
from outfield.guard.feedback import Findings, audited
from outfield.guard.monitor import Monitor, always_valid_interval
from outfield.models.base import Model
from outfield.reports.displays._style import BLUE, GREY, VERMILION
from outfield.reports.displays.base import Display, Figure
from outfield.reports.html import environment, render_sections, vega
from outfield.store.write import write_text

CHANGE, INPUTS, BATCH = 10_000, 20_000, 50
AUDITED = 0.05
RUNG = 0.05
STREAMS = 100
"""Streams drawn from the scores that were seen, for the delay."""
PAGE = """{% extends "_base.html" %}
{% block kind %}outfield guard{% endblock %}
{% block eyebrow %}outfield · the guard in production{% endblock %}
{% block lead %}{% from "_display.html" import answered %}
{{ answered("In short", answer, cautions, note) }}{% endblock %}
{% block tail %}{% from "_display.html" import facts_table %}
<p><a href="guard.html">The page of this guard</a>, as its operator sees it after the run: time line, ladder, alarms,
estimated accuracy, flagged inputs.</p>
<section id="provenance" aria-labelledby="h-provenance"><h2 id="h-provenance">Provenance</h2>
{{ facts_table(provenance) }}
<p class="note">Made {{ made }}. Scores are higher further out.</p></section>{% endblock %}"""


@dataclass(frozen=True, eq=False)
class World:
    """A model, where a service finds it, and data: inputs and labels each."""

    name: str
    served: str
    model: Model
    fit: tuple[np.ndarray, np.ndarray]
    calibrate: tuple[np.ndarray, np.ndarray]
    known: tuple[np.ndarray, np.ndarray]
    strange: np.ndarray
    share: float


def pictures(name: str, **options: int) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of a set and their labels."""
    found = in_memory(registry.create("sources", "zip", path=str(DATA / "vision" / f"{name}.zip"), **options).load())
    return np.stack([np.asarray(one) for one in found.read(slice(None))]), np.asarray(found.labels)


def world() -> World:
    """The real one where its files are, else the digits."""
    here = str(Path(__file__).resolve().with_name("_guard_models.py"))
    if not WEIGHTS.is_file():
        fit, (x, y), strange = digits()
        half = len(x) // 2
        network = digits_network()
        return World(
            "digits", f"{here}:digits_network", network, fit, (x[:half], y[:half]), (x[half:], y[half:]), strange, 0.5
        )
    x, y = pictures("cifar10_test")
    order = np.random.default_rng(0).permutation(len(x))
    held, later = order[:5000], order[5000:]
    strange, _ = pictures("tiny_imagenet_openood", channels=3, side=32)
    fit = pictures("cifar10_train500")
    known = x[later], y[later]
    return World("CIFAR-10, ResNet-20", f"{here}:resnet20", resnet20(), fit, (x[held], y[held]), known, strange, 0.1)


@dataclass(frozen=True, eq=False)
class Stream:
    """What is sent: inputs, and their labels ("ood" where they are of no class)."""

    inputs: np.ndarray
    labels: list[str]
    strange: np.ndarray


def stream(given: World, seed: int = 1) -> Stream:
    """Known inputs drawn with replacement; after the change a share is strange."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(given.known[0]), INPUTS)
    inputs = given.known[0][rows].copy()
    strange = (np.arange(INPUTS) >= CHANGE) & (rng.random(INPUTS) < given.share)
    inputs[strange] = given.strange[rng.integers(0, len(given.strange), strange.sum())]
    labels = np.where(strange, "ood", given.known[1][rows].astype(str))
    return Stream(inputs, labels.tolist(), strange)


@contextmanager
def service(bundle: Path, model: str | None, audit: Path) -> Iterator[tuple[int, int]]:
    """The port and the number of a service in a process of its own."""
    command = [sys.executable, "-m", "outfield", "guard", "serve", str(bundle), "--port", "0"]
    command += ["--audit", str(audit), "--audit-share", str(AUDITED), *([] if model is None else ["--model", model])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"localhost:(\d+)|127\.0\.0\.1:(\d+)", line):
                yield int(found[1] or found[2]), process.pid
                break
        else:
            raise RuntimeError(f"The service did not start:\n{said}")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, path: str, body: object) -> dict:
        self._connection.request("POST", path, json.dumps(body))
        return self._read()

    def status(self, path: str, body: object) -> int:
        """The status of an answer, whatever it is; a text is sent as it is."""
        self._connection.request("POST", path, body if isinstance(body, str) else json.dumps(body))
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def get(self, path: str) -> dict:
        self._connection.request("GET", path)
        return self._read()

    def _read(self) -> dict:
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"The service answered {answer.status}: {content[:300]!r}")
        return dict(json.loads(content))


def asked(client: Client, given: Stream) -> tuple[float, int | None]:
    """Send the stream, and a label for each audited answer; seconds, and after how many inputs an alarm was told."""
    start, told = time.perf_counter(), None
    for at in range(0, INPUTS, BATCH):
        part = given.inputs[at : at + BATCH]
        kind = "UINT8" if part.dtype == np.uint8 else "FP32"
        tensor = {"name": "inputs", "shape": part.shape, "datatype": kind, "data": part.ravel().tolist()}
        outputs = client.post("/v2/models/model/infer", {"inputs": [tensor]})["outputs"]
        said = {one["name"]: one["data"] for one in outputs}
        back = [
            {"answer": answer, "label": label}
            for answer, label, wanted in zip(said["answer"], given.labels[at : at + BATCH], said["audit"], strict=True)
            if wanted
        ]
        if back:
            client.post("/feedback", {"feedback": back})
        if told is None and at % 250 == 0 and client.get("/monitor")["alarm"]:
            told = at + BATCH
    return time.perf_counter() - start, told


def history(bundle: Bundle, scores: np.ndarray) -> pl.DataFrame:
    """The monitor at every look: flag rate at one rung with its band, and the evidence."""
    watch, rung = bundle.monitor(), int(np.argmin(np.abs(bundle.ladder.rates - RUNG)))
    rows = []
    for at in range(0, len(scores), watch.block):
        before = watch.flags[rung]
        watch.update(scores[at : at + watch.block])
        low, high = always_valid_interval(watch.flags[rung], watch.items)
        rows.append({
            "inputs": at + watch.block, "flag_rate": watch.flags[rung] / watch.items, "low": low, "high": high,
            "in_block": (watch.flags[rung] - before) / watch.block, "evidence": max(watch.statistic, 1e-3),
        })  # fmt: skip
    return pl.DataFrame(rows).with_columns(pl.col("in_block").rolling_mean(10).alias("of_500"))


def delays(
    bundle: Bundle, scores: np.ndarray, strange: np.ndarray, share: float, seed: int = 2
) -> tuple[np.ndarray, int]:
    """Inputs from the change to the alarm in streams that are drawn from what was seen; and how many alarmed before."""
    rng, known, unknown = np.random.default_rng(seed), scores[~strange], scores[strange]
    found, early = [], 0
    for _ in range(STREAMS):
        drawn = rng.choice(known, INPUTS)
        far = (np.arange(INPUTS) >= CHANGE) & (rng.random(INPUTS) < share)
        drawn[far] = rng.choice(unknown, int(far.sum()))
        at = first_alarm(bundle.monitor(), drawn)
        early += at <= CHANGE
        found.append(at - CHANGE)
    return np.array([one for one in found if one > 0]), early


def first_alarm(watch: Monitor, scores: np.ndarray) -> float:
    """After how many inputs the alarm comes; infinity where it does not."""
    watch.update(scores)
    return np.inf if watch.alarmed_at is None else watch.alarmed_at


@dataclass(frozen=True, eq=False)
class Run:
    """What was seen."""

    world: World
    bundle: Bundle
    history: pl.DataFrame
    table: pl.DataFrame
    sent: Stream
    told: int | None
    alarmed_at: float | None
    audit: Findings
    delays: np.ndarray
    early: int
    seconds: dict[str, float]

    @property
    def strange(self) -> np.ndarray:
        return self.sent.strange

    @property
    def wrong(self) -> float:
        """Share of wrong answers among all."""
        return float((self.table["prediction"] != pl.Series(self.sent.labels)).mean())

    @property
    def flagged(self) -> np.ndarray:
        return (self.table["verdict"] == "ood").to_numpy()


def flag_rate(run: Run) -> Display:
    """The flag rate with its always-valid band"""
    base = alt.Chart(alt.Data(values=run.history.to_dicts())).encode(alt.X("inputs:Q", title="inputs"))
    rate = alt.Y("flag_rate:Q", title=f"share above the rung of {RUNG:.0%}", axis=alt.Axis(format="%"))
    layers = [
        base.mark_area(opacity=0.25, color=BLUE).encode(alt.Y("low:Q", title=""), alt.Y2("high:Q")),
        base.mark_line(color=BLUE).encode(rate),
        base.mark_line(color=GREY, strokeWidth=1, opacity=0.8).encode(y="of_500:Q"),
        alt.Chart(alt.Data(values=[{"y": RUNG}])).mark_rule(strokeDash=[4, 4]).encode(y="y:Q"),
        *_rules(run),
    ]
    caption = (
        f"Blue: the share of all inputs so far above the threshold that is certified for {RUNG:.0%}, with the 95% "
        "interval that holds at every look at once. Grey: the share in the last 500. Dashed: what is certified. "
        f"Vertical: the change after {CHANGE:,} inputs (grey) and the alarm (red)."
    )
    title = "After the change more inputs are flagged than was certified"
    return Display(
        "flag-rate",
        title,
        caption,
        run.history,
        (Figure(alt.layer(*layers).properties(height=280, width="container")),),
    )


def evidence(run: Run) -> Display:
    """The evidence of a change"""
    base = alt.Chart(alt.Data(values=run.history.to_dicts())).encode(alt.X("inputs:Q", title="inputs"))
    limit = run.bundle.monitor().run_length / run.bundle.monitor().block
    scale = alt.Scale(type="log")
    layers = [
        base.mark_line(color=BLUE).encode(
            alt.Y("evidence:Q", scale=scale, title="Shiryaev-Roberts statistic", axis=alt.Axis(format=".0e"))
        ),
        alt.Chart(alt.Data(values=[{"y": limit}])).mark_rule(strokeDash=[4, 4]).encode(y="y:Q"),
        *_rules(run),
    ]
    caption = (
        f"The mean of bets on every rung, at every 50 inputs, on a logarithmic scale. Dashed: {limit:,.0f}, where it "
        f"alarms; without a change that takes at least {run.bundle.monitor().run_length:,.0f} inputs on average."
    )
    return Display(
        "evidence", "The evidence grows until it alarms", caption, run.history.select("inputs", "evidence"),
        (Figure(alt.layer(*layers).properties(height=220, width="container")),),
    )  # fmt: skip


def _rules(run: Run) -> list[alt.Chart]:
    marks = [(CHANGE, GREY), *([] if run.alarmed_at is None else [(run.alarmed_at, VERMILION)])]
    return [
        alt.Chart(alt.Data(values=[{"x": at}])).mark_rule(color=colour, strokeWidth=2).encode(x="x:Q")
        for at, colour in marks
    ]


def beside(run: Run) -> Display:
    """Beside the two rules that need no monitor"""
    here = None if run.alarmed_at is None else run.alarmed_at - CHANGE
    table = pl.DataFrame({
        "rule": ["monitor", "always alarm", "never alarm"],
        "false alarms before the change": [f"{run.early} of {STREAMS} streams", "every stream", "none"],
        "delay in this run": ["no alarm" if here is None else f"{here:,.0f} inputs", "0 inputs", "no alarm"],
        "median delay": [_delay(run.delays, 0.5), "0 inputs", "no alarm"],
        "delay in 90% of streams, at most": [_delay(run.delays, 0.9), "0 inputs", "no alarm"],
    })  # fmt: skip
    caption = (
        f"Delay: inputs from the change to the alarm. Medians over {STREAMS} streams drawn with replacement from the "
        "scores of this run. A rule that always alarms is never late and never of use."
    )
    return Display("beside", "The monitor beside two rules that need none", caption, table, open=True)


def _delay(delays: np.ndarray, share: float) -> str:
    found = float(np.quantile(delays, share, method="higher")) if len(delays) else np.inf
    return f"{found:,.0f} inputs" if np.isfinite(found) else "no alarm"


def audit(run: Run) -> Display:
    """What the labels say"""
    found, known = run.audit, ~run.strange
    named = {
        "flagged among ID inputs": (found.false_alarms, run.flagged[known].mean()),
        "passed among OOD inputs": (found.misses, (~run.flagged)[run.strange].mean()),
        "wrong answers": (found.wrong, run.wrong),
        "wrong answers, prediction-powered": (found.wrong_powered, run.wrong),
    }
    table = pl.DataFrame([
        {"rate": name, "labelled": one.n, "value": one.value, "low": one.low, "high": one.high, "truth": truth}
        for name, (one, truth) in named.items()
        if one is not None
    ])  # fmt: skip
    caption = (
        f"{found.labelled:,} of {found.answers:,} answers were marked at random and their labels sent back. 95% "
        "intervals: Clopper-Pearson, and prediction-powered with the flags of all answers. Truth: of all inputs."
    )
    return Display("audit", found.said, caption, table, open=True)


def page(run: Run) -> str:
    """The report as one file."""
    sections = {"Time line": [flag_rate, evidence], "Delay and false alarms": [beside], "The audit": [audit]}
    promise = run.bundle.manifest.promises[0]
    known = ~run.strange
    answer = [
        f"Promised: at most {promise.alpha:.0%} of ID inputs are flagged. Flagged in this run: "
        f"{run.flagged[known].mean():.2%} of {known.sum():,} ID inputs and {run.flagged[run.strange].mean():.1%} of "
        f"{run.strange.sum():,} OOD ones.",
        "The monitor did not alarm."
        if run.alarmed_at is None
        else f"After {CHANGE:,} inputs {run.world.share:.0%} became OOD. The monitor alarmed "
        f"{run.alarmed_at - CHANGE:,.0f} inputs later; of {STREAMS} such streams {run.early} alarmed before it.",
        run.audit.said,
    ]
    return environment().from_string(PAGE).render(
        title=f"A guard for {run.world.name}",
        answer=answer,
        cautions=[],
        note="The stream repeats inputs, as it is drawn with replacement; the scores are of a real service.",
        facts=[
            ("detector", run.bundle.manifest.detector.name), ("calibration items", f"{promise.n:,}"),
            ("inputs", f"{INPUTS:,}"), ("seconds", f"{sum(run.seconds.values()):.0f}"),
        ],
        legends={},
        sections=render_sections(sections, run),
        provenance=[
            ("bundle", run.bundle.manifest.digest), ("outfield", run.bundle.manifest.outfield),
            *((f"seconds: {name}", f"{value:.1f}") for name, value in run.seconds.items()),
        ],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        vega=vega(),
    )  # fmt: skip


def demonstrated(folder: Path) -> Run:
    """Build, serve, ask, look."""
    clock = [time.perf_counter()]
    seconds: dict[str, float] = {}

    def done(name: str) -> None:
        clock.append(time.perf_counter())
        seconds[name] = clock[-1] - clock[-2]
        print(f"{name}: {seconds[name]:.1f} s", flush=True)

    given = world()
    done("read the data")
    log = folder / "audit"
    if log.exists():
        shutil.rmtree(log)
    made = build(
        given.model, fit=given.fit, calibrate=given.calibrate, detector="energy", cache=Cache(folder / "cache")
    )
    place = made.save(folder / "demo.guard")
    done("build the bundle")
    sent = stream(given)
    with service(place, given.served, log) as (port, _):
        done("start the service")
        took, told = asked(Client(port), sent)
        done("ask and label")
    print(f"{INPUTS / took:,.0f} inputs a second; the service told of an alarm after {told or 'no'} inputs")
    bundle, table = Bundle.load(place), answers(log)
    scores = table["score"].to_numpy()
    if len(scores) != INPUTS:
        raise RuntimeError(f"The log holds {len(scores)} of {INPUTS} answers")
    found, early = delays(bundle, scores, sent.strange, given.share)
    watch = bundle.monitor().update(scores)
    seen = history(bundle, scores)
    done("look at the log")
    return Run(given, bundle, seen, table, sent, told, watch.alarmed_at, audited(log), found, early, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/guard_demo"))
    folder = parser.parse_args().folder
    start = time.perf_counter()
    run = demonstrated(folder)
    report = write_text(page(run), folder / "report.html")
    operator = save(view_of_log(folder / "audit"), folder / "guard.html")
    at = "no alarm" if run.alarmed_at is None else f"alarm {run.alarmed_at - CHANGE:,.0f} inputs after the change"
    print(f"{run.world.name}: {at}; median of {STREAMS} streams {_delay(run.delays, 0.5)}, {run.early} early")
    print(run.audit.said)
    print(f"The guard's page: {operator}")
    spent = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"Report: {report} ({time.perf_counter() - start:.0f} s in all, {spent:.0f} s of processors)")


if __name__ == "__main__":
    main()
