"""Write ``docs/real-tables.md`` and its pictures: ``python docs/real_tables.py [FOLDER OF THE PUBLISHED FILES]``.

Without a folder the extracts that ship are read. Every number on the page is computed here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
from scipy import stats

from outfield.errors import with_and
from outfield.reports.analysis import Analysis, analyse
from outfield.reports.findings import Finding
from outfield.reports.findings.cell_errors import error_of_zero
from outfield.reports.findings.copies import near_duplicates
from outfield.reports.findings.outliers import out_of_line_with_kin, unlike_its_kin
from outfield.stats import (
    benjamini_hochberg,
    between_within,
    cell_reliability,
    correlations_by_cluster,
    independent_units,
    partial_matrix,
    pearson,
    spearman,
    winner,
)
from outfield.stats.windows import Windows, over_runs
from outfield.tables.measures import Measures
from outfield.tables.profile import load
from outfield.types import Array, Estimate

HERE = Path(__file__).parent
PLACES = {
    "timm": "timm", "pythia": "pythia", "olmo": "olmo_ladder", "openclip": "open_clip",
    "testbed": "imagenet_testbed_top1.csv", "boards": "openood_leaderboard",
    "berts": "berts_of_a_feather_100_runs.csv", "robustbench": "robustbench",
}  # fmt: skip
"""Tables to where their files are within the folder of the published ones; the two studies' ship whole."""
BOARDS = ("cifar10", "cifar100", "imagenet200", "imagenet200 full-spectrum", "imagenet1k", "imagenet1k full-spectrum")
ATTACKS = (
    "cifar10 Linf",
    "cifar10 L2",
    "cifar10 corruptions",
    "cifar100 Linf",
    "cifar100 corruptions",
    "imagenet Linf",
    "imagenet corruptions",
)
KINDS = ("lexical overlap, not entailed", "subsequence, not entailed", "constituent, not entailed")
KIN = {
    "timm": "families of architectures", "pythia": "model sizes", "olmo": "model sizes",
    "openclip": "sources of pictures", "testbed": "architectures", "boards": "networks",
    "robustbench": "architectures", "berts": "runs", "krumpl2026": "models", "resnet50-48": "models",
}  # fmt: skip
NAMES = {
    "timm": "timm", "pythia": "Pythia", "olmo": "OLMo ladder", "openclip": "OpenCLIP", "testbed": "ImageNet testbed",
    "boards": "OpenOOD, ImageNet-1K", "berts": "BERTs of a feather", "robustbench": "RobustBench, CIFAR-10 Linf",
    "krumpl2026": "study 1 (56 ResNet-50)", "resnet50-48": "48 ResNet-50",
}  # fmt: skip
LEVEL = 0.05
CLOSE = 0.97
"""Correlations beyond this are told with three digits."""


# --- numbers as the page shows them ---


def span(found: Estimate) -> str:
    """An estimate with its interval."""
    digits = 3 if abs(found.value) > CLOSE else 2
    value, low, high = (f"{each:+.{digits}f}" for each in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]" if np.isfinite(found.low) else f"{value} (no interval)"


def chance(p: float) -> str:
    """A p-value."""
    return "" if np.isnan(p) else "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.1 else f"{p:.2f}"


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)


def quoted(findings: Sequence[Finding]) -> str:
    """Findings as a list."""
    return "\n".join(f"* {found.code}: {found.sentence}" for found in findings)


# --- tables ---


@dataclass(frozen=True)
class Tables:
    """The published tables: of a folder, or the extracts that ship."""

    folder: Path | None = None

    @cache  # noqa: B019  # one for a run of the command
    def of(self, name: str, study: str = "") -> Analysis:
        """The analysis of a table."""
        chosen = {"study": study} if study else {}
        if self.folder is None or name not in PLACES:
            return analyse(example=name, **chosen)
        return analyse(self.folder / PLACES[name], profile=name, **chosen)


@dataclass(frozen=True)
class Claim:
    """A correlation by rows, as it is usually told, and by units."""

    usual: Estimate
    usual_p: float
    ours: Estimate
    p: float

    @property
    def turned(self) -> bool:
        """Whether rows claim what units do not bear out."""
        return self.usual_p < LEVEL <= self.p or (np.isnan(self.p) and self.usual_p < LEVEL)

    @property
    def wider(self) -> float:
        """How many times wider the interval by units is."""
        return (self.ours.high - self.ours.low) / (self.usual.high - self.usual.low)

    @property
    def cells(self) -> tuple[str, ...]:
        """Both, with p and n."""
        left = (span(self.usual), chance(self.usual_p), f"{self.usual.n:,}")
        return (*left, span(self.ours), chance(self.p), f"{self.ours.n:,}")


def relation(analysis: Analysis, ood: str) -> Claim:
    """The ID measure with an OOD measure."""
    usual, ours = analysis.naive[ood], analysis.relations[ood].whole
    return Claim(usual.estimate, usual.p, ours.estimate, ours.p)


def together(analysis: Analysis, first: str, second: str) -> Claim:
    """Two OOD measures with each other."""
    x, y = analysis.measures.column(first), analysis.measures.column(second)
    usual, ours = spearman(x, y), analysis.correlate(x, y)
    return Claim(usual.estimate, usual.p, ours.estimate, ours.p)


def residual(values: Array, given: Array) -> Array:
    """What a straight line on ``given`` leaves of values."""
    return np.asarray(values - np.polyval(np.polyfit(given, values, 1), given))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Linear partial correlations of all pairs, by rows and by units; p after Benjamini and Hochberg."""

    names: tuple[tuple[str, str], ...]
    claims: tuple[Claim, ...]

    def of(self, *pair: str) -> Claim:
        """One pair."""
        return next(claim for names, claim in zip(self.names, self.claims, strict=True) if set(names) == set(pair))

    @property
    def by_rows(self) -> int:
        """Pairs that rows claim."""
        return sum(claim.usual_p < LEVEL for claim in self.claims)

    @property
    def by_units(self) -> int:
        """Pairs that units bear out."""
        return sum(claim.p < LEVEL for claim in self.claims)

    @property
    def both(self) -> int:
        """Pairs that rows claim and units bear out, with the same sign."""
        return sum(
            claim.usual_p < LEVEL > claim.p and claim.usual.value * claim.ours.value > 0 for claim in self.claims
        )


def usual_pairs(columns: Array, given: Array, names: Sequence[str]) -> list[tuple[tuple[str, str], Estimate, float]]:
    """Every pair by rows: linear partial correlation, its interval as if rows were independent, p."""
    found, left = partial_matrix(columns, given, names=names), [residual(column, given) for column in columns.T]
    return [
        ((names[i], names[j]), pearson(left[i], left[j]).estimate, float(found.p[i, j]))
        for i, j in combinations(range(len(names)), 2)
    ]


def of_models(analysis: Analysis) -> Pairs:
    """The pairs of a table that has a row a model."""
    names, measures = analysis.sets, analysis.measures
    columns, given = np.stack([measures.column(name) for name in names], axis=1), measures.column(measures.id)
    usual = usual_pairs(columns, given, names)
    if not measures.clusters:
        return Pairs(tuple(pair for pair, *_ in usual), tuple(Claim(one, p, one, p) for _, one, p in usual))
    found = correlations_by_cluster(
        np.column_stack([columns, given]), measures.clusters, kind="pearson", given=len(names), names=(*names, "given")
    )
    p = benjamini_hochberg([found.p_of(*pair) for pair, *_ in usual])
    claims = [Claim(one, own, found.of(*pair), float(q)) for (pair, one, own), q in zip(usual, p, strict=True)]
    return Pairs(tuple(pair for pair, *_ in usual), tuple(claims))


def of_runs(analysis: Analysis) -> Pairs:
    """The pairs of a table of checkpoints: all pooled, and the mean over runs with its interval over units."""
    along = analysis.along
    assert along is not None and along.checkpoints is not None
    points = along.checkpoints.after(0)
    rows = points.rows.drop_nulls(points.measures)
    names = tuple(dict.fromkeys(points.ood))
    usual = usual_pairs(rows.select(names).to_numpy().astype(float), rows[points.id].to_numpy().astype(float), names)
    ours = {frozenset(key[1:]): mean_of(found) for key, found in along.windows.items()}
    q = benjamini_hochberg([ours[frozenset(pair)][1] for pair, *_ in usual])
    claims = [Claim(one, p, ours[frozenset(pair)][0], float(own)) for (pair, one, p), own in zip(usual, q, strict=True)]
    return Pairs(tuple(pair for pair, *_ in usual), tuple(claims))


def mean_of(found: Windows) -> tuple[Estimate, float]:
    """The mean over all checkpoints of runs, Student's interval over units, and its p."""
    mean, low, high = (float(ends[0]) for ends in (found.mean, found.low, found.high))
    z = [np.arctanh(each) for each in (mean, low, high)]
    t = 2 * z[0] / (z[2] - z[1]) * stats.t.ppf(0.975, found.n_units - 1)
    return Estimate(mean, low, high, n=found.n_units), float(2 * stats.t.sf(abs(t), found.n_units - 1))


@cache
def pairs(tables: Tables, name: str) -> Pairs:
    """The pairs of a table."""
    analysis = tables.of(name)
    return of_models(analysis) if analysis.along is None else of_runs(analysis)


# --- pictures ---

FONT = "Arial, Helvetica, Liberation Sans, DejaVu Sans, sans-serif"
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#8A8A8A", "#333333"


def written(folder: Path, name: str, chart: alt.TopLevelMixin) -> str:
    """Write a picture beside the page, on white so that it is legible on a dark page too; its place."""
    styled = (
        chart.configure(background="white", padding={"left": 70, "right": 20, "top": 12, "bottom": 12}, font=FONT)
        .configure_view(stroke=None)
        .configure_axis(labelColor=INK, titleColor=INK, gridOpacity=0.4, labelLimit=320, titleFontWeight="normal")
    )
    path = folder / "real-tables" / f"{name}.svg"
    path.parent.mkdir(exist_ok=True)
    styled.save(str(path))
    return f"real-tables/{path.name}"


def two_ways(claims: dict[str, Claim], title: str) -> alt.TopLevelMixin:
    """Intervals by rows and by units, one above the other."""
    rows = [
        {"what": what, "way": way, "value": one.value, "low": one.low, "high": one.high}
        for what, claim in claims.items()
        for way, one in (("by rows", claim.usual), ("by units", claim.ours))
    ]
    shared = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("what:N", sort=list(claims), title=None),
        yOffset=alt.YOffset("way:N", sort=["by rows", "by units"]),
        color=alt.Color("way:N", scale=alt.Scale(range=[GREY, BLUE]), title=None, legend=alt.Legend(orient="top")),
    )
    place = alt.X("value:Q", scale=alt.Scale(domain=[-1, 1]), title=title, axis=alt.Axis(tickCount=5))
    zero = alt.Chart(alt.Data(values=[{"at": 0}])).mark_rule(color=INK, strokeDash=[3, 3]).encode(x="at:Q")
    bars = shared.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    return alt.layer(zero, bars, shared.mark_point(filled=True, size=45, opacity=1).encode(x=place)).properties(
        width=420, height=alt.Step(13)
    )


def over_starts(found: Windows, title: str) -> alt.TopLevelMixin:
    """The mean over runs from every start, its band, and each run."""
    frame = found.frame().filter(pl.Series(found.comparable))
    x = alt.X("start:Q", scale=alt.Scale(type="log"), title="first checkpoint that is taken (step)",
              axis=alt.Axis(values=[1, 10, 100, 1000, 10000, 100000], format="~s"))  # fmt: skip
    runs = [
        {"start": float(start), "run": i, "value": float(value)}
        for i, run in enumerate(found.per_run[:, found.comparable])
        for start, value in zip(found.starts[found.comparable], run.round(3), strict=True)
    ]
    base = alt.Chart(alt.Data(values=frame.with_columns(pl.col(pl.Float64).round(3)).to_dicts())).encode(x=x)
    each = alt.Chart(alt.Data(values=runs)).mark_line(color=GREY, strokeWidth=0.7, opacity=0.6)
    zero = alt.Chart(alt.Data(values=[{"at": 0}])).mark_rule(color=INK, strokeDash=[3, 3]).encode(y="at:Q")
    y = alt.Y("value:Q", title=title, scale=alt.Scale(domain=[-1, 1]))
    return alt.layer(
        base.mark_area(color=BLUE, opacity=0.2).encode(y=alt.Y("low:Q", title=title), y2="high:Q"),
        each.encode(x=x, y=y, detail="run:N"), zero, base.mark_line(color=BLUE, strokeWidth=3).encode(y="mean:Q"),
    ).properties(width=460, height=260)  # fmt: skip


def out_of_line(analysis: Analysis, marked: str) -> alt.TopLevelMixin:
    """Near against far; the rows whose name has ``marked`` stand out."""
    measures = analysis.measures
    rows = [
        {"near": round(float(x), 4), "far": round(float(y), 4), "name": name, "marked": marked in name}
        for x, y, name in zip(measures.column("near"), measures.column("far"), measures.names, strict=True)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("near:Q", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6), title="near-OOD AUROC"),
        y=alt.Y("far:Q", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6), title="far-OOD AUROC"),
    )
    points = base.mark_point(filled=True, size=40).encode(
        color=alt.condition("datum.marked", alt.value(ORANGE), alt.value(BLUE))
    )
    named = base.transform_filter("datum.marked").mark_text(align="right", dx=-8, color=ORANGE)
    return alt.layer(points, named.encode(text=alt.value(marked))).properties(width=420, height=280)


def floors(frame: pl.DataFrame) -> alt.TopLevelMixin:
    """The noise floor of each measure."""
    rows = (
        frame.sort("sd", descending=True)
        .select("measure", "sd", "low", "high")
        .with_columns(pl.col(pl.Float64).round(5))
        .to_dicts()
    )
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("measure:N", sort=[row["measure"] for row in rows], title=None)
    )
    title = "standard deviation of one checkpoint between reruns (accuracy)"
    scale = alt.Scale(type="log", domain=[0.001, 0.1])
    axis = alt.Axis(values=[0.001, 0.003, 0.01, 0.03, 0.1], title=title)
    return alt.layer(
        base.mark_rule(color=BLUE, strokeWidth=3).encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
        base.mark_point(filled=True, color=BLUE, size=45, opacity=1).encode(x=alt.X("sd:Q", scale=scale, axis=axis)),
    ).properties(width=420, height=alt.Step(20))


# --- sections: heading, and what it says ---

USUAL = ("by rows: estimate [95%]", "p", "rows", "by units: estimate [95%]", "p", "units")


@dataclass(frozen=True)
class Page:
    """The sections of the page."""

    tables: Tables
    folder: Path = HERE

    def picture(self, name: str, chart: alt.TopLevelMixin) -> str:
        """Where a picture is from the page."""
        return written(self.folder, name, chart)

    def summary(self) -> str:
        """What it means, and the table of all tables."""
        rows, claimed, held = [], 0, 0
        for name in (*PLACES, "krumpl2026", "resnet50-48"):
            analysis, found = self.tables.of(name), None
            if len(analysis.sets) > 1:
                found = pairs(self.tables, name)
                kindred = analysis.along is not None or bool(analysis.measures.clusters)
                claimed, held = claimed + kindred * found.by_rows, held + kindred * found.both
            rows.append((*self._sizes(name, analysis), *_counts(found)))
        kin = sum(bool(self.tables.of(name).measures.clusters) for name in PLACES)
        return "\n\n".join([
            f"In tables whose rows are kin, the usual way of counting calls {claimed} correlations between test sets "
            f"given ID performance significant. {held} of them are borne out once rows that share what made them "
            "count as one unit. The rest are not refuted: the tables are smaller than they look, so they cannot "
            "tell.",
            f"{kin} of the {len(PLACES)} published tables have rows that are not independent: sizes and weights of "
            "one architecture, detectors on one network, checkpoints of one run. *Rows* is how many the usual way "
            "counts, *units* how many there are, *worth* how many independent rows would tell as much of a mean, "
            "from how alike rows of a unit are. *Pairs* are linear partial correlations of two test sets given the "
            "ID measure, at .05 after Benjamini and Hochberg.",
            table(("table", "rows", "units", "worth", "pairs", "claimed by rows", "of these held by units"), rows),
        ])  # fmt: skip

    def _sizes(self, name: str, analysis: Analysis) -> tuple[str, ...]:
        if analysis.along is not None and analysis.along.checkpoints is not None:
            points = analysis.along.checkpoints.after(0)
            whole = [points.rows[name].to_numpy() for name in points.measures if not points.rows[name].null_count()]
            worth = independent_units(whole, points.rows["kin"].to_list())
            return (
                NAMES[name],
                f"{points.rows.height:,} checkpoints",
                f"{analysis.n_units} {KIN[name]}",
                f"{worth:,.0f}",
            )
        rows = f"{analysis.measures.units.height:,}"
        return (NAMES[name], rows, f"{analysis.n_units} {KIN[name]}", f"{analysis.independent:,.0f}")

    def forest(self) -> str:
        """One relation of each table in both ways, as a picture and a table."""
        claims = self._relations()
        where = self.picture("two-ways", two_ways(claims, "Spearman's rho, 95% interval"))
        return "\n\n".join([
            "The estimate is the same in both ways; what it may be claimed for is not. By units an interval holds for "
            f"new families, networks or sizes. It is {_median_wider(claims.values()):.1f} times wider in the median.",
            f"![Intervals of one relation of each table, by rows and by units]({where})",
            table(("relation", *USUAL), [(what, *claim.cells) for what, claim in claims.items()]),
        ])  # fmt: skip

    def _relations(self) -> dict[str, Claim]:
        of = self.tables.of
        found = {"timm: ImageNet with Sketch": relation(of("timm"), "Sketch")}
        found["OpenCLIP: ImageNet with ImageNet-A"] = relation(of("openclip"), "ImageNet-A")
        found["testbed: ImageNet with Sketch"] = relation(of("testbed"), "Sketch")
        found["testbed: ImageNet with ImageNet-R"] = relation(of("testbed"), "ImageNet-R")
        found["RobustBench, CIFAR-10 Linf: clean with attacked"] = relation(of("robustbench", ATTACKS[0]), "AutoAttack")
        found |= {f"OpenOOD, {board}: near with far": together(of("boards", board), "near", "far") for board in BOARDS}
        return found

    def timm(self) -> str:
        """Sketch and the others given ImageNet; what a handful of tiny nets does."""
        analysis, found = self.tables.of("timm"), pairs(self.tables, "timm")
        measures = analysis.measures
        tiny = np.array([family == "test" for family in measures.families])
        columns = np.stack([measures.column(name) for name in (*analysis.sets, measures.id)], axis=1)
        kin, names = np.asarray(measures.clusters), (*analysis.sets, "given")
        rest = correlations_by_cluster(columns[~tiny], kin[~tiny], kind="pearson", given=len(names) - 1, names=names)
        ranks = correlations_by_cluster(columns, kin, given=len(names) - 1, names=names)
        against = [pair for pair in found.names if rest.of(*pair).value * ranks.of(*pair).value < 0]
        shrunk = sum(abs(rest.of(*pair).value) < abs(found.of(*pair).ours.value) for pair in found.names)
        strong = [" and ".join(pair) for pair in found.names if ranks.of(*pair).low > 0.5]
        accuracy = measures.column(measures.id)
        rows = [
            (" and ".join(pair), span(claim.usual), span(claim.ours), span(rest.of(*pair)), span(ranks.of(*pair)))
            for pair, claim in zip(found.names, found.claims, strict=True)
        ]
        best = winner(*_with_binomial(measures, "ImageNet-V2"), names=measures.names)
        return "\n\n".join([
            f"All sets follow ImageNet, and that survives every way of counting: {len(tiny):,} rows of "
            f"{analysis.n_units} families give the same correlations with somewhat wider intervals. What the sets "
            f"share beyond ImageNet is another matter. {int(tiny.sum())} rows are nets that timm keeps for its own "
            f"tests (their names begin with test_; median accuracy {np.median(accuracy[tiny]):.2f}, of the others "
            f"{np.median(accuracy[~tiny]):.2f}). Without them {shrunk} of {len(found.names)} linear partial "
            f"correlations are nearer to 0. {len(against)} of them, "
            f"{with_and([' and '.join(pair) for pair in against])}, are negative by a straight line and positive by "
            f"ranks: the relation with ImageNet is bent, and a line leaves the bend in both. Only {with_and(strong)} "
            "clearly share much beyond ImageNet (above .5 by ranks).",
            table(("pair given ImageNet", "by rows", "by families", "without test_*", "by families, ranks"), rows),
            f"A best value of so many is partly luck. On ImageNet-V2 {with_and([f'`{name}`' for name in best.best])} "
            f"leads with {best.value:.4f}; its cells' errors leave {len(best.alike) - len(best.best)} others that "
            f"cannot be told apart from it, and {best.shrunken:.4f} is to be expected when it is measured again.",
        ])  # fmt: skip

    def pythia(self) -> str:
        """piqa and sciq given lambada, by the first checkpoint that is taken."""
        analysis = self.tables.of("pythia")
        along = analysis.along
        assert along is not None
        key = next(key for key in along.windows if set(key[1:]) == {"piqa", "sciq"})
        found = along.windows[key]
        claim = pairs(self.tables, "pythia").of("piqa", "sciq")
        where = self.picture("window", over_starts(found, "partial correlation of piqa and sciq"))
        frame = found.frame()
        shown = [row for row in frame.iter_rows(named=True) if row["start"] in (frame["start"][0], 1000, 13000)]
        rows = [
            (f"{row['start']:,.0f}", f"{row['positive']} of {row['runs']}",
             span(Estimate(row["mean"], row["low"], row["high"], n=row["units"]))) for row in shown
        ]  # fmt: skip
        unstable = sum(not each.stable for each in along.windows.values())
        return "\n\n".join([
            f"Do piqa and sciq have something in common beyond lambada? Pooled over {claim.usual.n} checkpoints, the "
            f"usual way says {span(claim.usual)}, p {chance(claim.usual_p)}. The runs do not agree with that, nor "
            "among themselves, and the answer turns with the first checkpoint that one takes. Until step 512 "
            "lambada is hardly above 0 and the other sets are at chance; then everything rises at once. What comes "
            "after is about how skills differ, and there the two go together.",
            f"![The partial correlation from every start]({where})",
            table(("from step", "runs that are positive", f"mean over {found.n_units} sizes [95%]"), rows),
            f"Grey are the {found.per_run.shape[0]} runs, blue is their mean with its interval over the "
            f"{found.n_units} sizes (a run and its deduplicated twin are kin). So it is with {unstable} of "
            f"{len(along.windows)} pairs: their mean has both signs, depending on the start.",
        ])  # fmt: skip

    def olmo(self) -> str:
        """What the unit is, and the floor below which nothing is a difference."""
        analysis = self.tables.of("olmo")
        along = analysis.along
        assert along is not None and along.checkpoints is not None
        points = along.checkpoints.after(0)
        per_run = np.stack([each.per_run[:, 0] for each in along.windows.values()], axis=1)
        configuration = [points.reruns.get(run, run) for run in points.runs]
        ways = {"run": points.runs, "configuration (a run and its rerun)": configuration, "size": points.kin}
        rows = [self._pooled_row("olmo")]
        rows += [_unit_row(word, per_run, kin) for word, kin in ways.items()]
        worth = independent_units(list(np.arctanh(per_run).T), points.kin)
        where = self.picture("noise-floor", floors(along.floor))
        below = along.floor.sort("runs below", descending=True)
        floor = [
            (row["measure"], f"{row['sd']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
             f"{row['smallest difference']:.4f}",
             f"{row['runs below']:.0%}", f"{row['steps below']:.0%}") for row in below.iter_rows(named=True)
        ]  # fmt: skip
        return "\n\n".join([
            f"The ladder has {len(points.runs)} runs, but {len(set(points.kin))} sizes. Runs of one size share the "
            "architecture, the recipe and the data, and differ in how long they are trained. Their "
            f"partial correlations are alike: {len(points.runs)} runs tell as much as about {worth:.0f} independent "
            "ones. So size is the unit. A configuration (a run and its rerun) would be too small a one.",
            table(("unit", "units", f"of {per_run.shape[1]} pairs given HellaSwag, interval leaves 0 out",
                   "half an interval, median"), rows),
            "Five configurations were trained twice. What the two runs differ by at one step is nobody's merit: it "
            "is the floor for any comparison. Of pairs of runs of different size, the last columns say how many end "
            "nearer to each other than the floor allows to tell, and how many steps from one checkpoint to the next "
            "do.",
            f"![The noise floor of each task]({where})",
            table(("task", "sd of one checkpoint [95%]", "smallest difference of two runs", "pairs of runs below it",
                   "steps below theirs"), floor),
        ])  # fmt: skip

    def _pooled_row(self, name: str) -> tuple[str, ...]:
        claims = pairs(self.tables, name).claims
        clear = sum(claim.usual.low > 0 or claim.usual.high < 0 for claim in claims)
        half = np.median([(claim.usual.high - claim.usual.low) / 2 for claim in claims])
        return ("checkpoint (the usual way)", f"{claims[0].usual.n:,}", f"{clear}", f"{half:.2f}")

    def openclip(self) -> str:
        """What training data does."""
        analysis, found = self.tables.of("openclip"), pairs(self.tables, "openclip")
        rows = [(ood, *relation(analysis, ood).cells) for ood in analysis.sets]
        return "\n\n".join([
            f"{analysis.measures.units.height} models were trained on {analysis.n_units} sources of pictures; models "
            "of one source differ in size and architecture. Accuracy carries over to every shifted set, by sources "
            f"too. Beyond that, rows claim that {found.by_rows} of {len(found.names)} pairs of sets agree; of these "
            f"{found.both} hold by sources. With {analysis.n_units} sources no more can be told, however many sizes "
            "are added.",
            table(("ImageNet with", *USUAL), rows),
        ])  # fmt: skip

    def testbed(self) -> str:
        """Epochs of two runs."""
        analysis = self.tables.of("testbed")
        sizes = analysis.measures.units.height
        loose = sorted(analysis.sets, key=lambda ood: relation(analysis, ood).ours.low)
        sharp = loose[::-1]
        largest = max(analysis.measures.clusters.count(name) for name in set(analysis.measures.clusters))
        rows = [(ood, *relation(analysis, ood).cells) for ood in analysis.sets]
        return "\n\n".join([
            f"{largest} of {sizes} rows are of one architecture, most of them epochs of one training run. A "
            "correlation over all rows is to a large part that of a run with itself. By architectures the relation "
            f"with {sharp[0]} stands as it did; that with {loose[0]} may be almost anything positive: "
            f"{span(relation(analysis, loose[0]).ours)}.",
            table(("ImageNet with", *USUAL), rows),
        ])  # fmt: skip

    def boards(self) -> str:
        """Near with far, accuracy with near, and what is wrong in them."""
        rows, clear = [], [[], [], [], []]  # type: tuple[list[tuple[object, ...]], list[list[str]]]
        for board in BOARDS:
            analysis = self.tables.of("boards", board)
            near, far = (analysis.measures.column(name) for name in ("near", "far"))
            split = between_within(near, far, analysis.measures.clusters, kind="spearman")
            claim = together(analysis, "near", "far")
            four = (claim.usual, claim.ours, split.between, relation(analysis, "near").ours)
            for named, each in zip(clear, four, strict=True):
                named.extend([board] * (each.low > 0 or each.high < 0))
            rows.append((board, claim.usual.n, analysis.n_units, *map(span, four)))
        clear = [named or ["none"] for named in clear]
        where = self.picture("combood", out_of_line(self.tables.of("boards", "imagenet1k"), "CombOOD"))
        return "\n\n".join([
            "A board looks like a comparison of many methods. Most of its rows are detectors on one network, which "
            f"share its weights. By rows near and far OOD go together on {with_and(clear[0])}; for rows on new "
            f"networks this holds on {with_and(clear[1])}; between the means of networks on {with_and(clear[2])}. "
            f"That more accurate networks have better near-OOD detection is borne out on {with_and(clear[3])}.",
            table(("board", "rows", "networks", "near with far, by rows", "by networks", "of means of networks",
                   "accuracy with near, by networks"), rows),
            "The checks find, without being told, the row that OpenOOD's issue 307 reports: CombOOD's near-OOD "
            "value on ImageNet-1K lies where no other row is.",
            f"![Near against far OOD on ImageNet-1K; CombOOD stands apart]({where})",
        ])  # fmt: skip

    def berts(self) -> str:
        """100 replicates."""
        analysis = self.tables.of("berts")
        measures, found = analysis.measures, pairs(self.tables, "berts")
        rows = [(f"MNLI with {kind}", span(_pearson(measures, "MNLI", kind)), "") for kind in KINDS]
        rows += [(f"{a} with {b}", span(_pearson(measures, a, b)), span(found.of(a, b).ours))
                 for a, b in combinations(KINDS, 2)]  # fmt: skip
        values, errors = _with_binomial(measures, "MNLI")
        noise = cell_reliability(values, errors)
        return "\n\n".join([
            f"{measures.units.height} runs differ in nothing but their seed, so here rows are units and the usual "
            "way is right. HANS asks one question in three ways, and the ways do not agree: a run that resists the "
            "lexical heuristic does well on subsequences too, and no better on constituents. One OOD set is not one "
            "thing.",
            table(("Pearson over 100 runs", "plain [95%]", "given MNLI [95%]"), rows),
            f"MNLI itself spreads by {noise.spread:.4f} over the runs; {noise.noise:.4f} is what sampling its "
            f"{measures.items['MNLI']:,} items alone would give. The items are the same for all runs, which hides "
            "part of that noise, but MNLI cannot rank these runs, and no correlation can be corrected for it from "
            "this table.",
        ])  # fmt: skip

    def robustbench(self) -> str:
        """Clean against attacked."""
        claims: list[Claim] = []
        for study in ATTACKS:
            analysis = self.tables.of("robustbench", study)
            claims.append(relation(analysis, analysis.sets[0]))
        rows = [(study, *claim.cells) for study, claim in zip(ATTACKS, claims, strict=True)]
        said = (sum(claim.usual_p < LEVEL for claim in claims), sum(claim.p < LEVEL for claim in claims))
        main = self.tables.of("robustbench", ATTACKS[0])
        split = main.levels[main.sets[0]]
        return "\n\n".join([
            f"Do accurate models withstand attacks or corruptions better? Rows say so on {said[0]} of {len(rows)} "
            f"boards, architectures on {said[1]}, for many rows are one architecture with another loss or more data. "
            f"On CIFAR-10 (Linf) the correlation between architectures is {span(split.between)}, within them "
            f"{span(split.within)}: of two nets of one architecture, the more accurate one need not be the more "
            "robust.",
            table(("board", *USUAL), rows),
        ])  # fmt: skip

    def studies(self) -> str:
        """The two studies' tables."""
        study, nets = self.tables.of("krumpl2026"), self.tables.of("resnet50-48")
        assert study.profile is not None
        whole, paper = study.relations["auroc"].whole, study.profile.paper
        carriers = [name for name in study.relations["auroc"].without if name.startswith("Adversarial")]
        left = "".join(
            f" Without {name} it is {span(study.relations['auroc'].without[name].estimate)}." for name in carriers
        )
        found = pairs(self.tables, "resnet50-48")
        turned = [pair for pair, each in nets.pairs.items() if each.sign_differs]
        first = turned[0]
        values = nets.pairs[first].estimates
        return "\n\n".join([
            f"Study 1 states {paper.statements['pooled'].text} for accuracy and AUROC. These rows are "
            f"{whole.n_units} models; over them rho is {span(whole.estimate)}, p = {chance(whole.p)}.{left} The "
            f"calibration error does better: {span(study.ece.estimate)}; the difference in strength is "
            f"{span(study.ece_apart.difference)}.",
            f"Of 48 ResNet-50 trained in different ways, {found.by_units} of {len(found.names)} pairs of shifted "
            f"sets agree given ImageNet, by a straight line. For {len(turned)} of them the sign depends on how "
            f"ImageNet is taken out: {' and '.join(first)} have {values['linear'].value:+.2f} by a line, "
            f"{values['rank'].value:+.2f} by ranks and {values['spline'].value:+.2f} by a smoothing spline. Take no "
            "sign from one of them alone.",
        ])  # fmt: skip

    def doubt(self) -> str:
        """What is doubtful in the published cells."""
        parts = [
            "Found by the checks, or left out by the profiles with the reason beside it. None was changed.",
            f"**timm**\n\n{quoted(list(near_duplicates(self.tables.of('timm'))))}",
            *self._doubtful_boards(),
            *self._left_out(),
        ]
        return "\n\n".join(parts)

    def _doubtful_boards(self) -> Iterator[str]:
        checks: tuple[Callable[[Analysis], Iterator[Finding]], ...] = (
            out_of_line_with_kin, error_of_zero, unlike_its_kin,
        )  # fmt: skip
        for board in BOARDS:
            analysis = self.tables.of("boards", board)
            found = [one for check in checks for one in check(analysis) if one.severity == "warning"]
            if found:
                yield f"**OpenOOD, {board}**\n\n{quoted(found)}"

    def _left_out(self) -> Iterator[str]:
        chosen = [("robustbench", study) for study in ATTACKS] + [("olmo", ""), ("timm", ""), ("testbed", "")]
        rows = []
        for name, study in chosen:
            ignored = self.tables.of(name, study).measures.ignored
            if ignored is None:
                continue
            for why in ignored["why"].unique(maintain_order=True):
                names = ignored.filter(pl.col("why") == why, pl.col("what") == "row")["name"].unique(
                    maintain_order=True
                )
                if len(names):
                    rows.append((f"{name} {study}".strip(), len(names), with_and(names.to_list(), 3), why))
        yield "**Rows that are not read**"
        yield table(("table", "rows", "which", "why"), rows)

    def sources(self) -> str:
        """Whose the numbers are."""
        rows = [load(name).cited for name in (*PLACES, "krumpl2026", "resnet50-48")]
        return "\n".join(f"* {row}" for row in rows)

    @cached_property
    def text(self) -> str:
        """The whole page."""
        read = "the files that ship with outfield" if self.tables.folder is None else "the published files"
        sections = {
            "What holds": self.summary, "One relation of each table": self.forest,
            "timm: what sets share beyond ImageNet": self.timm, "Pythia: the window decides": self.pythia,
            "OLMo: what counts as one, and the floor": self.olmo, "OpenCLIP: the source of pictures": self.openclip,
            "The ImageNet testbed: epochs as models": self.testbed, "OpenOOD: boards of detectors": self.boards,
            "BERTs: true replicates": self.berts, "RobustBench: clean and attacked": self.robustbench,
            "The two studies": self.studies, "What to doubt": self.doubt, "Sources and licences": self.sources,
        }  # fmt: skip
        body = "\n\n".join(f"## {heading}\n\n{say()}" for heading, say in sections.items())
        return (
            "# What published tables tell, and what they do not\n\nTables of models x test sets, as others "
            "published them, in two ways: as they are usually analysed, each row an independent model, and at the "
            f"level of what is independent. `make real-tables` writes this page from {read}; no number is typed by "
            "hand. [Tables of results](tables.md) says how each is read, [Statistics](statistics.md) what is "
            f"computed.\n\n{body}\n"
        )


# --- parts of sections ---


def _counts(found: Pairs | None) -> tuple[str, ...]:
    return ("-", "-", "-") if found is None else (str(len(found.names)), str(found.by_rows), str(found.both))


def _median_wider(claims: Iterable[Claim]) -> float:
    return float(np.median([claim.wider for claim in claims if np.isfinite(claim.wider)]))


def _unit_row(word: str, per_run: Array, kin: Sequence[str]) -> tuple[str, ...]:
    found = over_runs(per_run, np.arange(per_run.shape[1], dtype=float), kin)
    clear = int(((found.low > 0) | (found.high < 0)).sum())
    return (word, str(len(set(kin))), str(clear), f"{np.median(found.high - found.low) / 2:.2f}")


def _with_binomial(measures: Measures, name: str) -> tuple[Array, Array]:
    share, n = measures.column(name), measures.items[name]
    return share, np.asarray(np.sqrt(share * (1 - share) / (n - 1)))


def _pearson(measures: Measures, first: str, second: str) -> Estimate:
    return pearson(measures.column(first), measures.column(second)).estimate


def main(folder: str = "") -> None:
    """The page and its pictures, beside this file."""
    text = Page(Tables(Path(folder) if folder else None)).text
    (HERE / "real-tables.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
