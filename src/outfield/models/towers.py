"""Two towers, one for pictures and one for texts, and the classifier that names of classes make of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.models.preprocess import Preprocess

PROMPT = "a photo of a {}"


class TwoTowers(nn.Module, ABC):
    """A pair of encoders into one space, where a picture lies near the texts that are true of it [1].

    References
    ----------
    [1] Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021.
    """

    @property
    @abstractmethod
    def preprocess(self) -> Preprocess:
        """Items of a data set to what the tower for pictures reads."""

    @property
    @abstractmethod
    def sides(self) -> tuple[int, int]:
        """Height and width of the pictures that it reads."""

    @abstractmethod
    def seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of pictures [n, D] and of their regions [n, P, D], each of length 1."""

    @abstractmethod
    def words(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings of the tokens of texts [m, T, E], before position is added, and which are there [m, T]."""

    @abstractmethod
    def read(self, words: Tensor, there: Tensor) -> Tensor:
        """Embeddings of texts [m, D] of length 1, from those of their tokens."""

    @property
    @abstractmethod
    def scale(self) -> Tensor:
        """What cosines are multiplied by to be logits."""

    @property
    @abstractmethod
    def context_start(self) -> int:
        """How many tokens stand before the first word."""

    @abstractmethod
    def sees(self) -> list[nn.Parameter]:
        """The parameters that make a picture's embedding."""

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts [m, D] of length 1."""
        return self.read(*self.words(texts))


class ZeroShot(nn.Module):
    """A classifier of pictures by the names of classes: logits ``scale * cos(picture, text of class)``.

    Its last layer is linear in the picture's embedding, with the texts' embeddings times the scale as weights, so that
    detectors find features of length 1 and a head. Parameters that no picture's embedding rests on do not learn.

    Parameters
    ----------
    towers : TwoTowers
    names : sequence of str
        Of the classes.
    prompt : str or sequence of str
        With ``{}`` where the name stands; embeddings of several are averaged.

    Raises
    ------
    UserError
        Fewer than two names, or a prompt without ``{}``.
    """

    def __init__(self, towers: TwoTowers, names: Sequence[str], prompt: str | Sequence[str] = PROMPT) -> None:
        super().__init__()
        self.towers = towers
        self.names, self.prompts = tuple(names), prompts_of(prompt)
        if len(self.names) < 2:
            raise UserError(
                f"Expected the names of at least two classes, but got {len(self.names)}. "
                "Name them: classes=[...] in Python, --classes on the command line."
            )
        with torch.no_grad():
            weight = towers.scale * class_texts(towers, self.names, self.prompts)
        self.head = head_of(weight)
        self.learn()

    def learn(self) -> None:
        """Let the parameters learn that make a picture's embedding, and the head; no others."""
        self.towers.requires_grad_(False)
        for weight in (*self.towers.sees(), *self.head.parameters()):
            weight.requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.towers.seen(x)[0])
        return logits


def head_of(weight: Tensor) -> nn.Linear:
    """A linear layer of such weights [C, D], without offsets."""
    head = nn.Linear(weight.shape[1], len(weight), device=weight.device)
    head.load_state_dict({"weight": weight.detach(), "bias": torch.zeros_like(weight[:, 0])})
    return head


def zero_shot(network: nn.Module, why: str) -> ZeroShot:
    """The two towers with their head, inside whatever holds them.

    Raises
    ------
    UserError
        There are none; ``why`` says who asks.
    """
    found = next((module for module in network.modules() if isinstance(module, ZeroShot)), None)
    if found is None:
        raise UserError(
            f"Expected a network with a tower for pictures and one for texts for {why}, but got "
            f"{type(network).__name__}. Train the network `clip`: in a study, `network: {{name: clip}}`."
        )
    return found


def prompts_of(prompt: str | Sequence[str]) -> tuple[str, ...]:
    """One prompt or several, each with ``{}`` where the name of a class stands."""
    prompts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
    if not prompts or not all("{}" in one for one in prompts):
        raise UserError(f"Expected prompts with {{}} where the name of a class stands, but got {prompt!r}.")
    return prompts


def class_texts(towers: TwoTowers, names: Sequence[str], prompts: Sequence[str]) -> Tensor:
    """For each name the mean of its prompts' embeddings [C, D], brought to length 1."""
    means = [towers.texts([prompt.replace("{}", name) for name in names]) for prompt in prompts]
    return functional.normalize(torch.stack(means).mean(0), dim=1)
