"""Stems are encoded as a stream: MP3 to the bytes of demucs, integers exactly, peaks as the option says."""

import json
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from worker.tests.encoding import as_demucs_encodes, encode_file, encode_stem, mp3_of
from worker.tests.references import decode_by_ffmpeg
from worker.tests.songs import noise

from msaas.errors import FormatUnavailable, SeparationFailed
from msaas.formats import FORMATS
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.encoders import opening
from msaas_worker.audio.encoders.sndfile import SndfileEncoder
from msaas_worker.audio.encoding import NullObserver, open_encoders
from msaas_worker.audio.ffmpeg import find_ffmpeg
from msaas_worker.audio.quantisation import dequantise
from msaas_worker.audio.stem_format import StemFormat
from msaas_worker.audio.tags import Tags
from msaas_worker.separation import encode
from tests.servers import absent


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0], ids=["soft", "clips a little", "clips a lot"])
def test_stem_has_the_bytes_of_demucs(gain: float, tmp_path: Path) -> None:
    audio = noise(3 * SAMPLERATE, gain=gain)
    assert encode_stem(audio, tmp_path) == as_demucs_encodes(audio, tmp_path)


def test_stem_that_clips_in_its_last_sample_is_scaled_as_a_whole(tmp_path: Path) -> None:
    audio = noise(2 * SAMPLERATE, gain=0.1)
    audio[0, -1] = -2.0
    assert encode_stem(audio, tmp_path) == as_demucs_encodes(audio, tmp_path)


def test_m4a_that_clips_is_scaled(tmp_path: Path) -> None:
    if not find_ffmpeg():
        absent("ffmpeg")
    form = StemFormat(name="m4a", samples=2 * SAMPLERATE, bit_rate=256, clip="rescale")
    decoded = decode_by_ffmpeg(encode_file(noise(2 * SAMPLERATE, gain=3), tmp_path, form=form))
    assert 0.8 < np.abs(decoded).max() < 1.2


class CountingAttempt(UnattendedAttempt):
    """Counts the reports of progress."""

    def __init__(self) -> None:
        self.reports = 0

    def report_progress(self, share: float | None = None) -> None:
        self.reports += 1

    def pause_watchdog(self) -> AbstractContextManager[None]:
        raise AssertionError("the watchdog must watch the encoders")


def test_second_encoding_of_a_clipping_stem_counts_as_progress(tmp_path: Path) -> None:
    attempt, song = CountingAttempt(), noise(20 * SAMPLERATE, gain=3)
    encode(
        iter([song[None]]),
        ("stem",),
        mp3_of(song),
        tmp_path,
        attempt,
        observer=NullObserver(),
        look_s=0.005,
    )
    assert attempt.reports > 5


@pytest.mark.parametrize("audio", [np.zeros((2, 1), np.float32), np.ones((2, SAMPLERATE), np.float32)])
def test_one_silent_sample_and_full_scale_are_encoded(audio: Audio, tmp_path: Path) -> None:
    assert encode_stem(audio, tmp_path) == as_demucs_encodes(audio, tmp_path)


@pytest.mark.parametrize(("clip", "peak"), [("rescale", 1 / 1.01), ("clamp", 1), ("none", 2.5)])
def test_peak_of_a_float_stem_follows_the_option(clip: str, peak: float, tmp_path: Path) -> None:
    audio = noise(2 * SAMPLERATE, gain=0.1)
    audio[1, -9:] = -2.5
    decoded = read_exact(encode_file(audio, tmp_path, form=lossless(audio, bits="float", clip=clip)))
    assert np.abs(decoded).max() == pytest.approx(peak, rel=1e-6)
    expected = audio if clip == "none" else audio / np.float32(1.01 * 2.5) if clip == "rescale" else None
    if expected is None:
        expected = np.clip(audio, -1, 1)
    np.testing.assert_allclose(decoded, expected, rtol=0, atol=1e-7)


def test_clamped_stem_has_no_copy_on_disk(tmp_path: Path) -> None:
    audio = noise(SAMPLERATE, gain=3)
    with open_encoders(tmp_path, ("stem",), lossless(audio, bits="24", clip="clamp")) as (encoder,):
        encoder.write(audio)
        assert [each.name for each in tmp_path.iterdir()] == ["stem.wav"]


@pytest.mark.parametrize("name", ["wav", "flac"])
@pytest.mark.parametrize("bits", [16, 24])
def test_integer_samples_are_stored_to_the_last_bit(name: str, bits: int, tmp_path: Path) -> None:
    top = 1 << (bits - 1)
    integers = np.random.default_rng(0).integers(-top, top, (2, 50_000))
    integers[:, :2] = -top, top - 1
    audio = dequantise(integers, bits)
    path = encode_file(audio, tmp_path, form=lossless(audio, bits=str(bits), name=name, clip="clamp"))
    stored, _ = soundfile.read(path, dtype="int32")
    assert soundfile.info(path).subtype == f"PCM_{bits}"
    np.testing.assert_array_equal(stored.T >> (32 - bits), integers)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3"])
def test_same_samples_have_the_same_bytes(name: str, tmp_path: Path) -> None:
    audio = noise(SAMPLERATE)
    form = replace(lossless(audio, bits="float" if name == "wav" else "24", name=name), bit_rate=192)
    first = encode_stem(audio, tmp_path, form=form, block=10_000)
    time.sleep(1.1)  # The clock of a header has seconds.
    assert encode_stem(audio, tmp_path, form=form, block=44_100) == first


@pytest.mark.parametrize("bit_rate", FORMATS["opus"].bit_rates)
def test_opus_has_the_bit_rate_of_the_option(bit_rate: int, tmp_path: Path) -> None:
    audio, seconds = noise(10 * SAMPLERATE), 10
    form = StemFormat(name="opus", samples=seconds * 48_000, rate_hz=48_000, bit_rate=bit_rate)
    stem = encode_stem(audio, tmp_path, form=form)
    assert len(stem) * 8 / seconds / 1000 == pytest.approx(bit_rate, rel=0.05)


def test_wav_beyond_4_gb_is_rf64(tmp_path: Path) -> None:
    starts = {}
    for samples in (700_000_000, 720_000_000):
        form = StemFormat(name="wav", samples=samples, bits="24")
        encoder = SndfileEncoder(tmp_path / "stem.wav", form, Tags())
        encoder.write(np.zeros((1000, 2), np.float32))
        encoder.finish()
        starts[samples] = (tmp_path / "stem.wav").read_bytes()[:4]
    assert list(starts.values()) == [b"RIFF", b"RF64"]


def test_stem_of_another_length_than_its_song_is_an_error(tmp_path: Path) -> None:
    audio = noise(1000)
    for samples in (999, 1001):
        with pytest.raises(ValueError, match=f"has 1000 samples, its song {samples}"):
            encode_file(audio, tmp_path, form=replace(mp3_of(audio), samples=samples))


def test_m4a_without_ffmpeg_is_a_named_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(opening, "find_ffmpeg", lambda: None)
    with pytest.raises(FormatUnavailable, match="needs ffmpeg"):
        encode_file(noise(1000), tmp_path, form=StemFormat(name="m4a", samples=1000))


@pytest.mark.parametrize("name", ["m4a", "wav", "flac"])
@pytest.mark.parametrize("samples", [1000, 20 * SAMPLERATE], ids=["at the end", "at the beginning"])
def test_full_disk_is_an_error(name: str, samples: int, tmp_path: Path) -> None:
    """A short file is in a buffer until its end."""
    if name == "m4a" and not find_ffmpeg():
        absent("ffmpeg")
    (tmp_path / f"stem.{name}").symlink_to("/dev/full")
    form = StemFormat(name=name, samples=samples, bits="24")
    with pytest.raises((SeparationFailed, OSError, soundfile.LibsndfileError, AssertionError)):
        encode_file(noise(samples), tmp_path, form=form)


def lossless(audio: Audio, *, bits: str, name: str = "wav", clip: str = "rescale") -> StemFormat:
    return StemFormat(name=name, samples=audio.shape[-1], bits=bits, clip=clip)


def read_exact(path: Path) -> Audio:
    frames: Audio = soundfile.read(path, dtype="float32")[0]
    return frames.T


def test_encoder_error_reaches_the_job(tmp_path: Path) -> None:
    def write_twice() -> None:
        with open_encoders(tmp_path, ("stem",), mp3_of(noise(2000))) as (encoder,):
            encoder.close()
            encoder.write(noise(1000))
            encoder.write(noise(1000))

    with pytest.raises(ValueError, match="closed file"):
        write_twice()


@pytest.mark.process
@pytest.mark.parametrize("name", ["mp3", "flac", "wav", "opus", "m4a"])
def test_memory_does_not_grow_with_the_song(tmp_path: Path, name: str) -> None:
    if name == "m4a" and not find_ffmpeg():
        absent("ffmpeg")
    assert peak_mib(tmp_path, name, seconds=120) < peak_mib(tmp_path, name, seconds=30) + 16


def peak_mib(folder: Path, name: str, *, seconds: int) -> float:
    """Return the peak memory of a process that encodes two silent stems, in MiB."""
    code = f"""
import json, resource
import numpy as np
from pathlib import Path
from msaas_worker.audio.encoding import open_encoders
from msaas_worker.audio.stem_format import StemFormat
rate = 48000 if {name!r} == "opus" else 44100
form = StemFormat(
    name={name!r}, samples={seconds} * rate, rate_hz=rate, bit_rate=160, bits="24", clip="rescale"
)
block = np.zeros((2, 44100 * 6), np.float32)
with open_encoders(Path({str(folder)!r}), ("a", "b"), form) as encoders:
    for _ in range({seconds} // 6):
        for encoder in encoders:
            encoder.write(block)
    for ending in [encoder.finish() for encoder in encoders]:
        ending.result()
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return float(json.loads(run.stdout))
