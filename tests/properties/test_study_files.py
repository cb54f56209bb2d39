"""Study files, whatever is in them: a ``UserError`` that names them, or a study."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from outfield import strict_yaml
from outfield.errors import UserError
from outfield.studies.spec import Spec
from tests.properties.support import attacked
from tests.support import small_study

SCALARS = st.sampled_from(
    [None, True, 5, -1, 0.5, float("nan"), "", "msp", "no", "~nouser", "x\x00y", "[/red]", "../../x", 2**70, "digits"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "path", "weights", "strategy", "label", "seeds", "source", 1]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def places(content: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be put into a study: every key and index."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in inner for place in ((*here, key), *places(value, (*here, key)))]


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A small study with one to five mistakes."""
    content: Any = copy.deepcopy(small_study(seed=3, tuning=None, shifted=[], data="."))
    for _ in range(draw(st.integers(1, 5))):
        *way, last = draw(st.sampled_from(places(content)))
        inner = content
        for key in way:
            inner = inner[key]
        if draw(st.booleans()) and isinstance(inner, dict):
            inner[draw(st.sampled_from(["colour", "name", "data", "models", "detectors", "ood", "half"]))] = draw(
                VALUES
            )
        else:
            inner[last] = draw(VALUES)
    return content


def loaded(text: str) -> Spec | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            return Spec.load(path)
        except UserError:
            return None


@attacked
@given(damaged())
@example(small_study(models=[5]))
@example(small_study(data="~nouser"))
@example(small_study(detectors=[{1: 2}]))
def test_a_damaged_study_is_told_or_is_a_study(content: Any) -> None:
    found = loaded(yaml.safe_dump(content))
    assert found is None or Spec.parse(found.model_dump(mode="json")) == found


@attacked
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,? \n\t~<0.1e\x00"), max_size=60))
def test_any_text_is_plain_values_or_told(text: str) -> None:
    loaded(text)


@attacked
@given(st.integers(1, 60), st.integers(1, 12), st.booleans())
def test_aliases_and_depth_have_limits(deep: int, wide: int, own: bool) -> None:
    lines = ["a0: &a0 [1]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * wide)}]" for i in range(1, deep)]
    size = sum(wide**i for i in range(deep))
    try:
        found = strict_yaml.parse("\n".join([*lines, *(["b: &b [*b]"] if own else [])]))
    except UserError:
        assert own or deep >= strict_yaml.DEPTH - 2 or size * 2 * wide > strict_yaml.NODES
    else:
        assert not own and len(found) == deep
