"""YAML files of plain values: what is ambiguous, doubled or endless is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from outfield import strict_yaml
from outfield.errors import UserError
from outfield.studies.spec import Spec
from tests.support import small_study

BOMB = "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]"] + [
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("On", "On"), ("true", True), ("1e-3", 0.001), ("1.5E3", 1500.0), ("-0", 0), ("0", 0),
        ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("08", "08"), ("0x1F", 31), ("0o17", 15), ("1_000", 1000),
        ("~", None), ("=", "="), (".5", 0.5), ("1.", 1.0), ("1.2.3", "1.2.3"), ("- .inf", [float("inf")]),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}", {"a": {"b": 1}, "c": {"b": 2}}),
    ],
)  # fmt: skip
def test_plain_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = strict_yaml.parse(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "line 3 has 'a' again"),
        ("x: {a: 1, a: 1}", "line 1 has 'a' again"),
        ("seeds: [010]", "Write 10 for the number, or '010' in quotes"),
        ("a: &a [*a]", "*a in line 1 is not there, or holds itself"),
        ("a: &a {b: &b [*a]}", "holds itself"),
        (BOMB, "at most 200,000 values"),
        ("[" * 5000, "at most 40 deep, but line 1"),
        ("\n".join(f"{' ' * i}a:" for i in range(2000)), "at most 40 deep"),
        ("- " * 3000, "at most 40 deep"),
        ('a: "\\0"', "control character '\\x00'"),
        ('a: "\\e[31m"', "control character '\\x1b'"),
        ("a: !!python/object/apply:os.system [ls]", "python/object/apply:os.system"),
        ("a: [1", "Expected YAML in study.yaml"),
        ("a: " + "9" * 5000, "study.yaml"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told(text: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        strict_yaml.parse(text, "study.yaml")
    assert says in str(error.value)


def test_a_large_file_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("a: " + "x" * strict_yaml.BYTES)
    with pytest.raises(UserError, match=r"at most 2 MiB, but .*s\.yaml"):
        strict_yaml.read(tmp_path / "s.yaml")


def test_what_is_written_is_read_back() -> None:
    content = {"a": ["no", "1:30", "2024-01-01", "08", "1e-3", 1e-05, 0.1, "null", "", "é", True, None, -3, "0x1"]}
    assert strict_yaml.parse(strict_yaml.dump(content)) == content


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"models": [5]}, r"models\[0\]: input should be a valid dictionary"),
        ({"models": ["weights"]}, r"models\[0\]: input should be a valid dictionary"),
        ({"data": "~nouser"}, "'~nouser'"),
        ({"title": "x" * 5000, "epochs": "y" * 5000}, r"epochs: .*yyy \.\.\."),
    ],
)
def test_values_of_a_wrong_kind_are_told(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(small_study(**changes)))
    with pytest.raises(UserError, match=says) as error:
        Spec.load(tmp_path / "study.yaml")
    assert len(str(error.value)) < 1500


def test_yes_is_true_where_a_field_is_true_or_false(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(small_study()) + "half: yes\n")
    assert Spec.load(tmp_path / "study.yaml").half is True
