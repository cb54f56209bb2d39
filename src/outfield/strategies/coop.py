from __future__ import annotations

from dataclasses import dataclass

from outfield.strategies._prompts import PromptTuning


@dataclass(frozen=True, kw_only=True)
class CoOp(PromptTuning):
    """The words before the names of classes become vectors that are learned by cross-entropy: context optimisation [1].

    Both towers stay as they are. Without a step it is the zero-shot classifier of the prompt that it starts from. The
    network must have two towers: ``network: {name: clip}``.

    Parameters
    ----------
    context : str
        The words that it starts from; one context serves all classes.

    Examples
    --------
    >>> from outfield.registry import create
    >>> from outfield.tasks.classify import Classify
    >>> tuned = CoOp().network(
    ...     lambda: create("networks", "clip", classes=2, names=("red circle", "blue square")), Classify(classes=2)
    ... )
    >>> [name for name, weight in tuned.named_parameters() if weight.requires_grad]
    ['context']

    References
    ----------
    [1] Zhou, Yang, Loy, Liu. Learning to Prompt for Vision-Language Models. IJCV 2022.
    """
