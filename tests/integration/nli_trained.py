"""A few steps of fine-tuning, in this process or as one of several: ``python nli_trained.py MODEL DEVICE OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from outfield.trajectory.nli.finetune import Finetuning
from outfield.trajectory.nli.models import open_model
from outfield.trajectory.nli.processes import World
from outfield.trajectory.nli.sets import Pairs
from outfield.trajectory.nli.spec import LanguageModel, Lora, Training

TEXTS = ("the cat sleeps", "a dog runs", "the bird sings and the dog runs", "it rests", "a dog rests", "it is the cat")


def trained(folder: str, device: str, out: str) -> None:
    """Write a checkpoint, and beside it what was right at each step and the number of processes."""
    model = open_model(LanguageModel(label="opt", path=folder), lora=Lora(r=2, dropout=0.0), device=device)
    pairs = Pairs(TEXTS, ("it moves", "it is not a cat") * 3, np.arange(6) % 2)
    world, labels = World.of(device), torch.from_numpy(pairs.labels)
    training = Training(steps=4, batch=5, learning_rate=0.01)
    run = Finetuning(model, model.encode(pairs), labels, training, 0, world=world)
    right = []
    run.run(lambda run: right.append(model.correct(run.encoded, pairs.labels, 2).tolist()))
    run.save(Path(out))
    if world.rank == 0:
        torch.save([right, world.size], f"{out}.right")


if __name__ == "__main__":
    trained(*sys.argv[1:])
