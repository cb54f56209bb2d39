from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source, row_rng
from outfield.data.datasets import ArrayDataset
from outfield.errors import UserError
from outfield_science.radar import Radar, Rotor, decibels, received, spectra
from outfield_science.spd import covariance


@dataclass(frozen=True)
class MicroDoppler(Source):
    """Simulated signatures of rotors under a low-resolution pulse radar [1]; the class is the number of blades.

    A signature is a picture of one channel: the Doppler spectra of successive bursts, in dB below its strongest cell.
    As in the paper, a target is a body and the tips of its blades, 10 and 0.5 square metres large; turns a minute,
    blade length, velocity, distance and phase are drawn for each. Unlike there, noise is given as a ratio, and each
    signature is scaled by itself, so that no set has to be known to read another.

    Parameters
    ----------
    blades : tuple of int
        The classes.
    n : int
        Signatures of each class.
    part : {"fit", "val", "test"}
        Parts of one seed have no target in common.
    pulses, bursts : int
        Doppler cells, and spectra: the picture is [bursts, pulses].
    snr : float
        Of the body, in dB, a pulse.
    points : int
        Scatterers along each blade; one is its tip.
    span : float
        dB from black to white.
    representation : {"spectrum", "covariance"}
        ``covariance`` gives, as a row of ``pulses ** 2`` numbers, the covariance of the Doppler cells over the bursts.
    ridge : float
        What is added to its diagonal, so that it is positive definite.
    seed : int

    Raises
    ------
    UserError
        No such part or representation; fewer than one blade, signature, pulse, burst or scatterer.

    Examples
    --------
    >>> data = MicroDoppler(blades=(2, 4), n=3, pulses=16, bursts=8).load()
    >>> data.read(slice(None)).shape, data.labels, data.classes
    ((6, 8, 16, 1), array([0, 0, 0, 1, 1, 1]), ('2 blades', '4 blades'))

    References
    ----------
    [1] Bauw, Velasco-Forero, Angulo, Adnet, Airiau. Near out-of-distribution detection for low-resolution radar
        micro-Doppler signatures. ECML PKDD 2022 (arXiv 2205.07869).
    """

    blades: tuple[int, ...] = (1, 2, 4, 6)
    n: int = 300
    part: Literal["fit", "val", "test"] = "fit"
    pulses: int = 64
    bursts: int = 64
    snr: float = 20.0
    points: int = 1
    span: float = 40.0
    representation: Literal["spectrum", "covariance"] = "spectrum"
    ridge: float = 1e-3
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def __post_init__(self) -> None:
        _check_choice("part", self.part, ("fit", "val", "test"))
        _check_choice("representation", self.representation, ("spectrum", "covariance"))
        numbers = {name: getattr(self, name) for name in ("n", "pulses", "bursts", "points")}
        for name, value in {**numbers, "blades": min(self.blades, default=0)}.items():
            if value < 1:
                raise UserError(f"Expected {name} of at least 1, but got {getattr(self, name)!r}. Give more.")

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        pictures = np.stack([self._signature(blades, row) for blades in self.blades for row in range(self.n)])
        labels = np.repeat(np.arange(len(self.blades)), self.n)
        return ArrayDataset(self._represented(pictures), labels, [_called(blades) for blades in self.blades])

    def _signature(self, blades: int, row: int) -> NDArray[np.float32]:
        rng = row_rng(f"MicroDoppler {self.part} {blades}", self.seed, row)
        radar = Radar(self.pulses, self.bursts, snr=self.snr)
        power = spectra(received(Rotor.drawn(blades, rng), radar, rng, self.points))
        return decibels(power, self.span).astype(np.float32)

    def _represented(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.representation == "spectrum":
            return pictures
        found = covariance(torch.from_numpy(pictures).double(), self.ridge)
        return found.flatten(1).float().numpy()


def _called(blades: int) -> str:
    return f"{blades} blade{'s' if blades > 1 else ''}"


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"Expected a {name} among {', '.join(known)}, but got {value!r}. Choose one of them.")
