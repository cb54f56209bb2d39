"""What pages are made of: a display ready for a template, the charts' script, the templates themselves.

The report, the analysis, the behaviour card, the trajectories and the dashboard show displays through this file.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite, isnan
from typing import Any, TypeVar

import jinja2
import polars as pl
import vl_convert

from outfield.errors import UserError
from outfield.reports.displays._style import FAMILY, GREY, PENTAGON, SHAPES, USED, category
from outfield.reports.displays.base import Display
from outfield.reports.results import INFORMATION, Results, in_order
from outfield.store.spreadsheet import without_formulas

LONG = 80
"""Tables of more rows are built by the page from their CSV when they are opened, so that no number is there twice."""

Source = TypeVar("Source")
Entry = tuple[str, str, str]
"""A line of a legend: name, colour, shape."""


def tally(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """What there is, in the order given, and how many; of what there is none nothing is said.

    Examples
    --------
    >>> tally({"strategies": 1, "models": 1200, "shifts": 0, "OOD sets": 1})
    [('strategy', '1'), ('models', '1,200'), ('OOD set', '1')]
    """
    return [(_one(name) if n == 1 else name, f"{n:,}") for name, n in counts.items() if n]


def _one(plural: str) -> str:
    return re.sub(r"(ies|s)\b", lambda end: "y" if end[1] == "ies" else "", plural, count=1)


@dataclass(frozen=True)
class Rendering:
    """A display as a template takes it: specifications and CSV as text that may stand in a script element.

    Parameters
    ----------
    display : Display
    specs : tuple of str
        Vega-Lite specifications as JSON, one a figure.
    csv : str
        The display's table.
    rows : tuple of tuple of str
        The cells of the HTML table.

    Examples
    --------
    >>> found = render(Display("d", "Title", "Caption.", pl.DataFrame({"name": ["a"] * 100})))
    >>> found.long, found.numeric, found.csv[:7]
    (True, (False,), 'name\\na\\n')
    """

    display: Display
    specs: tuple[str, ...]
    csv: str
    rows: tuple[tuple[str, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns of the table hold numbers."""
        types = self.display.table.schema
        return tuple(types[name].is_numeric() for name in self.display.headings())

    @property
    def long(self) -> bool:
        """Whether the page builds the table from its CSV."""
        return len(self.rows) > LONG


def render(display: Display) -> Rendering:
    """A display as a template takes it.

    Examples
    --------
    >>> found = render(Display("d", "Title", "Caption.", pl.DataFrame({"name": ["a"], "value": [0.12345]})))
    >>> found.rows, found.numeric
    ((('a', '0.123'),), (False, True))
    """
    return Rendering(display, tuple(_specs(display)), script_safe(_csv(display.table)), tuple(_cells(display)))


def display_or_reason(build: Callable[[Source], Display], source: Source) -> Display:
    """The display that ``build`` makes of a source, or one that says what is missing for it.

    Examples
    --------
    >>> def curve(_):
    ...     '''The curve of it: a line.'''
    ...     raise UserError("Expected points, but there are none.")
    >>> absent = display_or_reason(curve, None)
    >>> absent.title, absent.missing
    ('The curve of it', 'Expected points, but there are none.')
    """
    try:
        return build(source)
    except UserError as error:
        heading = (build.__doc__ or build.__name__).splitlines()[0].rstrip(".")
        return Display.absent(build.__name__.replace("_", "-"), heading.partition(":")[0], str(error))


def render_sections(
    sections: Mapping[str, Iterable[Callable[[Source], Display]]], source: Source
) -> dict[str, list[Rendering]]:
    """The displays of every section as a template takes them; what is missing for one is told in its place.

    Examples
    --------
    >>> def size(rows):
    ...     return Display("size", "How many", "Rows.", pl.DataFrame({"n": [rows]}))
    >>> [(title, one.rows) for title, [one] in render_sections({"What there is": [size]}, 7).items()]
    [('What there is', (('7',),))]
    """
    return {title: [render(display_or_reason(build, source)) for build in builds] for title, builds in sections.items()}


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, about 0.8 MB, that sets ``window.vegaEmbed``."""
    return script_safe(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def script_safe(text: str) -> str:
    r"""Text that may stand in a script element: nothing in it ends the element early.

    Examples
    --------
    >>> script_safe("</script>")
    '\\u003C/script>'
    """
    return re.sub(r"<(?=/script|!--|script)", r"\\u003C", text, flags=re.IGNORECASE)


def environment(*packages: str) -> jinja2.Environment:
    """Templates of these packages, then of ``outfield.reports``: text is escaped, an unknown name is an error.

    Examples
    --------
    >>> environment().from_string("{{ name }}").render(name="<script>")
    '&lt;script&gt;'
    """
    loaders = [jinja2.PackageLoader(name) for name in (*packages, "outfield.reports")]
    return jinja2.Environment(loader=jinja2.ChoiceLoader(loaders), autoescape=True, undefined=jinja2.StrictUndefined)


def legends(results: Results) -> dict[str, tuple[str, list[Entry]]]:
    """What colours mean, for each kind of legend that a display may name: its heading and its lines.

    Examples
    --------
    >>> rows = pl.DataFrame({"model": ["a"], "metric": ["auroc"], "value": [0.9], "detector": ["msp"], "ood": ["far"]})
    >>> legends(Results.of(rows))["information"]
    ('information used', [('outputs', '#2b7bba', 'circle')])
    """
    return {
        "family": (
            "family of strategies",
            [(name, FAMILY.get(name, GREY), _symbol(name)) for name in results.families],
        ),
        "information": (
            "information used",
            [(name, USED.get(name, GREY), "circle") for name in information_used(results)],
        ),
        "category": (
            "kind of inputs",
            [(name, category(name, results.categories), "circle") for name in ("ID", *results.categories)],
        ),
    }


def information_used(results: Results) -> tuple[str, ...]:
    """The kinds of information that the detectors of these results use, in their known order.

    Examples
    --------
    >>> rows = pl.DataFrame({"model": ["a"], "metric": ["auroc"], "value": [0.9], "detector": ["knn"], "ood": ["far"]})
    >>> information_used(Results.of(rows))
    ('features',)
    """
    return in_order(sorted(set(results.information.values())), INFORMATION)


def _symbol(family: str) -> str:
    """The page's drawing of a family's shape."""
    shape = SHAPES.get(family, "circle")
    return "pentagon" if shape == PENTAGON else shape


def _specs(display: Display) -> Iterator[str]:
    for figure in display.figures:
        title = f"{display.title}: {figure.title}" if figure.title else display.title
        spec = figure.spec() | {"description": f"{title}. {display.caption}"}
        yield script_safe(_json(spec))


def _json(spec: dict[str, Any]) -> str:
    try:
        return json.dumps(spec, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(nan_as_none(spec), allow_nan=False, separators=(",", ":"))


def nan_as_none(content: Any) -> Any:
    """The same with None for NaN and infinity, which JSON has not.

    Examples
    --------
    >>> nan_as_none({"a": [1.5, float("nan")]})
    {'a': [1.5, None]}
    """
    if isinstance(content, float):
        return content if isfinite(content) else None
    if isinstance(content, dict):
        return {name: nan_as_none(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [nan_as_none(value) for value in content]
    return content


def _csv(table: pl.DataFrame) -> str:
    buffer = io.StringIO()
    rounded = table.with_columns(_rounded(name) for name, kind in table.schema.items() if kind.is_float())
    without_formulas(rounded).write_csv(buffer)
    return buffer.getvalue()


def _rounded(name: str) -> pl.Expr:
    """Six digits: significant ones below 1, where p-values are, else decimals; empty where unknown."""
    value = pl.col(name)
    digits = pl.when(value.abs() < 1).then(value.round_sig_figs(6)).otherwise(value.round(6))
    return digits.fill_nan(None).alias(name)


def _cells(display: Display) -> Iterator[tuple[str, ...]]:
    names = list(display.headings())
    if display.table.is_empty():
        return
    yield from zip(*(cell_texts(display.table[name]) for name in names), strict=True)


def cell_texts(values: pl.Series) -> list[str]:
    """A column as text: three decimals, none where all numbers are whole or one is large; empty where unknown.

    Columns of p-values (their names start with ``p`` or ``q``) show small ones in powers of ten.

    Examples
    --------
    >>> cell_texts(pl.Series([0.5, 1e-5, None])), cell_texts(pl.Series("p", [0.5, 1e-5]))
    (['0.500', '0.000', ''], ['0.500', '1.0e-05'])
    >>> cell_texts(pl.Series([1500.2, 2.0]))
    ['1,500', '2']
    """
    if not values.dtype.is_float():
        return ["" if value is None else str(value) for value in values]
    known = values.drop_nulls().drop_nans()
    whole = bool((known == known.round()).all()) or bool((known.abs() >= 1000).any())
    small = values.name.partition(" ")[0] in ("p", "q")
    return ["" if value is None or isnan(value) else _number(value, 0 if whole else 3, small) for value in values]


def _number(value: float, digits: int, small: bool) -> str:
    tiny = small and 0 < abs(value) < 0.0005
    return f"{value:.1e}" if tiny else f"{value:,.{digits}f}"
