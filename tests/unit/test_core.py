"""Types, errors, registry and keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from outfield import keys, registry
from outfield.errors import OutfieldError, UnknownName, UserError
from outfield.types import Head, Outputs


def test_fields_of_different_lengths_are_refused() -> None:
    with pytest.raises(UserError, match="one row for each input, but got lengths"):
        Outputs(logits=torch.zeros(3, 2), features=torch.zeros(2, 2))


def test_reading_what_is_absent_says_what_is_there() -> None:
    with pytest.raises(UserError, match="Expected outputs with features, but these have logits"):
        _ = Outputs(logits=torch.zeros(1, 2)).features


def test_half_precision_is_widened_on_entry() -> None:
    out = Outputs(logits=torch.zeros(2, 2, dtype=torch.float16), layers={"a": torch.ones(2, dtype=torch.bfloat16)})
    assert out.logits.dtype == out.layers["a"].dtype == torch.float32


def test_outputs_without_classes_hold_predictions_targets_and_inputs_row_by_row() -> None:
    out = Outputs(
        predictions=torch.tensor([0.5, 1.5, 2.5], dtype=torch.float16),
        targets=torch.tensor([[1, 2], [3, 4], [5, 6]]),
        inputs=torch.arange(12).reshape(3, 2, 2),
        layers={"inputs": torch.ones(3)},
    )
    joined = Outputs.cat([out[:1], out[1:].to("cpu")])
    assert joined.present == ("predictions", "targets", "inputs") and not joined.has("logits")
    assert joined.predictions.tolist() == [0.5, 1.5, 2.5] and joined.predictions.dtype == torch.float32
    assert joined.targets.dtype == torch.int64 and joined.targets.tolist() == out.targets.tolist()
    assert joined.inputs.tolist() == out.inputs.tolist() and joined.layers["inputs"].tolist() == [1, 1, 1]
    with pytest.raises(UserError, match=r"outputs with inputs, but these have predictions\. Take them from the values"):
        _ = out.with_fields(inputs=None, targets=None).inputs
    with pytest.raises(UserError, match="one row for each input"):
        Outputs(predictions=torch.zeros(2), targets=torch.zeros(3))


def test_rows_chunks_and_joining_keep_everything() -> None:
    head = Head(torch.eye(2), torch.zeros(2))
    out = Outputs(torch.arange(10.0).reshape(5, 2), labels=torch.arange(5), head=head, layers={"a": torch.arange(5)})
    joined = Outputs.cat(list(out.chunks(2)))
    assert torch.equal(joined.logits, out.logits)
    assert torch.equal(joined.layers["a"], out.layers["a"])
    assert joined.head is head
    assert not joined.has("features")
    assert len(out[torch.tensor([4, 0])]) == 2


def test_a_head_must_be_linear() -> None:
    with pytest.raises(UserError, match=r"weight \[C, D\] and bias \[C\]"):
        Head(torch.zeros(2, 3), torch.zeros(3))


def test_unknown_names_are_suggested() -> None:
    with pytest.raises(UnknownName, match="Did you mean .*'energy'"):
        registry.create("detectors", "enrgy")
    with pytest.raises(UnknownName, match="There is no kind 'detector'"):
        registry.names("detector")


def test_every_plug_in_loads_and_is_found_by_its_own_name() -> None:
    for kind in registry.kinds():
        for name in registry.own(kind):
            assert registry.name_of(kind, registry.find(kind, name)) == name


def test_two_public_classes_in_one_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from outfield.detectors import energy

    monkeypatch.setattr(energy, "Second", type("Second", (), {"__module__": energy.__name__}), raising=False)
    with pytest.raises(OutfieldError, match="One plug-in, one file"):
        registry.find("detectors", "energy")


def test_keys_tell_content_apart() -> None:
    @dataclass(frozen=True)
    class Setting:
        k: int

    assert keys.key(a=Setting(1)) != keys.key(a=Setting(2))
    assert keys.key(a=(1, 2)) == keys.key(a=[1, 2])
    assert keys.of_array(np.zeros((2, 3))) != keys.of_array(np.zeros((3, 2)))
    assert keys.of_array(np.zeros(2, np.float32)) != keys.of_array(np.zeros(2, np.int32))
    with pytest.raises(TypeError, match="Expected a value that JSON can state"):
        keys.key(a=object())


def test_weights_are_told_apart_by_name_type_shape_and_value() -> None:
    one = {"w": torch.zeros(2, 3), "s": torch.tensor(3), "b": torch.ones(2, dtype=torch.bfloat16)}
    assert keys.of_tensors(one) == keys.of_tensors(dict(reversed(one.items())))
    for changed in ({"w": torch.zeros(3, 2)}, {"s": torch.tensor(4)}, {"b": torch.ones(2, dtype=torch.float16)}):
        assert keys.of_tensors(one | changed) != keys.of_tensors(one)


def test_a_changed_file_has_another_digest(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_text("a")
    first = keys.of_file(path)
    path.write_text("b")
    assert keys.of_file(path) != first


def test_the_code_version_covers_helpers_but_no_docstrings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from outfield.detectors.mds import MDS

    behind = {path.name for path in keys._behind(Path(keys.inspect.getfile(MDS)))}
    assert {"mds.py", "base.py", "moments.py", "_gaussian.py", "types.py"} <= behind
    assert "errors.py" not in behind

    def version(text: str) -> str:
        (tmp_path / f"{abs(hash(text))}.py").write_text(text)
        return keys._of_code(tmp_path / f"{abs(hash(text))}.py")

    assert version('"""a"""\nx = 1  # b\n') == version("x = 1\n")
    assert version("x = 1\n") != version("x = 2\n")
