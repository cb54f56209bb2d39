"""Every plug-in of the package keeps the contract of its kind, two detectors aside.

On the contract's world neither ranks far inputs further out: ``svdd`` reads features that are measured from a centre,
which only its own strategies give (``test_deep_svdd.py``), and the principal components of ``rpo`` leave out what is
unlike all training inputs. The rest of the contract is kept by ``test_detectors.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from outfield.testing import Contract, plugins_of


def rotors(blades: list[int], part: str) -> dict[str, Any]:
    return {"name": "micro_doppler", "blades": blades, "n": 12, "part": part, "pulses": 16, "bursts": 16}


PARAMETERS = {
    "micro_doppler": {"n": 4, "pulses": 16, "bursts": 8},
    "input_forest": {"trees": 20},
    "oc_svm": {"representation": "covariance"},
    "one_class": {
        "id": {part: rotors([1, 2], {"train": "fit"}.get(part, part)) for part in ("train", "val", "test")},
        "ood": {"near": {"six blades": rotors([6], "test")}},
        "anomalies": rotors([4], "fit"),
    },
}


KEPT = [one for one in plugins_of("outfield-science", PARAMETERS) if one.name not in ("rpo", "svdd")]


@pytest.mark.parametrize("contract", KEPT, ids=str)
def test_contract(contract: Contract) -> None:
    contract()
