from __future__ import annotations

import pytest

from outfield.testing import Contract, plugins_of

PARAMETERS = {"standardised": {"base": "msp"}, "flow": {"epochs": 4}}


@pytest.mark.parametrize("contract", plugins_of("outfield-example", PARAMETERS), ids=str)
def test_contract(contract: Contract) -> None:
    contract()
