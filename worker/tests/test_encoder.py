"""Stems are encoded in a stream to the very bytes that demucs makes of them as a whole."""

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest
import sphn
import torch
from demucs.audio import save_audio
from worker.tests.songs import noise

from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.encoder import NullObserver, encoders
from msaas_worker.job.handler import encode
from msaas_worker.job.lease import Lease


def encoded(audio: Audio, folder: Path, *, block: int = 30_011) -> bytes:
    with encoders(folder, ("stem",)) as (encoder,):
        for start in range(0, audio.shape[-1], block):
            encoder.write(audio[:, start : start + block])
        encoder.finish().result()
        return encoder.path.read_bytes()


def as_demucs_encodes(audio: Audio, folder: Path) -> bytes:
    path = folder / "reference.mp3"
    save_audio(torch.from_numpy(audio.copy()), path, SAMPLERATE)
    return path.read_bytes()


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0], ids=["soft", "clips a little", "clips a lot"])
def test_a_stem_has_the_bytes_that_demucs_gives_it(gain: float, tmp_path: Path) -> None:
    audio = noise(5 * SAMPLERATE, gain=gain)
    assert encoded(audio, tmp_path) == as_demucs_encodes(audio, tmp_path)


def test_a_stem_that_clips_in_its_last_sample_alone_is_scaled_as_a_whole(tmp_path: Path) -> None:
    audio = noise(2 * SAMPLERATE, gain=0.1)
    audio[0, -1] = -2.0
    assert encoded(audio, tmp_path) == as_demucs_encodes(audio, tmp_path)


def test_a_job_moves_while_a_stem_that_clips_is_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msaas_worker.handler._LOOK_S", 0.005)
    lease = create_autospec(Lease, instance=True)
    song = noise(30 * SAMPLERATE, gain=3)[None]
    encode(iter([song]), ("stem",), tmp_path, lease, observer=NullObserver())
    assert lease.report_progress.call_count > 5


@pytest.mark.parametrize("audio", [np.zeros((2, 1), np.float32), np.ones((2, SAMPLERATE), np.float32)])
def test_silence_of_one_sample_and_full_scale_are_encoded(audio: Audio, tmp_path: Path) -> None:
    assert encoded(audio, tmp_path) == as_demucs_encodes(audio, tmp_path)


def test_a_decoded_stem_is_the_stem_at_the_offset_of_every_stem(tmp_path: Path) -> None:
    click = np.zeros((2, SAMPLERATE), np.float32)
    click[:, 20_000] = 0.9
    (tmp_path / "click.mp3").write_bytes(encoded(click, tmp_path))
    samples, _ = sphn.read(str(tmp_path / "click.mp3"))
    delay = int(np.abs(samples[0]).argmax()) - 20_000
    assert delay == 1105  # 576 samples of LAME's delay, and the 529 of the decoder.


def test_an_error_of_an_encoder_reaches_the_job(tmp_path: Path) -> None:
    def lay_down() -> None:
        with encoders(tmp_path, ("stem",)) as (encoder,):
            encoder._frames.close()
            encoder.write(noise(1000))
            encoder.write(noise(1000))

    with pytest.raises(ValueError, match="closed file"):
        lay_down()


def test_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    assert peak_mib(tmp_path, minutes=5) < peak_mib(tmp_path, minutes=1) + 16


def peak_mib(folder: Path, *, minutes: int) -> float:
    code = f"""
import json, resource
import numpy as np
from pathlib import Path
from msaas_worker.audio.encoder import encoders
block = np.zeros((2, 44100 * 6), np.float32)
with encoders(Path({str(folder)!r}), ("a", "b")) as both:
    for _ in range({minutes} * 10):
        for encoder in both:
            encoder.write(block)
    for ending in [encoder.finish() for encoder in both]:
        ending.result()
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return float(json.loads(told.stdout))
