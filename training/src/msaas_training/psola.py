"""TD-PSOLA (Moulines and Charpentier 1990): changes the pitch of recorded speech to a melody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.singing import VoiceSource, align_frames, melody_hz
from msaas_training.speech import Mono
from msaas_training.vocal_envelope import FFT, HOP, VocalEnvelope, estimate_voicing, stft

_LOWEST_HZ, _HIGHEST_HZ = 80, 380
#: Beyond this ratio, pitch shifts are reduced by octaves to limit artefacts.
_SHIFT_LIMIT = 2.2


def change_speed(speech: Mono, *, ratio: float) -> Mono:
    """Resample speech. A `ratio` above 1 makes it faster and higher."""
    positions = np.arange(0, speech.size - 1, ratio)
    resampled: Mono = np.interp(positions, np.arange(speech.size), speech).astype(np.float32)
    return resampled


def sing_phrase(
    notes: Sequence[Note], *, speech: Mono, source: VoiceSource, rng: np.random.Generator
) -> Mono:
    """Render one phrase as `[samples]`: the speech is stretched to its length and follows its melody."""
    samples = int((notes[-1].end_s - notes[0].start_s) * SAMPLE_RATE_HZ) + HOP
    f0 = melody_hz(notes, samples=samples, source=source, rng=rng)
    marks, periods = find_pitch_marks(speech)
    spectrum = stft(speech)
    envelope = VocalEnvelope(np.log(np.abs(spectrum) + 1e-5), estimate_voicing(spectrum))
    positions = align_frames(envelope, frames=1 + samples // HOP) * HOP
    f0 *= _octave_factor(float(np.median(f0)), speaker_hz=SAMPLE_RATE_HZ / float(np.median(periods)))
    out = np.zeros(samples + FFT * 4, np.float32)
    now = 0.0
    while now < samples - 1:
        mark = int(np.searchsorted(marks, positions[int(now) // HOP]).clip(0, len(marks) - 1))
        _add_grain(out, speech=speech, at=int(now), mark=int(marks[mark]), period=int(periods[mark]))
        now += SAMPLE_RATE_HZ / float(f0[int(now)]) * (1 + source.jitter * rng.standard_normal())
    return out[:samples]


def find_pitch_marks(speech: Mono) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the loudest sample of each period and the length of the period, both in samples."""
    frames = np.fft.irfft(np.abs(_long_spectra(speech)) ** 2, axis=1)
    low, high = SAMPLE_RATE_HZ // _HIGHEST_HZ, SAMPLE_RATE_HZ // _LOWEST_HZ
    tracked = low + frames[:, low:high].argmax(1)
    marks, periods, now = [], [], 0
    while now < speech.size:
        period = int(tracked[min(now // HOP, len(tracked) - 1)])
        marks.append(now + int(np.abs(speech[now : now + period]).argmax()))
        periods.append(period)
        now = max(now + period // 2, marks[-1] + period // 2)
    return np.array(marks), np.array(periods)


def _long_spectra(speech: Mono) -> NDArray[np.complex64]:
    """Return spectra of frames that hold two periods of the lowest voice."""
    width = 2 * FFT
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(speech, (FFT, width)), width)[::HOP]
    return np.fft.rfft(frames * np.hanning(width).astype(np.float32), axis=1).astype(np.complex64)


def _octave_factor(melody_median_hz: float, *, speaker_hz: float) -> float:
    """Return the octave shift that brings the melody near the speaker's pitch, if it is too far away."""
    octaves = np.round(np.log2(melody_median_hz / speaker_hz))
    return (
        float(2.0**-octaves) if abs(np.log2(melody_median_hz / speaker_hz)) > np.log2(_SHIFT_LIMIT) else 1.0
    )


def _add_grain(out: Mono, *, speech: Mono, at: int, mark: int, period: int) -> None:
    """Overlap-add two windowed periods of speech."""
    start = max(0, mark - period)
    grain = speech[start : mark + period]
    out[at : at + grain.size] += grain * np.hanning(grain.size).astype(np.float32)
