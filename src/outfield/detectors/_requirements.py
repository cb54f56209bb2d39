"""What a detector asks of a model."""

from __future__ import annotations

from outfield.detectors.base import Detector


def asks(detector: Detector) -> frozenset[str]:
    """What a detector, its fit and its probes ask of a model, by the names of what models offer, and ``classes``.

    A head that ``score`` reads gives it logits; a probe that differentiates does so with logits.

    Examples
    --------
    >>> from outfield.detectors.odin import ODIN
    >>> sorted({"gradients", "head"} & asks(ODIN()))
    ['gradients']
    >>> from outfield.detectors.ash import ASH
    >>> "logits" in asks(ASH())
    True
    """
    probes = detector.probes()
    asked = {
        "gradients": any(one.needs_graph for one in probes),
        "layers": any(one.needs_layers for one in probes),
        "pictures": any(one.needs_pictures for one in probes),
        "logits": "head" in detector.needs or any(one.needs_graph for one in probes),
    }
    return detector.needs | detector.fits_with | {name for name, needed in asked.items() if needed}
