"""Train the mini CLIP that ships: `python -m benchmarks.mini_clip [--steps 1200] [--seed 0] [--write]`, some 4 minutes.

Pictures are scenes of one object; captions say some of what is true of them, or that something else is not there.
The loss is that of CLIP, where every caption that is true of a picture counts as its own: in a row the target is
shared among the true captions, less to those that are true of many.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from outfield.data.sources.scenes import ATTRIBUTES, DOMAINS, Scenes, rendered
from outfield.models.mini_clip import WEIGHTS, MiniCLIP, trained

TEMPLATES = ("a photo of a {}", "a picture of a {}", "a drawing of a {}", "a {}", "{}")
NEGATED = ("a photo without a {}", "a picture of no {}", "no {}", "not a {}")
KINDS = ("texture", "colour", "shape")
Scene = dict[str, NDArray[np.int64]]


def batch(rng: np.random.Generator, size: int) -> tuple[Tensor, list[str], Tensor]:
    """Pictures, a caption for each, and which captions are true of which pictures [pictures, captions]."""
    scene = {kind: rng.integers(len(words), size=size) for kind, words in ATTRIBUTES.items()}
    domain = rng.choice([DOMAINS.index("dark"), DOMAINS.index("dark"), DOMAINS.index("noisy")], size=size)
    pictures = rendered(scene, domain, rng, clutter=int(rng.integers(3)), size=(0.25, 0.7))
    said = [caption(scene, row, rng) for row in range(size)]
    truth = np.stack([true_of(scene, claim, negated) for _, claim, negated in said], axis=1)
    return tensor(pictures), [text for text, _, _ in said], torch.from_numpy(truth).float()


def caption(scene: Scene, row: int, rng: np.random.Generator) -> tuple[str, dict[str, int], bool]:
    negated = bool(rng.random() < 0.15)
    chances = {"texture": 0.4, "colour": 0.7, "shape": 0.85, "place": 0.25}
    kinds = [kind for kind, chance in chances.items() if rng.random() < chance] or ["shape"]
    claim = {kind: int(scene[kind][row]) for kind in kinds}
    if negated:
        kinds = [kind for kind in kinds if kind != "place"] or ["shape"]
        claim = {kind: int(rng.integers(len(ATTRIBUTES[kind]))) for kind in kinds}
        negated = any(claim[kind] != scene[kind][row] for kind in kinds)
    name = " ".join([ATTRIBUTES[kind][claim[kind]] for kind in KINDS if kind in claim])
    name = name if "shape" in claim and name else f"{name} object".strip()
    if "place" in claim:
        name += (" on the {}" if rng.random() < 0.5 else " {}").format(ATTRIBUTES["place"][claim["place"]])
    templates = NEGATED if negated else TEMPLATES
    return templates[int(rng.integers(len(templates)))].format(name), claim, negated


def true_of(scene: Scene, claim: dict[str, int], negated: bool) -> NDArray[np.bool_]:
    holds = np.all([scene[kind] == value for kind, value in claim.items()], axis=0)
    return np.asarray(~holds if negated else holds)


def tensor(pictures: Any) -> Tensor:
    return torch.from_numpy(np.asarray(pictures)).permute(0, 3, 1, 2).float() / 255


def loss(towers: MiniCLIP, x: Tensor, texts: list[str], truth: Tensor) -> Tensor:
    distinct = list(dict.fromkeys(texts))
    kept = torch.tensor([texts.index(text) for text in distinct])
    truth = truth[:, kept]
    logits = towers.scale * towers.seen(x)[0] @ towers.texts(distinct).T
    shared = truth / truth.sum(0).clamp_min(1)
    by_picture = functional.cross_entropy(logits, shared / shared.sum(1, keepdim=True))
    by_text = functional.cross_entropy(logits.T, (truth / truth.sum(0).clamp_min(1)).T)
    return (by_picture + by_text) / 2


@torch.no_grad()
def accuracy(towers: MiniCLIP, classes: tuple[str, ...]) -> float:
    data = Scenes(classes=classes, n=960, seed=10**6).load()
    cosines = (
        towers.seen(tensor(data.read(slice(None))))[0] @ towers.texts([f"a photo of a {name}" for name in classes]).T
    )
    return float((cosines.argmax(1).numpy() == data.labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    towers, started = MiniCLIP(), time.perf_counter()
    search = torch.optim.AdamW(towers.parameters(), lr=3e-3, weight_decay=0.02)
    rate = torch.optim.lr_scheduler.OneCycleLR(search, 3e-3, total_steps=given.steps)
    for step in range(given.steps):
        found = loss(towers, *batch(rng, 192))
        search.zero_grad()
        found.backward()
        torch.nn.utils.clip_grad_norm_(towers.parameters(), 1.0)
        search.step()
        rate.step()
        with torch.no_grad():
            towers.log_scale.clamp_(max=np.log(100.0))
        if step % 200 == 0 or step == given.steps - 1:
            scores = {kind: round(accuracy(towers, names), 3) for kind, names in NAMES.items()}
            print(step, round(found.item(), 3), scores, round(time.perf_counter() - started), flush=True)
    if given.write:
        save_file({name: value.half().contiguous() for name, value in towers.state_dict().items()}, WEIGHTS)
        print({kind: round(accuracy(trained(), names), 3) for kind, names in NAMES.items()})


NAMES = {
    "shape": ATTRIBUTES["shape"],
    "colour": tuple(f"{c} circle" for c in ATTRIBUTES["colour"]),
    "texture": tuple(f"{t} square" for t in ATTRIBUTES["texture"]),
    "pairs": tuple(f"{c} {s}" for c in ATTRIBUTES["colour"] for s in ATTRIBUTES["shape"]),
}

if __name__ == "__main__":
    main()
