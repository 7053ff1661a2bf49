"""Vocoder: turns a melody and a vocal envelope into singing (source-filter model)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.speech import Mono
from msaas_training.vocal_envelope import BINS, FFT, HOP, VocalEnvelope, istft, stft


@dataclass(frozen=True, kw_only=True)
class VoiceSource:
    """Parameters of the glottal source and of the pitch contour, drawn once per singer.

    `jitter` and `shimmer` are relative, `breath` is the share of noise, `growl` weakens every other pulse.
    """

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
    def draw(cls, rng: np.random.Generator) -> VoiceSource:
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
    def draw_tuned(cls, rng: np.random.Generator) -> VoiceSource:
        """Draw a source as after pitch correction: no jitter, growl, detune or drift, and little breath."""
        return replace(
            cls.draw(rng),
            jitter=0.0,
            shimmer=rng.uniform(0, 0.02),
            breath=np.exp(rng.uniform(np.log(0.002), np.log(0.1))),
            growl=0.0,
            detune_semitones=0.0,
            drift_semitones=0.0,
        )


def split_phrases(notes: Sequence[Note], *, gap_s: float = 0.35) -> list[list[Note]]:
    """Split notes into phrases at rests of `gap_s` or longer."""
    found: list[list[Note]] = []
    for note in notes:
        if found and note.start_s - found[-1][-1].end_s < gap_s:
            found[-1].append(note)
        else:
            found.append([note])
    return found


def sing_phrase(
    notes: Sequence[Note], *, envelope: VocalEnvelope, source: VoiceSource, rng: np.random.Generator
) -> Mono:
    """Render one phrase as `[samples]`. The envelope is stretched to its length."""
    samples = int((notes[-1].end_s - notes[0].start_s) * SAMPLE_RATE_HZ) + HOP
    f0 = melody_hz(notes, samples=samples, source=source, rng=rng)
    pulses = stft(_draw_pulses(f0, source=source, rng=rng))
    noise = stft(rng.standard_normal(samples).astype(np.float32) * np.float32(0.05))
    stretched = envelope.read_at(align_frames(envelope, frames=len(pulses)))
    breath = _noise_share(source) ** (1 / (1e-3 + stretched.voicing[:, None]))
    excitation = pulses * (1 - breath) + noise * breath
    voice = istft(excitation * np.exp(stretched.log_magnitude), samples=samples)
    return _fade_ends(voice * _velocity_gain(notes, samples=samples))


def melody_hz(
    notes: Sequence[Note], *, samples: int, source: VoiceSource, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the fundamental frequency `[samples]`: the melody with glides, vibrato and slow drift."""
    time = np.arange(0, samples, HOP) / SAMPLE_RATE_HZ + notes[0].start_s
    pitch = np.array([n.pitch for n in notes], float)[_active_notes(notes, time)]
    keep = np.exp(-HOP / SAMPLE_RATE_HZ / source.glide_s)
    for i in range(1, len(pitch)):
        pitch[i] = keep * pitch[i - 1] + (1 - keep) * pitch[i]
    since = time - np.array([n.start_s for n in notes])[_active_notes(notes, time)]
    onset = np.clip((since - 0.15) / 0.3, 0, 1)
    pitch += source.vibrato_semitones * onset * np.sin(2 * np.pi * source.vibrato_hz * time)
    drift = np.convolve(rng.standard_normal(len(time)), np.hanning(60) / 30, "same")
    f0 = 440 * 2 ** (
        (pitch + source.detune_semitones + source.drift_semitones * drift[: len(time)] - 69) / 12
    )
    return np.interp(np.arange(samples), np.arange(0, samples, HOP), f0).astype(np.float32)


def align_frames(envelope: VocalEnvelope, *, frames: int) -> NDArray[np.float64]:
    """Map each output frame to a position in the envelope: vowels are stretched, consonants are not."""
    change = np.abs(np.diff(envelope.log_magnitude[:, : BINS // 4], axis=0, prepend=0)).mean(1)
    steady = envelope.voicing * np.exp(-change / (np.median(change) + 1e-6)) + 0.02
    extra = max(0.0, frames - envelope.frames)
    dwell = 1.0 + extra * steady / steady.sum()
    ends = np.cumsum(dwell)
    return np.interp(np.linspace(0, ends[-1], frames), ends, np.arange(envelope.frames))


def _active_notes(notes: Sequence[Note], time: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the index of the note that sounds at each time."""
    starts = np.array([n.start_s for n in notes])
    return np.clip(np.searchsorted(starts, time, side="right") - 1, 0, len(notes) - 1)


def _draw_pulses(f0: NDArray[np.float32], *, source: VoiceSource, rng: np.random.Generator) -> Mono:
    """Place pulses at fractional sample positions, with jitter in time and shimmer in amplitude."""
    phase = np.cumsum(f0 / SAMPLE_RATE_HZ)
    starts = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    period = SAMPLE_RATE_HZ / f0[starts]
    positions = starts + 1 - (phase[starts + 1] % 1) * period / period.clip(1)
    positions = np.clip(positions + rng.normal(0, 1, len(starts)) * source.jitter * period, 0, len(f0) - 2)
    size = 1 + source.shimmer * rng.standard_normal(len(starts))
    size[::2] *= 1 - source.growl
    size *= np.sqrt(period) / 14
    out = np.zeros(len(f0), np.float32)
    whole = positions.astype(int)
    np.add.at(out, whole, size * (1 - (positions - whole)))
    np.add.at(out, whole + 1, size * (positions - whole))
    return out


def _noise_share(source: VoiceSource) -> NDArray[np.float32]:
    """Return the share of noise (0 to 1) in each bin. It rises with frequency."""
    frequency = np.arange(BINS, dtype=np.float32)[None] * SAMPLE_RATE_HZ / FFT
    return np.clip(source.breath * (0.3 + frequency / 6000), 0.002, 0.95)


def _velocity_gain(notes: Sequence[Note], *, samples: int) -> NDArray[np.float32]:
    time = np.arange(0, samples, HOP) / SAMPLE_RATE_HZ + notes[0].start_s
    velocity = np.array([n.velocity for n in notes], float)[_active_notes(notes, time)] / 100
    smooth = np.convolve(np.pad(velocity, 8, "edge"), np.hanning(17) / 8, "valid")
    return np.interp(np.arange(samples), np.arange(0, samples, HOP), smooth[: len(time)]).astype(np.float32)


def _fade_ends(voice: Mono) -> Mono:
    edge = min(len(voice) // 2, int(0.015 * SAMPLE_RATE_HZ))
    voice[:edge] *= np.linspace(0, 1, edge, dtype=np.float32)
    voice[-edge:] *= np.linspace(1, 0, edge, dtype=np.float32)
    return voice
