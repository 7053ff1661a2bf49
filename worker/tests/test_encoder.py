"""Stems are encoded as a stream to the same bytes as by demucs, which encodes them as a whole."""

import json
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import sphn
from worker.tests.encoding import as_demucs_encodes, encode_stem
from worker.tests.songs import noise

from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.encoder import NullObserver, open_encoders
from msaas_worker.separation import encode


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0], ids=["soft", "clips a little", "clips a lot"])
def test_stem_has_the_bytes_of_demucs(gain: float, tmp_path: Path) -> None:
    audio = noise(3 * SAMPLERATE, gain=gain)
    assert encode_stem(audio, tmp_path) == as_demucs_encodes(audio, tmp_path)


def test_stem_that_clips_in_its_last_sample_is_scaled_as_a_whole(tmp_path: Path) -> None:
    audio = noise(2 * SAMPLERATE, gain=0.1)
    audio[0, -1] = -2.0
    assert encode_stem(audio, tmp_path) == as_demucs_encodes(audio, tmp_path)


class CountingAttempt(UnattendedAttempt):
    """Counts the reports of progress."""

    def __init__(self) -> None:
        self.reports = 0

    def report_progress(self, share: float | None = None) -> None:
        self.reports += 1

    def pause_watchdog(self) -> AbstractContextManager[None]:
        raise AssertionError("the watchdog must watch the encoders")


def test_second_encoding_of_a_clipping_stem_counts_as_progress(tmp_path: Path) -> None:
    attempt, song = CountingAttempt(), noise(20 * SAMPLERATE, gain=3)[None]
    encode(iter([song]), ("stem",), tmp_path, attempt, observer=NullObserver(), look_s=0.005)
    assert attempt.reports > 5


@pytest.mark.parametrize("audio", [np.zeros((2, 1), np.float32), np.ones((2, SAMPLERATE), np.float32)])
def test_one_silent_sample_and_full_scale_are_encoded(audio: Audio, tmp_path: Path) -> None:
    assert encode_stem(audio, tmp_path) == as_demucs_encodes(audio, tmp_path)


def test_delay_of_a_decoded_stem_is_1105_samples(tmp_path: Path) -> None:
    click = np.zeros((2, SAMPLERATE), np.float32)
    click[:, 20_000] = 0.9
    (tmp_path / "click.mp3").write_bytes(encode_stem(click, tmp_path))
    samples, _ = sphn.read(str(tmp_path / "click.mp3"))
    delay = int(np.abs(samples[0]).argmax()) - 20_000
    assert delay == 1105  # LAME delays by 576 samples, the decoder by 529.


def test_encoder_error_reaches_the_job(tmp_path: Path) -> None:
    def write_twice() -> None:
        with open_encoders(tmp_path, ("stem",)) as (encoder,):
            encoder.close()
            encoder.write(noise(1000))
            encoder.write(noise(1000))

    with pytest.raises(ValueError, match="closed file"):
        write_twice()


@pytest.mark.process
def test_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    assert peak_mib(tmp_path, seconds=120) < peak_mib(tmp_path, seconds=30) + 16


def peak_mib(folder: Path, *, seconds: int) -> float:
    """Return the peak memory of a process that encodes two silent stems, in MiB."""
    code = f"""
import json, resource
import numpy as np
from pathlib import Path
from msaas_worker.audio.encoder import open_encoders
block = np.zeros((2, 44100 * 6), np.float32)
with open_encoders(Path({str(folder)!r}), ("a", "b")) as encoders:
    for _ in range({seconds} // 6):
        for encoder in encoders:
            encoder.write(block)
    for ending in [encoder.finish() for encoder in encoders]:
        ending.result()
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return float(json.loads(run.stdout))
