"""Stems of every format begin with the song and are as long, to the sample, as decoders see them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from worker.tests.encoding import encode_file

from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE, Audio
from msaas_worker.audio.resampling import rescale
from msaas_worker.audio.stem_format import StemFormat
from tests.servers import absent

#: Returns the samples `[2, n]` of a file, and its rate in Hz.
Read = Callable[[Path], tuple[Audio, int]]
#: Not a multiple of the frame of any format, and on either side of a frame of MP3 with its delay.
LENGTHS = (1, 575, 1152, 50_001, 3 * SAMPLERATE + 777)
FORMATS: dict[str, dict[str, Any]] = {
    "mp3": {"name": "mp3", "bit_rate": 320},
    "mp3 at 128 kbit/s": {"name": "mp3", "bit_rate": 128},
    "mp3 at 48 kHz": {"name": "mp3", "bit_rate": 192, "rate_hz": 48_000},
    "mp3 at 32 kHz": {"name": "mp3", "bit_rate": 224, "rate_hz": 32_000},
    "flac 24": {"name": "flac", "bits": "24"},
    "flac 16": {"name": "flac", "bits": "16"},
    "flac at 96 kHz": {"name": "flac", "bits": "24", "rate_hz": 96_000},
    "wav 24": {"name": "wav", "bits": "24"},
    "wav 16": {"name": "wav", "bits": "16"},
    "wav float": {"name": "wav", "bits": "float"},
    "wav at 22.05 kHz": {"name": "wav", "bits": "24", "rate_hz": 22_050},
    "opus": {"name": "opus", "bit_rate": 160, "rate_hz": 48_000},
}
#: In dB. One sample of lag leaves 1 dB of this song.
MIN_LOSSY_SNR, MIN_EXACT_SNR = 10, 75
#: Of the song, in Hz: every rate above holds it.
BANDWIDTH_HZ = 10_000
#: Shorter songs have no spectrum to compare.
MIN_COMPARED = 10_000


def band_limited(samples: int) -> Audio:
    """Return noise of both channels: no two of its moments are alike."""
    random = np.random.default_rng(samples)
    spectrum = np.fft.rfft(random.standard_normal((CHANNELS, samples)))
    spectrum[:, np.fft.rfftfreq(samples, 1 / SAMPLERATE) > BANDWIDTH_HZ] = 0
    return (0.1 * np.fft.irfft(spectrum, samples)).astype(np.float32)


def form_of(samples: int, *, name: str, rate_hz: int = SAMPLERATE, **parameters: Any) -> StemFormat:
    return StemFormat(
        name=name,
        rate_hz=rate_hz,
        samples=rescale(samples, SAMPLERATE, rate_hz),
        **parameters,
    )


def read_with_soundfile(path: Path) -> tuple[Audio, int]:
    frames, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return frames.T, rate_hz


def read_with_ffmpeg(path: Path) -> tuple[Audio, int]:
    """Decode as ffmpeg does by itself: its own sample rate, and its own rule for delays."""
    if not shutil.which("ffmpeg"):
        absent("ffmpeg")
    raw = path.with_suffix(".raw")
    command = ["ffmpeg", "-v", "error", "-y", "-i", path, "-f", "f32le", raw]
    subprocess.run(command, check=True)
    return np.fromfile(raw, np.float32).reshape(-1, CHANNELS).T, probe(path, "sample_rate")


def probe(path: Path, entry: str) -> int:
    """Return a number that ffmpeg reads in the file."""
    command = ["ffprobe", "-v", "error", "-show_entries", f"stream={entry}", "-of", "csv=p=0", path]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def lag(decoded: Audio, original: Audio) -> int:
    """Return the number of samples by which `decoded` is late."""
    size = 2 * max(decoded.shape[-1], original.shape[-1])
    spectra = np.fft.rfft(decoded[0], size) * np.fft.rfft(original[0], size).conj()
    at = int(np.fft.irfft(spectra, size).argmax())
    return at if at < size // 2 else at - size


def snr_db(decoded: Audio, original: Audio) -> float:
    error = np.square(decoded.astype(np.float64) - original).sum()
    return float(10 * np.log10(np.square(original.astype(np.float64)).sum() / error)) if error else np.inf


@pytest.mark.long
@pytest.mark.parametrize("read", [read_with_soundfile, read_with_ffmpeg])
@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS.keys())
def test_decoded_stem_lies_on_the_song(read: Read, parameters: dict[str, Any], tmp_path: Path) -> None:
    for samples in LENGTHS:
        song, form = band_limited(samples), form_of(samples, **parameters)
        decoded, rate_hz = read(encode_file(song, tmp_path, form=form))
        assert (rate_hz, decoded.shape) == (form.rate_hz, (2, form.samples)), samples
        if samples > MIN_COMPARED:
            original = soxr.resample(song.T, SAMPLERATE, form.rate_hz, "VHQ").T
            assert lag(decoded, original) == 0
            assert snr_db(decoded, original) > (MIN_LOSSY_SNR if form.bit_rate else MIN_EXACT_SNR)


def test_m4a_declares_the_length_of_the_song_and_begins_with_it(tmp_path: Path) -> None:
    """ffmpeg 5 keeps the padding of the last frame, although the file says where the song ends."""
    for samples in LENGTHS[2:]:
        song = band_limited(samples)
        path = encode_file(song, tmp_path, form=form_of(samples, name="m4a"))
        decoded, rate_hz = read_with_ffmpeg(path)
        assert (rate_hz, probe(path, "duration_ts")) == (SAMPLERATE, samples)
        assert 0 <= decoded.shape[-1] - samples < 1024
        if samples > MIN_COMPARED:
            assert lag(decoded[:, :samples], song) == 0
            assert snr_db(decoded[:, :samples], song) > MIN_LOSSY_SNR
