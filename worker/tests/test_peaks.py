"""Peaks: pairs of 512 samples, away from zero, whatever the blocks that they come in."""

from pathlib import Path

import numpy as np
import pytest
from worker.tests.encoding import mp3_of
from worker.tests.songs import noise

from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.encoding import open_encoders
from msaas_worker.audio.peaks import PAIR_SAMPLES, PeakMeter


def pairs_of(peaks: bytes) -> list[list[int]]:
    return np.frombuffer(peaks, np.int8).reshape(-1, 2).tolist()


def expected(audio: Audio) -> list[list[int]]:
    """Compute the pairs of `[2, n]` one by one."""
    found = []
    for start in range(0, audio.shape[-1], PAIR_SAMPLES):
        part = audio[:, start : start + PAIR_SAMPLES]
        pair = (127 * part.min(), 127 * part.max())
        found.append([int(np.clip(np.sign(x) * np.ceil(abs(x)), -127, 127)) for x in pair])
    return found


@pytest.mark.parametrize("block", [1, 511, 512, 513, 5000])
def test_pairs_do_not_depend_on_blocks(block: int) -> None:
    audio, meter = noise(2000, seed=1), PeakMeter()
    for start in range(0, audio.shape[-1], block):
        meter.feed(np.ascontiguousarray(audio[:, start : start + block].T))
    meter.finish()
    assert pairs_of(meter.encode()) == expected(audio)


def test_soft_sound_is_not_silence() -> None:
    meter = PeakMeter()
    meter.feed(np.full((PAIR_SAMPLES, 2), 1e-5, np.float32))
    meter.feed(np.full((PAIR_SAMPLES, 2), -1e-5, np.float32))
    meter.feed(np.zeros((PAIR_SAMPLES, 2), np.float32))
    assert pairs_of(meter.encode()) == [[1, 1], [-1, -1], [0, 0]]


def test_peaks_beyond_full_scale_are_clipped_or_divided() -> None:
    meter = PeakMeter()
    meter.feed(np.array([[2.0, -2.0]] * PAIR_SAMPLES, np.float32))
    assert pairs_of(meter.encode()) == [[-127, 127]]
    assert pairs_of(meter.encode(divisor=np.float32(4))) == [[-64, 64]]


def test_empty_stem_has_no_pairs() -> None:
    meter = PeakMeter()
    meter.finish()
    assert meter.encode() == b""


@pytest.mark.parametrize("gain", [0.5, 3.0])
def test_peaks_of_a_stem_are_those_of_its_encoded_samples(tmp_path: Path, gain: float) -> None:
    audio = np.float32(gain) * noise(2 * SAMPLERATE, seed=2)
    with open_encoders(tmp_path, ("stem",), mp3_of(audio)) as (encoder,):
        encoder.write(audio)
        encoder.finish().result()
        peaks, first = encoder.peaks(), encoder.peaks(until_s=1.0)
    divisor = max(np.float32(1.01) * np.abs(audio).max(), np.float32(1))
    assert pairs_of(peaks) == expected(audio / divisor)
    assert len(pairs_of(first)) == SAMPLERATE // PAIR_SAMPLES
