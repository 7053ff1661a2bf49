"""Speech is made to sing by laying its own periods anew (TD-PSOLA, Moulines and Charpentier 1990)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.singing import Throat, melody_hz, stretched
from msaas_training.speech import Mono
from msaas_training.voiceprint import FFT, HOP, Voiceprint, stft, voicing

_LOWEST_HZ, _HIGHEST_HZ = 80, 380
#: How far a voice may be moved before its grains fall apart.
_SHIFT_LIMIT = 2.2


def varispeed(speech: Mono, *, ratio: float) -> Mono:
    places = np.arange(0, speech.size - 1, ratio)
    return np.interp(places, np.arange(speech.size), speech).astype(np.float32)


def sung(notes: Sequence[Note], *, speech: Mono, throat: Throat, rng: np.random.Generator) -> Mono:
    """One phrase; the speech is stretched over it and its periods follow the melody."""
    samples = int((notes[-1].end_s - notes[0].start_s) * SAMPLE_RATE_HZ) + HOP
    f0 = melody_hz(notes, samples=samples, throat=throat, rng=rng)
    marks, periods = pitch_marks(speech)
    spectrum = stft(speech)
    print_ = Voiceprint(np.log(np.abs(spectrum) + 1e-5), voicing(spectrum))
    places = stretched(print_, frames=1 + samples // HOP) * HOP
    f0 *= _nearest_octave(float(np.median(f0)), speaker_hz=SAMPLE_RATE_HZ / float(np.median(periods)))
    out = np.zeros(samples + FFT * 4, np.float32)
    now = 0.0
    while now < samples - 1:
        mark = int(np.searchsorted(marks, places[int(now) // HOP]).clip(0, len(marks) - 1))
        _lay(out, speech=speech, at=int(now), mark=int(marks[mark]), period=int(periods[mark]))
        now += SAMPLE_RATE_HZ / float(f0[int(now)]) * (1 + throat.jitter * rng.standard_normal())
    return out[:samples]


def pitch_marks(speech: Mono) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The loudest sample of each period, and the length of that period."""
    frames = np.fft.irfft(np.abs(_wide(speech)) ** 2, axis=1)
    low, high = SAMPLE_RATE_HZ // _HIGHEST_HZ, SAMPLE_RATE_HZ // _LOWEST_HZ
    tracked = low + frames[:, low:high].argmax(1)
    marks, periods, now = [], [], 0
    while now < speech.size:
        period = int(tracked[min(now // HOP, len(tracked) - 1)])
        marks.append(now + int(np.abs(speech[now : now + period]).argmax()))
        periods.append(period)
        now = max(now + period // 2, marks[-1] + period // 2)
    return np.array(marks), np.array(periods)


def _wide(speech: Mono) -> NDArray[np.complex64]:
    """Frames long enough to hold two periods of the lowest voice."""
    width = 2 * FFT
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(speech, (FFT, width)), width)[::HOP]
    return np.fft.rfft(frames * np.hanning(width).astype(np.float32), axis=1).astype(np.complex64)


def _nearest_octave(melody_hz_: float, *, speaker_hz: float) -> float:
    octaves = np.round(np.log2(melody_hz_ / speaker_hz))
    return float(2.0**-octaves) if abs(np.log2(melody_hz_ / speaker_hz)) > np.log2(_SHIFT_LIMIT) else 1.0


def _lay(out: Mono, *, speech: Mono, at: int, mark: int, period: int) -> None:
    start = max(0, mark - period)
    grain = speech[start : mark + period]
    out[at : at + grain.size] += grain * np.hanning(grain.size).astype(np.float32)
