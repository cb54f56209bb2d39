"""What a guard's page shows: one function a question, each of a :class:`GuardView`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import altair as alt
import numpy as np
import polars as pl

from outfield.errors import UserError
from outfield.guard.description import Promised
from outfield.guard.monitor import Monitor, always_valid_interval
from outfield.guard.timeline import DIRECTIONS, Timeline
from outfield.reports.displays._style import BLUE, GREEN, GREY, ORANGE, VERMILION
from outfield.reports.displays._style import rows as data
from outfield.reports.displays.base import Display, Figure
from outfield.stats import _plots

POINTS = 300
"""Looks that a chart draws, at most."""
RECENT = 10
"""Blocks of the moving share."""
LEAST, MOST = 1e-3, 1e9
"""Evidence below, and above, is drawn there."""
BARS = 90
"""Bars of the traffic, at most."""
SPANS = {
    "second": 1, "10 seconds": 10, "minute": 60, "10 minutes": 600, "hour": 3_600, "6 hours": 21_600, "day": 86_400,
    "week": 604_800, "30 days": 2_592_000,
}  # fmt: skip
NO_REQUEST = "No request yet: this fills as soon as the service answers."
NO_LOG = "The service keeps no audit log, so it has no history. Start it with --audit FOLDER."
CLOCK = {
    "year": "%Y", "month": "%b %Y", "date": "%d %b", "hours": "%H:%M", "minutes": "%H:%M", "seconds": "%H:%M:%S",
    "milliseconds": "%H:%M:%S",
}  # fmt: skip
"""How a time is written on an axis, by the largest unit that it is a whole of."""
TICKS = alt.Axis(tickCount=6, labelOverlap=True, format=CLOCK)
TIME = alt.X("ms:T", title="time (UTC)", scale=alt.Scale(type="utc"), axis=TICKS)


@dataclass(frozen=True, eq=False)
class Requests:
    """What the running service knows of its requests.

    Parameters
    ----------
    by_status : mapping of status to requests
    median, high : float
        Seconds of half, and of 99%, of the requests; NaN before the first.
    waiting : int
        In the queue.
    """

    by_status: Mapping[str, int]
    median: float
    high: float
    waiting: int


@dataclass(frozen=True, eq=False)
class GuardView:
    """What there is to show of a guard.

    Parameters
    ----------
    bundle : Bundle or Description
    monitor : Monitor
        As it stands, with its mirror.
    timeline : Timeline, optional
        What the audit log tells.
    requests : Requests, optional
        Of a running service.
    lost : int
        Answers that the log lacks.
    logged : bool
        Whether there is an audit log.
    accuracy_missing : str
        Why there is no estimate of the accuracy.
    """

    bundle: Promised
    monitor: Monitor
    timeline: Timeline | None = None
    requests: Requests | None = None
    lost: int = 0
    logged: bool = True
    accuracy_missing: str = field(default=NO_REQUEST)

    @property
    def story(self) -> Timeline:
        """The history; ``UserError`` that says why there is none."""
        if self.timeline is None:
            raise UserError(NO_REQUEST if self.logged else NO_LOG)
        return self.timeline

    @property
    def alpha(self) -> float:
        """The share of ID inputs that was promised to be flagged at most."""
        return self.bundle.manifest.promises[0].alpha

    @property
    def flagged(self) -> tuple[int, int]:
        """Flagged inputs, and all that have a score."""
        verdicts = self.story.answers["verdict"]
        return int((verdicts == "ood").sum()), int((verdicts != "no verdict").sum())


def percent(share: float) -> str:
    """A share in words.

    Examples
    --------
    >>> percent(0.05), percent(0.0123), percent(0.0004)
    ('5%', '1.23%', '0.04%')
    """
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def number_of(n: float, word: str = "input") -> str:
    """So many inputs.

    Examples
    --------
    >>> number_of(1), number_of(20_000)
    ('1 input', '20,000 inputs')
    """
    return f"{n:,.0f} {word}{'' if n == 1 else 's'}"


def flag_rate(view: GuardView) -> Display:
    """The share of inputs that are flagged"""
    story = view.story
    if story.looks.is_empty():
        raise UserError(f"Too few requests yet: the monitor looks at every {view.monitor.block} inputs.")
    block = view.monitor.block
    every = story.looks.with_columns((pl.col("in_block") / block).rolling_mean(RECENT).alias("recent"))
    some = _thinned(every)
    bands = [always_valid_interval(x, max(n, x)) for x, n in zip(some["flagged"], some["items"], strict=True)]
    table = some.select(
        *_when(), pl.col("items").cast(pl.Int64).alias("inputs"),
        (pl.col("flagged") / pl.col("items")).alias("share"),
        pl.Series("low", [low for low, _ in bands]), pl.Series("high", [high for _, high in bands]), "recent",
    )  # fmt: skip
    low, high = bands[-1]
    base = alt.Chart(data(table)).encode(x=TIME)
    tips = [alt.Tooltip("time:N", title="time (UTC)"), alt.Tooltip("inputs:Q", format=",")]
    tips += [alt.Tooltip(f"{one}:Q", format=".2%") for one in ("share", "low", "high")]
    tips += [alt.Tooltip("recent:Q", title="last 500", format=".2%")]
    share = alt.Y("share:Q", title="share of inputs flagged", axis=alt.Axis(format="~%", tickCount=5))
    layers = [
        base.mark_area(opacity=0.25, color=BLUE).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(color=GREY, strokeWidth=1.2).encode(y="recent:Q"),
        base.mark_line(color=BLUE, strokeWidth=2).encode(y=share),
        base.mark_point(color=BLUE, size=60, opacity=0).encode(y="share:Q", tooltip=tips),
        _promise(view.alpha),
        *_marks(story),
    ]
    says = "more than was promised" if low > view.alpha else "no more than was promised can be told"
    caption = (
        f"Blue: the share of all inputs so far above the threshold, with a 95% interval that holds at every look at "
        f"once. Grey: the share in the last {RECENT * block}. Dashed: the {percent(view.alpha)} that is promised for "
        "inputs like the calibration data. Vertical: alarms, and their acknowledgement. No interval holds where "
        "inputs that follow each other are alike."
    )
    title = f"{percent(table['share'][-1])} of inputs are flagged [{percent(low)}, {percent(high)}]: {says}"
    return Display(
        "flag-rate", title, caption, table.drop("ms"), (Figure(_layered(layers, 260)),),
        {"time": "time (UTC)", "inputs": "inputs", "share": "share flagged", "low": "low", "high": "high",
         "recent": f"of the last {RECENT * block}"},
    )  # fmt: skip


def evidence(view: GuardView) -> Display:
    """The evidence of a change"""
    story = view.story
    if story.looks.is_empty():
        raise UserError(f"Too few requests yet: the monitor looks at every {view.monitor.block} inputs.")
    some = _thinned(story.looks)
    limit = view.monitor.run_length / view.monitor.block
    table = some.select(*_when(), pl.col("items").cast(pl.Int64).alias("inputs"), "up", "down")
    long = table.unpivot(["up", "down"], index=["ms", "time", "inputs"], variable_name="way", value_name="evidence")
    long = long.with_columns(
        pl.col("evidence").clip(LEAST, MOST), pl.col("way").replace_strict({"up": RISE, "down": FALL}, default=RISE)
    )
    legend = alt.Legend(orient="bottom", symbolType="stroke", title=None)
    ways = [RISE, FALL]
    colour = alt.Color("way:N", scale=alt.Scale(domain=ways, range=[BLUE, ORANGE]), legend=legend)
    dash = alt.StrokeDash("way:N", scale=alt.Scale(domain=ways, range=[[1, 0], [6, 3]]), legend=legend)
    axis = alt.Axis(format="~e", tickCount=6)
    base = alt.Chart(data(long)).encode(x=TIME)
    layers = [
        base.mark_line(strokeWidth=2).encode(
            y=alt.Y("evidence:Q", scale=alt.Scale(type="log"), title="evidence (log scale)", axis=axis), color=colour,
            strokeDash=dash,
            tooltip=[alt.Tooltip("time:N", title="time (UTC)"), alt.Tooltip("inputs:Q", format=","),
                     alt.Tooltip("evidence:Q", format=".3~g")],
        ),
        _promise(limit),
        *_marks(story),
    ]  # fmt: skip
    caption = (
        "The mean of bets that inputs lie above the rungs more often than was certified, of the scores (rise) and of "
        f"the negated scores (fall), at every {view.monitor.block} inputs; drawn up to {MOST:,.0f}. Dashed: "
        f"{limit:,.0f}, where it alarms. While nothing changes, that takes at least "
        f"{number_of(view.monitor.run_length)} on average in each direction."
    )
    seen = {RISE: view.monitor.alarm, FALL: view.monitor.mirror is not None and view.monitor.mirror.alarm}
    alarmed = [name for name, on in seen.items() if on]
    title = f"Evidence of a change: {' and '.join(alarmed)}" if alarmed else "There is no evidence of a change"
    return Display(
        "evidence", title, caption, table.drop("ms"), (Figure(_layered(layers, 220)),),
        {"time": "time (UTC)", "inputs": "inputs", "up": RISE, "down": FALL},
    )  # fmt: skip


RISE, FALL = "scores rise", "scores fall"


def ladder(view: GuardView) -> Display:
    """Every rung of the ladder"""
    watch = view.monitor
    if not watch.items:
        raise UserError(NO_REQUEST)
    rates = watch.ladder.rates.tolist()
    bands = [watch.flag_rate(place) for place in range(len(rates))]
    table = pl.DataFrame({
        "rung": [percent(one) for one in rates], "promised": rates,
        "observed": [float(one / watch.items) for one in watch.flags],
        "low": [low for low, _ in bands], "high": [high for _, high in bands],
        "verdict": [ABOVE if low > rate else WITHIN for rate, (low, _) in zip(rates, bands, strict=True)],
    })  # fmt: skip
    drawn = table.with_columns(pl.col("observed", "low").clip(FLOOR))
    rung = alt.Y("rung:N", sort=table["rung"].to_list()[::-1], title="promised, at most")
    share = alt.Scale(type="log", domain=[FLOOR, 1], clamp=True)
    axis = alt.Axis(format="~%", values=[0.0001, 0.001, 0.01, 0.1, 1])
    colour = alt.Color(
        "verdict:N", title=None, scale=alt.Scale(domain=[WITHIN, ABOVE], range=[BLUE, VERMILION]),
        legend=alt.Legend(orient="bottom"),
    )  # fmt: skip
    shape = alt.Shape("verdict:N", title=None, scale=alt.Scale(domain=[WITHIN, ABOVE], range=["circle", "triangle-up"]))
    tips = [alt.Tooltip("verdict:N", title="says")]
    tips += [alt.Tooltip(f"{one}:Q", format=".3%") for one in ("promised", "observed", "low", "high")]
    base = alt.Chart(data(drawn, 7)).encode(y=rung)
    layers = [
        base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", scale=share, title="share of inputs above the rung (log scale)", axis=axis), x2="high:Q",
            color=colour,
        ),
        base.mark_tick(color=GREY, thickness=2, size=18).encode(x=alt.X("promised:Q", scale=share)),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            x=alt.X("observed:Q", scale=share), color=colour, shape=shape, tooltip=tips
        ),
    ]  # fmt: skip
    broken = table.filter(pl.col("verdict") == ABOVE)
    named = ", ".join(broken["rung"])
    title = f"Above what was promised: rungs of {named}" if named else "No rung is above its promise"
    caption = (
        f"Of {number_of(watch.items)}: the share above each rung, with a 95% interval that holds at every look at "
        "once; grey ticks are what was promised for inputs like the calibration data. The promises hold together, "
        f"with probability {1 - watch.ladder.delta:.0%} over calibrations. The left end is {percent(FLOOR)} or less."
    )
    shown = table.with_columns(pl.col("promised", "observed", "low", "high") * 100)
    columns = {"promised": "promised, at most (%)", "observed": "observed (%)", "low": "low (%)", "high": "high (%)",
               "verdict": "verdict"}  # fmt: skip
    figure = Figure(_layered(layers, 26 * len(rates)))
    return Display("ladder", title, caption, shown.drop("rung"), (figure,), columns, open=True)


WITHIN, ABOVE = "not above the promise", "above the promise"
FLOOR = 1e-4


def alarms(view: GuardView) -> Display:
    """Alarms"""
    story = view.story
    if not story.alarms:
        raise UserError(f"No alarm in {number_of(view.monitor.items)}.")
    last = story.answers["time"][-1]
    table = pl.DataFrame({
        "direction": [RISE if one.direction == "up" else FALL for one in story.alarms],
        "alarm": [_text(one.time) for one in story.alarms], "inputs": [one.at for one in story.alarms],
        "acknowledged": ["" if one.acknowledged is None else _text(one.acknowledged) for one in story.alarms],
        "note": [one.note for one in story.alarms],
    })  # fmt: skip
    drawn = pl.DataFrame({
        "direction": table["direction"],
        "from": [_ms(one.time) for one in story.alarms],
        "to": [_ms(max(one.acknowledged or last, one.time + timedelta(milliseconds=1))) for one in story.alarms],
        "state": [OPEN if one.acknowledged is None else SEEN for one in story.alarms],
    })  # fmt: skip
    whole = _plots.data([{"from": _ms(story.answers["time"][0])}, {"from": _ms(last)}])
    x = alt.X(
        "from:T", title="time (UTC)", scale=alt.Scale(type="utc"), axis=TICKS,
    )  # fmt: skip
    colour = alt.Color(
        "state:N", title=None, scale=alt.Scale(domain=[OPEN, SEEN], range=[VERMILION, GREEN]),
        legend=alt.Legend(orient="bottom"),
    )  # fmt: skip
    base = alt.Chart(data(drawn)).encode(y=alt.Y("direction:N", title=None))
    layers = [
        base.mark_bar(height=14, opacity=0.85).encode(x=x, x2="to:T", color=colour),
        base.mark_tick(thickness=3, size=24).encode(x=x, color=colour),
        alt.Chart(whole).mark_point(opacity=0).encode(x=x),
    ]
    open_ = len(story.open_alarms)
    title = f"{number_of(len(story.alarms), 'alarm')}, {open_ or 'none'} not acknowledged"
    caption = (
        "Each bar is from the alarm to its acknowledgement, or to the last input: an alarm stays until somebody "
        "acknowledges it, and the monitor then begins anew. "
        + "; ".join(f"{RISE if one == 'up' else FALL}: {text.partition(': ')[2]}" for one, text in DIRECTIONS.items())
        + "."
    )
    return Display(
        "alarms", title, caption, table, (Figure(_layered(layers, 40 * drawn["direction"].n_unique())),),
        {"direction": "direction", "alarm": "alarm (UTC)", "inputs": "after inputs",
         "acknowledged": "acknowledged (UTC)", "note": "note"}, open=True,
    )  # fmt: skip


OPEN, SEEN = "not acknowledged", "acknowledged"


def accuracy(view: GuardView) -> Display:
    """Estimated accuracy on recent inputs"""
    told = None if view.timeline is None else view.timeline.accuracy
    if told is None or told.is_empty():
        raise UserError(view.accuracy_missing)
    from outfield.guard.accuracy import LIMIT  # with torch, which a service of an ONNX graph has not
    from outfield.guard.recent_accuracy import WINDOW

    said = told.filter(pl.col("time") == told["time"][-1])
    some = told.filter(pl.col("estimator").is_not_null())
    table = told.select(
        *_when(), pl.col("estimator").fill_null("none"), "value", "low", "high", "n", "known", "ood_share"
    )
    known, refused = float(told["known"][-1]), table.filter(pl.col("estimator") == "none")
    lowest = min([known, *table["low"].drop_nulls().to_list()])
    floor = max(0.0, float(np.floor((lowest - 0.02) * 20) / 20))
    figures = tuple(
        Figure(_estimates(table.filter(pl.col("estimator") == name), refused, known, floor), name.replace("_", " "))
        for name in some["estimator"].unique(maintain_order=True)
    )
    caption = (
        f"{said['trust'][0]} Each point is of {WINDOW:,} inputs without labels, with a 95% interval of the sampling "
        "error of both samples alone. Dashed: accuracy on the labelled calibration items. Crosses: no estimate, for at "
        f"least {percent(LIMIT)} of the inputs certainly was not like the calibration data. No estimator is right "
        "under every shift."
    )
    columns = {"time": "time (UTC)", "estimator": "estimator", "value": "accuracy", "low": "low", "high": "high",
               "n": "inputs", "known": "on labelled ID inputs", "ood_share": "certified OOD share"}  # fmt: skip
    return Display("accuracy", _accuracy_title(said, known), caption, table.drop("ms").reverse(), figures, columns)


def _accuracy_title(said: pl.DataFrame, known: float) -> str:
    values = said["value"].drop_nulls().to_list()
    if not values:
        return "No accuracy is estimated: too many recent inputs are not like the calibration data"
    between = f"{min(values):.1%} to {max(values):.1%}"
    until = f"The {int(said['n'].drop_nulls()[0]):,} inputs until {said['time'][0]:%H:%M:%S}"
    return f"{until}: probably {between} are answered right; of the labelled ID inputs {known:.1%} were"


def _estimates(table: pl.DataFrame, refused: pl.DataFrame, known: float, floor: float) -> alt.TopLevelMixin:
    some = table.tail(POINTS)
    base, none = alt.Chart(data(some)).encode(x=TIME), alt.Chart(data(refused.tail(POINTS))).encode(x=TIME)
    scale = alt.Scale(domain=[floor, 1.0], clamp=True)
    tips = [alt.Tooltip("time:N", title="time (UTC)")]
    tips += [alt.Tooltip(f"{one}:Q", format=".1%") for one in ("value", "low", "high")]
    y = alt.Y("value:Q", title="estimated accuracy", scale=scale, axis=alt.Axis(format="~%", tickCount=5))
    layers = [
        base.mark_rule(color=BLUE, strokeWidth=1.5).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_point(filled=True, size=45, color=BLUE, opacity=1).encode(y=y, tooltip=tips),
        none.mark_point(filled=True, shape="cross", size=70, color=VERMILION, angle=45).encode(
            y=alt.datum(floor), tooltip=[tips[0], alt.Tooltip("ood_share:Q", title="certified OOD share", format=".1%")]
        ),
        _promise(known),
    ]  # fmt: skip
    return _layered(layers, 170)


def traffic(view: GuardView) -> Display:
    """Inputs over time"""
    story = view.story
    times = story.answers["time"]
    span = max((times.max() - times.min()).total_seconds(), 1.0)  # type: ignore[operator, union-attr]  # times
    name, seconds = next(((n, s) for n, s in SPANS.items() if span / s <= BARS), list(SPANS.items())[-1])
    table = (
        story.answers.group_by(pl.col("time").dt.truncate(f"{seconds}s"), "verdict")
        .len("inputs")
        .sort("time", "verdict")
    )
    table = table.select(*_when(), pl.col("verdict").replace_strict(SAID, default="id"), "inputs")
    kinds = list(SAID.values())
    colour = alt.Color(
        "verdict:N", title=None, scale=alt.Scale(domain=kinds, range=[BLUE, VERMILION, GREY]),
        legend=alt.Legend(orient="bottom"),
    )  # fmt: skip
    width = max(2, 500 // max(int(span / seconds) + 1, 1))
    bars = (
        alt.Chart(data(table))
        .mark_bar(width=min(width, 18))
        .encode(
            x=TIME, y=alt.Y("inputs:Q", title=f"inputs per {name}", axis=alt.Axis(tickCount=4, format=",d")),
            color=colour,
            tooltip=[alt.Tooltip("time:N", title="from (UTC)"), "verdict:N", alt.Tooltip("inputs:Q", format=",")],
        )
        .properties(height=170, width="container")
    )  # fmt: skip
    rate = len(times) / span
    title = f"{number_of(len(times))}, {rate:,.1f} a second on average" if rate >= 0.1 else number_of(len(times))
    caption = f"Inputs per {name}, by verdict."
    if view.lost:
        caption += f" The log lacks {number_of(view.lost)}, which were lost or deleted."
    columns = {"time": "from (UTC)", "verdict": "verdict", "inputs": "inputs"}
    return Display("traffic", title, caption, table.drop("ms"), (Figure(bars),), columns)


SAID = {"id": "not flagged", "ood": "flagged", "no verdict": "no verdict"}


def requests(view: GuardView) -> Display:
    """Requests, and how long they take"""
    found = view.requests
    if found is None:
        raise UserError("How long requests take is known to the running service alone; this page is of its audit log.")
    if not found.by_status:
        raise UserError(NO_REQUEST)
    rows = [("half of the requests take, at most", _seconds(found.median)),
            ("99% of the requests take, at most", _seconds(found.high)),
            ("requests that wait now", f"{found.waiting:,}")]  # fmt: skip
    rows += [(f"requests answered with {status}", f"{n:,}") for status, n in sorted(found.by_status.items())]
    table = pl.DataFrame(rows, schema=["what", "value"], orient="row")
    failed = sum(n for status, n in found.by_status.items() if not status.startswith("2"))
    title = f"{number_of(sum(found.by_status.values()), 'request')} since the start, {failed or 'none'} refused"
    caption = "Since the service started; times from a histogram, straight between its bounds. 429: the queue was full."
    return Display("requests", title, caption, table, open=True)


def _seconds(value: float) -> str:
    return "not known" if np.isnan(value) else f"{1000 * value:,.1f} ms" if value < 1 else f"{value:,.2f} s"


def flagged_inputs(view: GuardView) -> Display:
    """The inputs that were flagged last"""
    some = view.story.flagged
    if some.is_empty():
        raise UserError(f"No input was flagged among {number_of(len(view.story.answers))}.")
    table = some.select(*_when(), pl.col("prediction").fill_null(""), "score", "p", "input", "answer").drop("ms")
    caption = (
        "The latest first. An input is a keyed hash: who has the key can tell whether an input was asked about, and "
        "the log keeps no picture or text of any. p: the least certified rate whose threshold the score is above. A "
        "label is sent back by the answer's id."
    )
    title = f"The last {number_of(len(some), 'flagged input')}" if len(some) > 1 else "The one flagged input"
    columns = {"time": "time (UTC)", "prediction": "predicted", "score": "score", "p": "p", "input": "keyed hash",
               "answer": "answer"}  # fmt: skip
    return Display("flagged-inputs", title, caption, table, columns=columns, open=True)


def _thinned(table: pl.DataFrame) -> pl.DataFrame:
    """At most ``POINTS`` rows, evenly, the last among them."""
    if len(table) <= POINTS:
        return table
    rows: list[int] = np.unique(np.linspace(0, len(table) - 1, POINTS).round().astype(int)).tolist()
    return table[rows]


def _when() -> tuple[pl.Expr, pl.Expr]:
    """The time for a chart, and for a reader."""
    time = pl.col("time")
    return time.dt.epoch("ms").alias("ms"), time.dt.strftime("%Y-%m-%d %H:%M:%S").alias("time")


def _ms(time: object) -> int:
    return int(pl.Series([time]).dt.epoch("ms")[0])


def _text(time: object) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _promise(value: float) -> alt.Chart:
    base: alt.Chart = alt.Chart(_plots.data([{"y": value}])).mark_rule(strokeDash=[5, 4], color=GREY)
    return base.encode(y="y:Q")


def _marks(story: Timeline) -> list[alt.Chart]:
    """Vertical lines where there was an alarm, and where it was acknowledged, with their names."""
    marks = [("alarm", VERMILION, one.time) for one in story.alarms]
    marks += [("acknowledged", GREEN, one.acknowledged) for one in story.alarms if one.acknowledged is not None]
    found = []
    for name, colour in (("alarm", VERMILION), ("acknowledged", GREEN)):
        if times := [{"ms": _ms(time), "name": name} for what, _, time in marks if what == name]:
            base = alt.Chart(_plots.data(times)).encode(x="ms:T")
            found.append(base.mark_rule(color=colour, strokeWidth=1.5))
            found.append(
                base.mark_text(align="right", baseline="top", dx=-4, fontSize=11, color="#808080")
                .encode(text="name:N", y=alt.value(2 if name == "alarm" else 16))
            )  # fmt: skip
    return found


def _layered(layers: list[alt.Chart], height: int) -> alt.TopLevelMixin:
    found: alt.TopLevelMixin = alt.layer(*layers).properties(height=height, width="container")
    return found
