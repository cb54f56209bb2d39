"""A few steps of fine-tuning, in this process or as one of several: ``python nli_trained.py MODEL DEVICE OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from outfield.data.datasets import ListDataset
from outfield.data.member import Member
from outfield.models.networks.pair_causal import PairCausal
from outfield.models.pairs import PairClassifier
from outfield.strategies import Moment, train
from outfield.strategies.adamw import AdamW
from outfield.tasks.pairs import Pairs
from outfield.trajectory.nli.processes import processes_of

TEXTS = ("the cat sleeps", "a dog runs", "the bird sings and the dog runs", "it rests", "a dog rests", "it is the cat")


def trained(folder: str, device: str, out: str) -> None:
    """Write a checkpoint, and beside it the answers at each step and the number of processes."""
    model = PairCausal(folder, lora={"r": 2, "dropout": 0.0}, device=device, seed=0)
    pairs = ListDataset(list(zip(TEXTS, ("it moves", "it is not a cat") * 3, strict=True)), np.arange(6) % 2)
    task, processes = Pairs(), processes_of(device)
    data, right = task.batch(Member("train", "train", pairs)), []

    def look(moment: Moment) -> None:
        seen = PairClassifier(moment.network, batch=2, processes=processes)
        with seen.evaluating(), torch.inference_mode():
            found = seen.forward(seen.prepare(pairs.read(slice(None))))
        right.append((found.logits.argmax(dim=1).tolist(), list(found.features.shape), "head" in seen.offers))
        if moment.step == moment.total:
            moment.save(Path(out))

    strategy = AdamW(steps=4, batch_size=5, learning_rate=0.01)
    train(strategy, lambda: model, data, task, seed=0, on_step=look, processes=processes)
    if processes.rank == 0:
        torch.save([right, processes.size], f"{out}.right")


if __name__ == "__main__":
    trained(*sys.argv[1:])
