"""Charts of results: neutral on light and dark, colours that colour-blind readers tell apart (Okabe-Ito)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import altair as alt
import numpy as np
import polars as pl
from scipy import stats

from outfield.types import Array, Estimate

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F7F7F",
)  # fmt: skip
PALETTE = [BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, "#8C6D31", GREY]
SHAPES = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-right", "triangle-left"]
INK = "#808080"


def styled(chart: Any) -> alt.TopLevelMixin:
    """A transparent ground and mid-grey ink, legible on light and on dark."""
    done: alt.TopLevelMixin = (
        chart.configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=INK, domainColor=INK, tickColor=INK, gridColor=INK, gridOpacity=0.15,
            labelFontSize=11, titleFontSize=12, titleFontWeight="normal", labelLimit=260,
        )
        .configure_title(color=INK, fontSize=13, anchor="start", fontWeight="normal", subtitleColor=INK)
        .configure_legend(labelColor=INK, titleColor=INK, titleFontWeight="normal", labelLimit=260)
    )  # fmt: skip
    return done


def estimates(named: Mapping[str, Estimate], *, title: str = "", rule: float | None = None) -> alt.TopLevelMixin:
    """A strip: a dot and its interval for every name, in the order given."""
    rows = [{"name": k, "value": e.value, "low": e.low, "high": e.high, "n": e.n} for k, e in named.items()]
    base = alt.Chart(data(_clean(rows)))
    y = alt.Y("name:N", sort=list(named), title=None)
    bars = base.mark_rule(color=BLUE, strokeWidth=2).encode(y=y, x=_x("low", ""), x2="high:Q")
    dots = base.mark_point(filled=True, size=60, color=BLUE, opacity=1).encode(
        y=y, x=_x("value", ""), tooltip=["name:N", _f("value"), _f("low"), _f("high"), "n:Q"]
    )
    layers = [bars, dots] if rule is None else [_rule(rule), bars, dots]
    return styled(alt.layer(*layers).properties(title=title, width=420, height=22 * len(named)))


def scatter(
    x: Array, y: Array, names: Sequence[str] = (), *, title: str = "", x_title: str = "x", y_title: str = "y",
    colour: Sequence[str] = (), band: Array | None = None, curve: Array | None = None,
) -> alt.TopLevelMixin:  # fmt: skip
    """Units as points, names on hover; optionally a curve [m, 2] with a band [m, 3] (x, low, high)."""
    rows = [{"x": float(a), "y": float(b)} for a, b in zip(x, y, strict=True)]
    shown = _largest(colour)
    for i, row in enumerate(rows):
        row.update(name=names[i] if len(names) else str(i), group=shown[i] if len(shown) else "all")  # type: ignore[call-overload]  # numbers and names in one row
    points = alt.Chart(data(rows)).mark_point(filled=True, size=55, opacity=0.85).encode(
        x=_x("x", x_title), y=_y("y", y_title), tooltip=["name:N", "group:N", _f("x"), _f("y")], **_groups(shown),
    )  # fmt: skip
    layers: list[Any] = []
    if band is not None:
        around = [{"x": a, "low": b, "high": c} for a, b, c in band.tolist()]
        layers.append(alt.Chart(data(around)).mark_area(color=GREY, opacity=0.25).encode(
            x=_x("x", x_title), y=_y("low", y_title), y2="high:Q"))  # fmt: skip
    if curve is not None:
        along = [{"x": a, "y": b} for a, b in curve.tolist()]
        layers.append(alt.Chart(data(along)).mark_line(color=GREY, strokeWidth=2).encode(
            x=_x("x", x_title), y=_y("y", y_title)))  # fmt: skip
    return styled(alt.layer(*layers, points).properties(title=title, width=460, height=320))


def line(table: pl.DataFrame, slope: Estimate, intercept: float, *, title: str = "") -> alt.TopLevelMixin:
    """Models about a line in probit scale on both axes, labelled in percent.

    Parameters
    ----------
    table : frame with columns model, id, ood, residual_probit, effective_robustness
    slope, intercept : of the line
    title : str
    """
    u, v = stats.norm.ppf(table["id"]), stats.norm.ppf(table["ood"])
    grid = np.linspace(u.min(), u.max(), 40)
    fit = intercept + slope.value * grid
    n = len(u)
    sd = np.sqrt((table["residual_probit"].to_numpy() ** 2).sum() / (n - 2))
    width = stats.t.ppf(0.975, n - 2) * sd * np.sqrt(1 / n + (grid - u.mean()) ** 2 / ((u - u.mean()) ** 2).sum())
    curve, band = np.stack([grid, fit], 1), np.stack([grid, fit - width, fit + width], 1)
    rows = table.with_columns(u=u, v=v).to_dicts()
    tips = ["model:N", alt.Tooltip("id:Q", format=".1%"), alt.Tooltip("ood:Q", format=".1%")]
    x, y = _probit(alt.X, "u", "ID accuracy (probit scale)", u), _probit(alt.Y, "v", "OOD accuracy (probit scale)", v)
    layers = [
        alt.Chart(data([{"u": a, "low": b, "high": c} for a, b, c in band.tolist()]))
        .mark_area(color=GREY, opacity=0.25, clip=True)
        .encode(x=x, y=_probit(alt.Y, "low", "OOD accuracy (probit scale)", v), y2="high:Q"),
        alt.Chart(data([{"u": a, "v": b} for a, b in curve.tolist()])).mark_line(color=GREY).encode(x=x, y=y),
        alt.Chart(data(rows))
        .mark_point(filled=True, size=55, color=BLUE, opacity=0.85)
        .encode(x=x, y=y, tooltip=[*tips, alt.Tooltip("effective_robustness:Q", format="+.1%")]),
    ]
    return styled(alt.layer(*layers).properties(title=title, width=460, height=320))


def _probit(axis: Any, field: str, title: str, values: Array) -> Any:
    shares = [0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999]
    ticks = {round(float(stats.norm.ppf(share)), 6): share for share in shares}
    low, high = float(values.min()) - 0.1, float(values.max()) + 0.1
    inside = {z: share for z, share in ticks.items() if low <= z <= high}
    names = " : ".join(f"abs(datum.value - ({z})) < 1e-4 ? '{share * 100:g}%'" for z, share in inside.items())
    labels = alt.Axis(values=list(inside), labelExpr=f"{names} : ''" if inside else "''", title=title)
    return axis(f"{field}:Q", scale=alt.Scale(domain=[low, high], nice=False, zero=False), axis=labels)


def shares(table: pl.DataFrame) -> alt.TopLevelMixin:
    """Bars of eta2 with intervals where there are some, largest first."""
    rows = table.filter(pl.col("eta2").is_not_null()).sort("eta2", descending=True).to_dicts()
    order = [row["term"] for row in rows]
    base = alt.Chart(data(_clean(rows)))
    y = alt.Y("term:N", sort=order, title=None)
    tips = ["term:N", *(_f(name) for name in ("eta2", "partial_eta2", "omega2", "ss", "f") if name in table.columns)]
    percent = alt.X("eta2:Q", title="share of variance (eta2)", axis=alt.Axis(format="%"))
    layers = [base.mark_bar(color=SKY, height=14).encode(y=y, x=percent, tooltip=tips)]
    if "eta2_low" in table.columns:
        layers.append(
            base.mark_rule(color=INK, strokeWidth=2).encode(
                y=y, x=alt.X("eta2_low:Q", title="share of variance (eta2)"), x2="eta2_high:Q"
            )
        )
    return styled(alt.layer(*layers).properties(width=420, height=24 * len(rows)))


def mean_ranks(named: Mapping[str, Estimate], difference: float, *, units: str) -> alt.TopLevelMixin:
    """Mean ranks with intervals, best first, and a bar as long as the critical difference from the best.

    ``units`` says how many of which units the ranks are of; a difference that is not finite draws no bar.
    """
    strip = estimates(named, title="mean rank (1 is best), 95% interval")
    if not np.isfinite(difference):
        return strip
    until = next(iter(named.values())).value + difference
    note = {"until": until, "label": f"critical difference {difference:.2f} from the best"}
    rule = alt.Chart(data([note])).mark_rule(color=VERMILION, strokeDash=[4, 3])
    extra = rule.encode(x="until:Q", tooltip="label:N")
    whole = alt.layer(*_layers(strip), extra)
    subtitle = [f"{units}; dashed: best + critical difference {difference:.2f}"]
    return styled(
        whole.properties(
            title=alt.TitleParams("mean rank (1 is best)", subtitle=subtitle), width=420, height=20 * len(named)
        )
    )


def _layers(chart: Any) -> list[Any]:
    return list(chart.layer)


def critical_difference(names: Sequence[str], means: Array, difference: float) -> alt.TopLevelMixin:
    """Demsar's diagram: treatments by mean rank, bars over groups that do not differ."""
    order = np.argsort(means)
    middle = float(means.min() + 0.65 * (means.max() - means.min()))
    rows = [
        {"name": f"{names[i]}  {means[i]:.2f}", "rank": float(means[i]), "y": at, "right": bool(means[i] <= middle)}
        for at, i in enumerate(order)
    ]
    x = alt.X(
        "rank:Q", title="mean rank (1 is best)", scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(orient="top")
    )
    place = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-0.7, len(rows) - 0.3], reverse=True))
    base = alt.Chart(data(rows)).encode(x=x, y=place)
    layers = [_bars(means[order], difference, place)] if _cliques(means[order], difference) else []
    layers.append(base.mark_point(filled=True, color=BLUE, size=45, opacity=1).encode(tooltip=["name:N"]))
    for right, text in ((True, {"align": "left", "dx": 8}), (False, {"align": "right", "dx": -8})):
        side = base.transform_filter(f"datum.right === {str(right).lower()}")
        layers.append(side.mark_text(color=INK, fontSize=11, **text).encode(text="name:N"))  # type: ignore[arg-type]  # literals of two keys
    subtitle = [f"treatments joined by a bar differ by less than {difference:.2f}"]
    title = alt.TitleParams("Critical-difference diagram", subtitle=subtitle)
    return styled(alt.layer(*layers).properties(title=title, width=520, height=max(120, 18 * len(rows))))


def _bars(means: Array, difference: float, place: alt.Y) -> alt.Chart:
    """A vertical bar, at the best of its group, over each group that does not differ."""
    bars = [{"x": float(means[a]), "y": a, "y2": b} for a, b in _cliques(means, difference)]
    rules: alt.Chart = alt.Chart(data(bars)).mark_rule(color=ORANGE, strokeWidth=3, opacity=0.7)
    done: alt.Chart = rules.encode(x="x:Q", y=place, y2="y2:Q")
    return done


def _cliques(means: Array, difference: float) -> list[tuple[int, int]]:
    """Longest runs of sorted means within the difference, none inside another."""
    out: list[tuple[int, int]] = []
    for a in range(len(means)):
        b = int(np.searchsorted(means, means[a] + difference, side="right")) - 1
        if b > a and (not out or b > out[-1][1]):
            out.append((a, b))
    return out


def matrix(
    names: Sequence[str], values: Array, *, title: str = "", domain: tuple[float, float] = (-1.0, 1.0)
) -> alt.TopLevelMixin:
    """A heat map of a square table, blue for positive and red for negative where the domain has both signs."""
    rows = [
        {"row": names[i], "column": names[j], "value": float(values[i, j])}
        for i in range(len(names)) for j in range(len(names)) if i != j and np.isfinite(values[i, j])
    ]  # fmt: skip
    both = domain[0] < 0
    stops = [domain[0], 0, domain[1]] if both else list(domain)
    colours = ["#B2182B", "#F7F7F7", "#2166AC"] if both else ["#2166AC", "#F7F7F7"]
    scheme = alt.Scale(domain=stops, range=colours, clamp=True)
    base = alt.Chart(data(rows)).encode(
        x=alt.X("column:N", sort=list(names), title=None), y=alt.Y("row:N", sort=list(names), title=None)
    )
    cells = base.mark_rect().encode(
        color=alt.Color("value:Q", scale=scheme, title=None), tooltip=["row:N", "column:N", _f("value")]
    )
    layers = [cells]
    if len(names) <= 14:
        ink = (
            alt.condition("abs(datum.value) > 0.6", alt.value("white"), alt.value("#333333"))
            if both
            else alt.value("#333333")
        )
        layers.append(base.mark_text(fontSize=10).encode(text=alt.Text("value:Q", format=".2f"), color=ink))
    size = max(160, 42 * len(names)) if len(names) <= 14 else 26 * len(names)
    return styled(alt.layer(*layers).properties(title=title, width=size, height=size * 2 // 3))


class _Inline(alt.Data):
    """Inline data, validated with the chart that it is in, and not before by itself."""

    _class_is_valid_at_instantiation = False


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows that altair takes as they are, where it would copy and walk through a list at every step."""

    values: list[dict[str, Any]]
    _schema: ClassVar[dict[str, Any]] = {"type": "array"}
    """What altair knows its own kind by."""

    def to_dict(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return self.values


def data(rows: list[dict[str, Any]]) -> alt.Data:
    """Rows as inline data."""
    return _Inline(values=_Rows(rows))  # type: ignore[no-untyped-call]  # altair leaves this constructor untyped


def network(names: Sequence[str], values: Array, *, title: str = "", least: float = 0.1) -> alt.TopLevelMixin:
    """A square table as a graph: blue edges positive, red negative, as wide as they are strong."""
    turn = 2 * np.pi * np.arange(len(names)) / len(names)
    at = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    edges = [
        {"x": at[i, 0], "y": at[i, 1], "x2": at[j, 0], "y2": at[j, 1], "value": float(values[i, j]),
         "size": abs(float(values[i, j])), "pair": f"{names[i]} ~ {names[j]}"}
        for i in range(len(names)) for j in range(i) if abs(values[i, j]) >= least
    ]  # fmt: skip
    nodes = [
        {"x": 1.12 * a, "y": 1.2 * b, "x0": a, "y0": b, "name": name} for name, (a, b) in zip(names, at, strict=True)
    ]
    colour = alt.Color(
        "value:Q", scale=alt.Scale(domain=[-1, 0, 1], range=["#B2182B", "#B0B0B0", "#2166AC"]), title=None
    )
    width = alt.StrokeWidth("size:Q", scale=alt.Scale(domain=[0, 1], range=[0.5, 9]), legend=None)
    rules = alt.Chart(data(edges)).mark_rule(opacity=0.8)
    tips = ["pair:N", _f("value")]
    lines = rules.encode(
        x=_place(alt.X, "x"), y=_place(alt.Y, "y"), x2="x2:Q", y2="y2:Q", color=colour, tooltip=tips, strokeWidth=width
    )
    base = alt.Chart(data(nodes))
    dots = base.mark_point(filled=True, size=110, color=INK, opacity=1).encode(
        x=_place(alt.X, "x0"), y=_place(alt.Y, "y0")
    )
    labels = [
        base.transform_filter(rule)
        .mark_text(fontSize=11, color=INK, align=align)  # type: ignore[arg-type]  # one of three literals
        .encode(x=_place(alt.X, "x"), y=_place(alt.Y, "y"), text="name:N")
        for rule, align in (
            ("datum.x0 > 0.1", "left"),
            ("datum.x0 < -0.1", "right"),
            ("abs(datum.x0) <= 0.1", "center"),
        )
    ]
    return styled(alt.layer(lines, dots, *labels).properties(title=title, width=440, height=340))


def _place(axis: Any, field: str) -> Any:
    return axis(f"{field}:Q", scale=alt.Scale(domain=[-2.1, 2.1]), axis=None)


def _x(field: str, title: str) -> alt.X:
    return alt.X(f"{field}:Q", title=title or None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))


def _y(field: str, title: str) -> alt.Y:
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(zero=False))


def _f(field: str) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", format=".4~g")


OTHERS = "others"
"""The group of all that are too small for a colour of their own."""


def _largest(groups: Sequence[str]) -> list[str]:
    """Groups as many as there are colours: where there are more, the largest, and all others as one."""
    sizes = Counter(groups)
    if len(sizes) <= len(PALETTE):
        return list(groups)
    kept = {name for name, _ in sizes.most_common(len(PALETTE) - 1)}
    return [name if name in kept else OTHERS for name in groups]


def _groups(groups: Sequence[str]) -> dict[str, Any]:
    """Colour and shape by group, one legend."""
    if not len(groups):
        return {"color": alt.value(BLUE)}
    names = sorted(dict.fromkeys(groups), key=OTHERS.__eq__)
    below = alt.Legend(orient="bottom", columns=4, symbolOpacity=1)
    return {
        "color": alt.Color("group:N", scale=alt.Scale(domain=names, range=PALETTE), title=None, legend=below),
        "shape": alt.Shape("group:N", scale=alt.Scale(domain=names, range=SHAPES), title=None, legend=below),
    }


def _rule(at: float) -> alt.Chart:
    rule: alt.Chart = alt.Chart(data([{"at": at}])).mark_rule(color=INK, strokeDash=[3, 3]).encode(x=alt.X("at:Q"))
    return rule


def _clean(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()} for row in rows]
