"""Loudness: the signals of EBU Tech 3341, agreement with ffmpeg, and independence of blocks."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from worker.tests.songs import noise

from msaas_worker.analysis.loudness import LoudnessMeter
from msaas_worker.audio.decoded import SAMPLERATE, Audio

DATA = Path(__file__).parents[2] / "data"


def tones(*parts: tuple[float, float], hz: float = 1000.0) -> Audio:
    """Return a tone in both channels: levels in dB of full scale, and their lengths in s."""
    levels = np.concatenate([np.full(round(seconds * SAMPLERATE), 10 ** (db / 20)) for db, seconds in parts])
    tone = levels * np.sin(2 * np.pi * hz * np.arange(len(levels)) / SAMPLERATE)
    return np.stack([tone, tone]).astype(np.float32)


def measure(audio: Audio, *, block: int = 5 * SAMPLERATE) -> LoudnessMeter:
    meter = LoudnessMeter()
    for start in range(0, audio.shape[-1], block):
        meter.feed(audio[:, start : start + block])
    return meter


#: Cases 1 to 5 of Tech 3341, which allows 0.1 LU.
CASES: dict[str, tuple[tuple[tuple[float, float], ...], float]] = {
    "1": (((-23, 20),), -23),
    "2": (((-33, 20),), -33),
    "3": (((-36, 10), (-23, 60), (-36, 10)), -23),
    "4": (((-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)), -23),
    "5": (((-26, 20), (-20, 20.1), (-26, 20)), -23),
}


@pytest.mark.parametrize("case", CASES)
def test_signals_of_tech_3341_have_their_loudness(case: str) -> None:
    parts, expected = CASES[case]
    assert measure(tones(*parts)).integrated_lufs() == pytest.approx(expected, abs=0.05)


def test_tone_of_bs_1770_has_its_loudness() -> None:
    """A sine of 997 Hz at full scale in one channel has -3.01 LKFS."""
    tone = tones((0, 5), hz=997)
    tone[1] = 0
    assert measure(tone).integrated_lufs() == pytest.approx(-3.01, abs=0.01)


def ffmpeg_lufs(audio: Audio, folder: Path) -> float:
    path = folder / "song.wav"
    soundfile.write(path, audio.T, SAMPLERATE, subtype="FLOAT")
    done = subprocess.run(
        [
            *("ffmpeg", "-nostdin", "-i", str(path)),
            *("-af", "ebur128=metadata=1,ametadata=mode=print:key=lavfi.r128.I:file=-", "-f", "null", "-"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(re.findall(r"lavfi\.r128\.I=(\S+)", done.stdout)[-1])


def signals() -> dict[str, Audio]:
    found = {path.stem: soundfile.read(path, dtype="float32")[0].T for path in sorted(DATA.glob("*.mp3"))}
    for hz in (40, 100, 10_000):
        found[f"{hz} Hz"] = tones((-20, 5), hz=hz)
    rng = np.random.default_rng(1)
    found["noise"] = rng.normal(0, 0.1, (2, 10 * SAMPLERATE)).astype(np.float32)
    found["bursts"] = found["noise"] * (np.arange(10 * SAMPLERATE) // 30_000 % 3 == 0)
    return found


SIGNALS = signals()


@pytest.mark.parametrize("name", SIGNALS)
def test_loudness_is_that_of_ffmpeg(name: str, tmp_path: Path) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    found = measure(SIGNALS[name]).integrated_lufs()
    assert found == pytest.approx(ffmpeg_lufs(SIGNALS[name], tmp_path), abs=0.02)


@pytest.mark.parametrize("block", [1000, 4409, 26_460, 100_000])
def test_loudness_does_not_depend_on_blocks(block: int) -> None:
    audio = noise(3 * SAMPLERATE)
    whole = measure(audio, block=audio.shape[-1])
    assert measure(audio, block=block).as_json() == whole.as_json()


def test_peak_is_the_highest_sample() -> None:
    audio = noise(SAMPLERATE)
    audio[1, 1234] = -(0.5**0.5) * 2
    assert measure(audio).sample_peak_dbfs() == pytest.approx(3.01, abs=0.01)


@pytest.mark.parametrize("audio", [np.zeros((2, SAMPLERATE), np.float32), noise(SAMPLERATE // 3)])
def test_silence_and_short_songs_have_no_loudness(audio: Audio) -> None:
    assert measure(audio).integrated_lufs() is None


def test_silence_has_no_peak() -> None:
    assert measure(np.zeros((2, 100), np.float32)).sample_peak_dbfs() is None
