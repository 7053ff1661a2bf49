"""Integrated loudness of a stereo song by ITU-R BS.1770-5, and its sample peak."""

import math

import numpy as np
from numpy.typing import NDArray

from msaas_worker.analysis.windows import Windows
from msaas_worker.audio.decoded import SAMPLERATE, Audio

#: Gating blocks of four steps begin at each step of 100 ms.
_STEP_SAMPLES = SAMPLERATE // 10
_STEPS_OF_BLOCK = 4
_OFFSET_LU = -0.691
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
#: Of a Fourier transform. It filters six steps, after 143 ms for the response of the filter, which has
#: decayed below -200 dB by then.
_FFT_SAMPLES = 32_768
_STEPS_AT_ONCE = 6


class LoudnessMeter:
    """Measures a song as it comes. Ten numbers are kept for a second of it.

    Both channels have the same weight, so a frame counts as one complex number.
    """

    def __init__(self) -> None:
        hop = _STEPS_AT_ONCE * _STEP_SAMPLES
        self._history = _FFT_SAMPLES - hop
        self._windows = Windows(size=_FFT_SAMPLES, hop=hop, before=self._history, dtype=np.complex64)
        self._energies: list[NDArray[np.float32]] = []
        self._samples = 0
        self._peak = 0.0

    def feed(self, song: Audio) -> None:
        """Add samples `[2, n]`."""
        self._samples += song.shape[-1]
        self._peak = max(self._peak, float(np.abs(song).max(initial=np.float32(0))))
        self._add(self._windows.feed(_as_complex(song)))

    def integrated_lufs(self) -> float | None:
        """Return the loudness once the song has ended, None below -70 LUFS and for less than 400 ms."""
        self._add(self._windows.flush())
        steps = np.concatenate(self._energies)[: self._samples // _STEP_SAMPLES]
        if len(steps) < _STEPS_OF_BLOCK:
            return None
        blocks = np.convolve(steps, np.full(_STEPS_OF_BLOCK, 1 / _STEPS_OF_BLOCK), "valid")
        loud = blocks[_lufs(blocks) > _ABSOLUTE_GATE_LUFS]
        if not len(loud):
            return None
        gate = float(_lufs(loud.mean())) + _RELATIVE_GATE_LU
        return float(_lufs(loud[_lufs(loud) > gate].mean()))

    def sample_peak_dbfs(self) -> float | None:
        """Return the highest sample in dB of full scale, None for silence."""
        return 20 * math.log10(self._peak) if self._peak else None

    def as_json(self) -> dict[str, float | None]:
        """Return the facts of a song that has ended."""
        found = {"integrated_lufs": self.integrated_lufs(), "sample_peak_dbfs": self.sample_peak_dbfs()}
        return {name: None if value is None else round(value, 2) for name, value in found.items()}

    def _add(self, windows: NDArray[np.complex64]) -> None:
        for window in windows:
            weighted = np.fft.ifft(np.fft.fft(window) * _K_WEIGHTING)[self._history :]
            power = weighted.real**2 + weighted.imag**2
            self._energies.append(power.reshape(_STEPS_AT_ONCE, -1).mean(axis=1))


def _as_complex(song: Audio) -> NDArray[np.complex64]:
    return np.ascontiguousarray(song.T).view(np.complex64)[:, 0]


def _lufs(energy: NDArray[np.floating] | np.floating) -> NDArray[np.floating]:
    return _OFFSET_LU + 10 * np.log10(np.maximum(energy, 1e-20))


def _k_weighting() -> NDArray[np.complex64]:
    """Return the response of both filters at the frequencies of the Fourier transform.

    BS.1770 has coefficients for 48 kHz. These are the same analogue filters at 44.1 kHz.
    """
    z = np.exp(-2j * np.pi * np.arange(_FFT_SAMPLES) / _FFT_SAMPLES)
    return (_shelf(z) * _high_pass(z)).astype(np.complex64)


def _shelf(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the response of the head: 4 dB above 1.7 kHz."""
    k, q, gain = math.tan(math.pi * 1681.974450955533 / SAMPLERATE), 0.7071752369554196, 3.999843853973347
    high = 10 ** (gain / 20)
    band = high**0.4996667741545416
    numerator = (high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k)
    return _biquad(z, numerator, k=k, q=q)


def _high_pass(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    k, q = math.tan(math.pi * 38.13547087602444 / SAMPLERATE), 0.5003270373238773
    # The standard does not divide this numerator.
    scale = 1 + k / q + k * k
    return _biquad(z, (scale, -2 * scale, scale), k=k, q=q)


def _biquad(
    z: NDArray[np.complex128], numerator: tuple[float, float, float], *, k: float, q: float
) -> NDArray[np.complex128]:
    """Return the response at powers `z` of the unit delay."""
    denominator = (1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k)
    found: NDArray[np.complex128] = np.polyval(numerator[::-1], z) / np.polyval(denominator[::-1], z)
    return found


_K_WEIGHTING = _k_weighting()
