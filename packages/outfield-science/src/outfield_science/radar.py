"""A low-resolution pulse radar that looks at a rotor: its echo, pulse by pulse, and its Doppler spectra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LIGHT = 299_792_458.0
"""Metres a second."""
BODY, BLADE = 10.0, 0.5
"""Radar cross sections, in square metres, of the body and of one blade."""
ALTITUDE = 500.0
"""Metres."""

Real: TypeAlias = NDArray[np.float64]
Complex: TypeAlias = NDArray[np.complex128]


@dataclass(frozen=True)
class Radar:
    """A pulse radar that never resolves the target in range: one range cell, ``pulses`` Doppler cells.

    Parameters
    ----------
    pulses : int
        Of a burst, of which one spectrum is taken.
    bursts : int
        Spectra of one signature, evenly spread over the dwell.
    dwell : float
        Seconds that the radar looks at the target.
    snr : float
        Power of the body's echo over that of the receiver's noise, in dB, a pulse.
    carrier, repetition : float
        Frequencies of the carrier and of the pulses, in Hz.
    """

    pulses: int = 64
    bursts: int = 64
    dwell: float = 64 * 64 / 50e3
    snr: float = 20.0
    carrier: float = 5e9
    repetition: float = 50e3

    @property
    def wavelength(self) -> float:
        """In metres."""
        return LIGHT / self.carrier

    def times(self) -> Real:
        """When each pulse is sent, in seconds, [bursts, pulses]."""
        starts = np.arange(self.bursts) * self.dwell / self.bursts
        return starts[:, None] + np.arange(self.pulses) / self.repetition

    def frequencies(self) -> Real:
        """Doppler frequency of each cell, in Hz, [pulses]; approaching scatterers are positive."""
        return np.fft.fftshift(np.fft.fftfreq(self.pulses, 1 / self.repetition))


@dataclass(frozen=True)
class Rotor:
    """A body with turning blades.

    Parameters
    ----------
    blades : int
    rate : float
        Turns a second.
    length : float
        Of a blade, in metres.
    velocity : float
        Of the body away from the radar, in metres a second.
    sight : float
        Cosine of the elevation under which the radar sees the rotor: what is left of a horizontal velocity.
    phase : float
        Angle of the first blade at the start.
    """

    blades: int
    rate: float
    length: float
    velocity: float = 0.0
    sight: float = 1.0
    phase: float = 0.0

    @classmethod
    def drawn(cls, blades: int, rng: np.random.Generator) -> Rotor:
        """A rotor from the ranges of Bauw et al.: 400 to 650 turns a minute, blades of 4.5 to 7 m."""
        distance = rng.uniform(300.0, 750.0)
        return cls(
            blades,
            rate=rng.uniform(400.0, 650.0) / 60,
            length=rng.uniform(4.5, 7.0),
            velocity=rng.uniform(-187.5, 187.5),
            sight=distance / float(np.hypot(distance, ALTITUDE)),
            phase=rng.uniform(0.0, 2 * np.pi),
        )


def echo(rotor: Rotor, times: Real, wavelength: float, points: int = 1) -> Complex:
    """What a rotor sends back at each time, without noise: its body and ``points`` scatterers along each blade.

    A scatterer at distance ``R(t)`` returns ``sqrt(cross section) * exp(-4 pi i R(t) / wavelength)``. One point stands
    at the tip, as in the paper; many make the blade a line, which flashes when it is square to the line of sight.

    Examples
    --------
    >>> still = Rotor(blades=2, rate=0.0, length=0.03, velocity=0.0)
    >>> echo(still, np.zeros(1), wavelength=0.06).round(2)  # tips half a wave nearer and half a wave further: in phase
    array([4.58+0.j])
    """
    radii = rotor.length * np.arange(1, points + 1) / points
    angles = rotor.phase + 2 * np.pi * (rotor.rate * times[..., None] + np.arange(rotor.blades) / rotor.blades)
    away = rotor.velocity * times
    blades = away[..., None, None] + radii * np.cos(angles)[..., None]
    wave = -4j * np.pi * rotor.sight / wavelength
    tips = np.exp(wave * blades).sum((-2, -1)) / points
    sent: Complex = np.sqrt(BODY) * np.exp(wave * away) + np.sqrt(BLADE) * tips
    return sent


def received(rotor: Rotor, radar: Radar, rng: np.random.Generator, points: int = 1) -> Complex:
    """The echo of every pulse with the receiver's white noise, [bursts, pulses]."""
    scale = np.sqrt(BODY * 10 ** (-radar.snr / 10) / 2)
    noise = rng.normal(scale=scale, size=(2, radar.bursts, radar.pulses))
    given: Complex = echo(rotor, radar.times(), radar.wavelength, points) + noise[0] + 1j * noise[1]
    return given


def spectra(pulses: Complex) -> Real:
    """Power in each Doppler cell of each burst, [..., bursts, pulses], the lowest frequency first.

    Examples
    --------
    >>> spectra(np.exp(2j * np.pi * np.arange(4) / 4)).round(6)
    array([0., 0., 0., 4.])
    """
    power: Real = np.abs(np.fft.fftshift(np.fft.fft(pulses, axis=-1), axes=-1)) ** 2 / pulses.shape[-1]
    return power


def decibels(power: Real, span: float) -> Real:
    """Power in dB below the strongest cell of the whole signature, ``-span`` or less as 0 and the strongest as 1.

    Examples
    --------
    >>> decibels(np.array([100.0, 1.0, 1e-9]), span=40.0)
    array([1. , 0.5, 0. ])
    """
    below: Real = 10 * np.log10(np.maximum(power, np.finfo(float).tiny) / power.max())
    return (1 + below / span).clip(0.0, 1.0)
