"""``outfield doctor`` names what a report of a fault must name."""

from __future__ import annotations

import platform
from importlib import metadata

import pytest
import torch
from packaging.requirements import Requirement

from outfield.cli import _listing, _machine


def test_what_a_report_of_a_fault_must_name_is_there() -> None:
    found = dict(_machine.lines())
    assert found["outfield"] == metadata.version("outfield")
    assert platform.python_version() in found["Python"] and platform.platform() in found["System"]
    assert "core" in found["CPU"]
    assert ("cuda:0" in found["GPU"]) == torch.cuda.is_available()
    for package in ("torch", "numpy", "polars", "scikit-learn", "duckdb"):
        assert f"{package} {metadata.version(package)}" in found["Packages"]
    assert f"transformers {metadata.version('transformers')}" in found["Extra text"]
    assert set(_machine.extras()) >= {"vision", "text", "onnx", "sklearn", "serve", "ray", "s3", "lightning"}


def test_an_absent_or_old_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_machine, "_version", {"numpy": "1.0", "polars": "1.50"}.get)
    assert _machine._stated(Requirement("numpy>=1.26")) == "numpy 1.0 (NEEDS >=1.26)"
    assert _machine._stated(Requirement("polars>=1.20")) == "polars 1.50"
    assert _machine._stated(Requirement("torch")) == "torch ABSENT"
    assert dict(_machine.lines())["Extra vision"].endswith("; pip install 'outfield[vision]'")


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        name, total_memory = "A card", 24 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Card)
    assert list(_machine._gpus()) == ["cuda:0 A card, 24 GiB", "cuda:1 A card, 24 GiB"]


def test_it_fits_80_columns() -> None:
    assert max(map(len, _listing.columns([("Packages", ", ".join(["torch 2.6.0"] * 20))], 80).splitlines())) <= 80
