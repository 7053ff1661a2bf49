"""Singing is a melody sounding through a voiceprint: pulses and breath, shaped frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.speech import Mono
from msaas_training.voiceprint import BINS, FFT, HOP, Voiceprint, istft, stft


@dataclass(frozen=True)
class Throat:
    """How a singer sounds before the mouth: each number is drawn once for a singer."""

    vibrato_hz: float
    vibrato_semitones: float
    glide_s: float
    jitter: float
    shimmer: float
    breath: float
    growl: float
    detune_semitones: float
    drift_semitones: float = 0.12

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Throat:
        return cls(
            vibrato_hz=rng.uniform(4.2, 7.0),
            vibrato_semitones=rng.uniform(0, 0.7) if rng.random() < 0.7 else 0.0,
            glide_s=rng.uniform(0.01, 0.12),
            jitter=rng.uniform(0.001, 0.012),
            shimmer=rng.uniform(0.01, 0.12),
            breath=rng.uniform(0.02, 0.25) if rng.random() < 0.7 else rng.uniform(0.3, 1.0),
            growl=rng.uniform(0.2, 0.7) if rng.random() < 0.15 else 0.0,
            detune_semitones=rng.normal(0, 0.12),
        )

    @classmethod
    def tuned(cls, rng: np.random.Generator) -> Throat:
        """As even and clean as a desk can make a singer: the melody and a vibrato, hardly a breath."""
        return replace(
            cls.drawn(rng),
            jitter=0.0,
            shimmer=rng.uniform(0, 0.02),
            breath=np.exp(rng.uniform(np.log(0.002), np.log(0.1))),
            growl=0.0,
            detune_semitones=0.0,
            drift_semitones=0.0,
        )


def phrases(notes: Sequence[Note], *, gap_s: float = 0.35) -> list[list[Note]]:
    """Notes that follow one another without a breath."""
    found: list[list[Note]] = []
    for note in notes:
        if found and note.start_s - found[-1][-1].end_s < gap_s:
            found[-1].append(note)
        else:
            found.append([note])
    return found


def sung(notes: Sequence[Note], *, voiceprint: Voiceprint, throat: Throat, rng: np.random.Generator) -> Mono:
    """One phrase, from its first note to its last; the voiceprint is stretched over it."""
    samples = int((notes[-1].end_s - notes[0].start_s) * SAMPLE_RATE_HZ) + HOP
    f0 = melody_hz(notes, samples=samples, throat=throat, rng=rng)
    pulses = stft(_pulses(f0, throat=throat, rng=rng))
    noise = stft(rng.standard_normal(samples).astype(np.float32) * np.float32(0.05))
    mouth = voiceprint.at(stretched(voiceprint, frames=len(pulses)))
    breath = _breathiness(throat) ** (1 / (1e-3 + mouth.voiced[:, None]))
    source = pulses * (1 - breath) + noise * breath
    voice = istft(source * np.exp(mouth.envelope), samples=samples)
    return _faded(voice * _loudness(notes, samples=samples))


def melody_hz(
    notes: Sequence[Note], *, samples: int, throat: Throat, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The pitch over time: glides between the notes, vibrato that sets in, slow drift."""
    time = np.arange(0, samples, HOP) / SAMPLE_RATE_HZ + notes[0].start_s
    pitch = np.array([n.pitch for n in notes], float)[_sounding(notes, time)]
    keep = np.exp(-HOP / SAMPLE_RATE_HZ / throat.glide_s)
    for i in range(1, len(pitch)):
        pitch[i] = keep * pitch[i - 1] + (1 - keep) * pitch[i]
    since = time - np.array([n.start_s for n in notes])[_sounding(notes, time)]
    onset = np.clip((since - 0.15) / 0.3, 0, 1)
    pitch += throat.vibrato_semitones * onset * np.sin(2 * np.pi * throat.vibrato_hz * time)
    drift = np.convolve(rng.standard_normal(len(time)), np.hanning(60) / 30, "same")
    f0 = 440 * 2 ** (
        (pitch + throat.detune_semitones + throat.drift_semitones * drift[: len(time)] - 69) / 12
    )
    return np.interp(np.arange(samples), np.arange(0, samples, HOP), f0).astype(np.float32)


def stretched(voiceprint: Voiceprint, *, frames: int) -> NDArray[np.float64]:
    """Where in the print each frame of the song lies: vowels give way, consonants keep their length."""
    change = np.abs(np.diff(voiceprint.envelope[:, : BINS // 4], axis=0, prepend=0)).mean(1)
    steady = voiceprint.voiced * np.exp(-change / (np.median(change) + 1e-6)) + 0.02
    extra = max(0.0, frames - voiceprint.frames)
    dwell = 1.0 + extra * steady / steady.sum()
    ends = np.cumsum(dwell)
    return np.interp(np.linspace(0, ends[-1], frames), ends, np.arange(voiceprint.frames))


def _sounding(notes: Sequence[Note], time: NDArray[np.floating]) -> NDArray[np.intp]:
    starts = np.array([n.start_s for n in notes])
    return np.clip(np.searchsorted(starts, time, side="right") - 1, 0, len(notes) - 1)


def _pulses(f0: NDArray[np.float32], *, throat: Throat, rng: np.random.Generator) -> Mono:
    """A pulse wherever the phase comes round, between two samples, each a little late and uneven."""
    phase = np.cumsum(f0 / SAMPLE_RATE_HZ)
    turns = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    period = SAMPLE_RATE_HZ / f0[turns]
    places = turns + 1 - (phase[turns + 1] % 1) * period / period.clip(1)
    places = np.clip(places + rng.normal(0, 1, len(turns)) * throat.jitter * period, 0, len(f0) - 2)
    size = 1 + throat.shimmer * rng.standard_normal(len(turns))
    size[::2] *= 1 - throat.growl
    size *= np.sqrt(period) / 14
    out = np.zeros(len(f0), np.float32)
    whole = places.astype(int)
    np.add.at(out, whole, size * (1 - (places - whole)))
    np.add.at(out, whole + 1, size * (places - whole))
    return out


def _breathiness(throat: Throat) -> NDArray[np.float32]:
    """The share of noise rises with frequency: 0 is all pulse, 1 is all breath."""
    frequency = np.arange(BINS, dtype=np.float32)[None] * SAMPLE_RATE_HZ / FFT
    return np.clip(throat.breath * (0.3 + frequency / 6000), 0.002, 0.95)


def _loudness(notes: Sequence[Note], *, samples: int) -> NDArray[np.float32]:
    time = np.arange(0, samples, HOP) / SAMPLE_RATE_HZ + notes[0].start_s
    velocity = np.array([n.velocity for n in notes], float)[_sounding(notes, time)] / 100
    smooth = np.convolve(np.pad(velocity, 8, "edge"), np.hanning(17) / 8, "valid")
    return np.interp(np.arange(samples), np.arange(0, samples, HOP), smooth[: len(time)]).astype(np.float32)


def _faded(voice: Mono) -> Mono:
    edge = min(len(voice) // 2, int(0.015 * SAMPLE_RATE_HZ))
    voice[:edge] *= np.linspace(0, 1, edge, dtype=np.float32)
    voice[-edge:] *= np.linspace(1, 0, edge, dtype=np.float32)
    return voice
