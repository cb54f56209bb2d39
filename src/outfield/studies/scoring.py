"""A detector's scores on the values of a data set, chunk by chunk."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from outfield.detectors._wrapper import scores
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.extract import Values
from outfield.registry import name_of
from outfield.types import State


def score(detector: Detector, state: State, values: Values, about: str) -> NDArray[np.float64]:
    """Scores [n], higher further out; ``UserError`` where they are NaN.

    What the detector learned is moved once, to where the values are.

    Examples
    --------
    >>> from outfield.detectors.energy import Energy
    >>> values = Values({"logits": np.array([[9.0, 0.0], [0.1, 0.0]], dtype=np.float32)})
    >>> score(Energy(), {}, values, "the ID test set").round(2)
    array([-9.  , -0.74])
    """
    with torch.inference_mode():
        found = torch.cat([part.cpu() for part in scores(detector, state, values)]).double().numpy()
    if bad := int(np.isnan(found).sum()):
        raise UserError(
            f"Expected scores that are numbers, but {name_of('detectors', detector)} gave NaN for {bad} of "
            f"{len(found)} inputs of {about}. Leave it out, or look at the features of that set."
        )
    return found
