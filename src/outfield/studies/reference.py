"""The reference of the study file, made from the schema: ``python -m outfield.studies.reference``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from outfield.studies.spec import Spec

INTRODUCTION = """# The study file

Made from the schema by `python -m outfield.studies.reference`; do not edit.

A study is a YAML file. A *plug-in* is written as its name (`msp`) or as a mapping of its name and parameters
(`{name: gen, gamma: 0.5}`); `outfield list` shows the names of each kind. Everything that is wrong with a file is
shown at once; `outfield run study.yaml --dry-run` checks it and says what it would cost.

Words and numbers are read as in YAML 1.2: `no`, `on`, `1:30` and `2024-01-01` are text (a field that is true or false
takes yes, no, on and off), and `1e-3` is a number. A key that stands twice is an error, and so is `010`, which YAML 1.1
reads as 8. A file may have 2 MiB, 200,000 values once its aliases are written out, and 40 levels.
"""


def reference() -> str:
    """The study file's fields, as Markdown: a section for each kind of object."""
    schema = Spec.model_json_schema()
    sections = [("A study", schema), *schema["$defs"].items()]
    return "\n".join([INTRODUCTION, *(_section(title, fields) for title, fields in sections)])


def _section(title: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    lines = [f"## {title}", "", inspect.cleandoc(schema.get("description", "")), ""]
    lines += ["| field | type | default | what it is |", "| --- | --- | --- | --- |"]
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else f"`{field['default']}`" if "default" in field else "see text"
        lines.append(f"| `{name}` | {_type(field)} | {default} | {field.get('description', '')} |")
    return "\n".join([*lines, ""])


def _type(field: dict[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_types(field)))


def _types(field: dict[str, Any]) -> Iterator[str]:
    for choice in field.get("anyOf", field.get("oneOf", [field])):
        if "$ref" in choice:
            yield choice["$ref"].rpartition("/")[2]
        elif "enum" in choice:
            yield ", ".join(f"`{value}`" for value in choice["enum"])
        elif choice.get("type") == "array":
            yield f"list of {_type(choice.get('items', {}))}"
        else:
            yield str(choice.get("type", "any"))


if __name__ == "__main__":
    print(reference(), end="")
