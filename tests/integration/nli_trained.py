"""A few steps of fine-tuning, in this process or as one of several: ``python nli_trained.py MODEL DEVICE OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from outfield.strategies import Moment, train
from outfield.strategies.adamw import AdamW
from outfield.trajectory.nli.entailment import Entailment
from outfield.trajectory.nli.models import open_model
from outfield.trajectory.nli.processes import processes_of
from outfield.trajectory.nli.sets import Pairs
from outfield.trajectory.nli.spec import LanguageModel, Lora

TEXTS = ("the cat sleeps", "a dog runs", "the bird sings and the dog runs", "it rests", "a dog rests", "it is the cat")


def trained(folder: str, device: str, out: str) -> None:
    """Write a checkpoint, and beside it what was right at each step and the number of processes."""
    model = open_model(LanguageModel(label="opt", path=folder), lora=Lora(r=2, dropout=0.0), device=device)
    pairs = Pairs(TEXTS, ("it moves", "it is not a cat") * 3, np.arange(6) % 2)
    task, processes = Entailment(model), processes_of(device)
    data, right = task.encoded(pairs), []

    def look(moment: Moment) -> None:
        right.append(model.correct(data.x, pairs.labels, 2, moment.network, processes).tolist())
        if moment.step == moment.total:
            moment.save(Path(out))

    strategy = AdamW(steps=4, batch_size=5, learning_rate=0.01)
    train(strategy, lambda: model.module, data, task, seed=0, on_step=look, processes=processes)
    if processes.rank == 0:
        torch.save([right, processes.size], f"{out}.right")


if __name__ == "__main__":
    trained(*sys.argv[1:])
