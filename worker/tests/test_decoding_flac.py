"""FLAC is decoded to its end, behind damage and whatever its header tells."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from worker.tests.decoding_checks import KINDS, load
from worker.tests.input_kinds import make
from worker.tests.references import require, run
from worker.tests.songs import noise

from msaas_worker.audio import decoding
from msaas_worker.audio.decoded import SAMPLERATE

pytestmark = [pytest.mark.process, pytest.mark.long]
#: Frames of 4608 samples by ffmpeg, of 4096 by the others.
FLAC_ENCODERS = ("ffmpeg", "libsndfile", "flac")


def write_flac(encoder: str, folder: Path, *, seed: int = 0) -> Path:
    """Write a song of 3 s."""
    require("ffmpeg", "flac")
    path, wav = folder / f"{encoder}-{seed}.flac", folder / "source.wav"
    soundfile.write(wav, noise(3 * SAMPLERATE, seed=seed).T, SAMPLERATE, subtype="PCM_16")
    match encoder:
        case "ffmpeg":
            run("ffmpeg", "-y", "-v", "error", "-i", wav, path)
        case "flac":
            run("flac", "--silent", "--force", "-o", path, wav)
        case _:
            soundfile.write(path, *soundfile.read(wav, dtype="int16"))
    return path


def test_flac_with_a_damaged_block_is_decoded_to_its_end(tmp_path: Path) -> None:
    path = make(KINDS["flac flac -sample_fmt s16"], tmp_path, seconds=3)
    whole, content = load(path)[1], bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 100] = bytes(100)
    path.write_bytes(content)
    assert load(path)[0].samples > 0.9 * whole.shape[-1]


@pytest.mark.parametrize("declared", [0, 1, 1228, 132_299, 132_301, 2**36 - 1])
@pytest.mark.parametrize("encoder", FLAC_ENCODERS)
def test_flac_with_a_wrong_number_of_samples_is_decoded_to_its_end(
    encoder: str, declared: int, tmp_path: Path
) -> None:
    path = write_flac(encoder, tmp_path)
    whole, content = load(path)[1], bytearray(path.read_bytes())
    assert whole.shape[-1] == 3 * SAMPLERATE
    number = int.from_bytes(content[18:26]) >> 36 << 36 | declared
    path.write_bytes(content[:18] + number.to_bytes(8) + content[26:])
    # A number that is less by a part of a frame leaves no frame unread.
    lost = 1 if declared == 132_299 else 0
    assert np.array_equal(load(path)[1], whole[:, : whole.shape[-1] - lost])


def test_flac_that_declares_no_number_of_samples_is_decoded_without_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_flac("libsndfile", tmp_path)
    whole, content = load(path)[1], path.read_bytes()
    path.write_bytes(content[:21] + bytes([content[21] & 0xF0, 0, 0, 0, 0]) + content[26:])
    monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    assert np.array_equal(load(path)[1], whole)


@pytest.mark.parametrize("seconds", [1.5, 20])
@pytest.mark.parametrize("name", ["flac by libsndfile", "ogg flac"])
def test_samples_before_damage_are_kept_without_ffmpeg(
    name: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(KINDS[name], tmp_path, seconds=seconds)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 100] = bytes(100)
    path.write_bytes(content)
    monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    assert load(path)[0].samples > 0.4 * seconds * SAMPLERATE


@pytest.mark.parametrize("encoder", FLAC_ENCODERS)
def test_flac_without_its_beginning_is_decoded_from_its_first_whole_frame(
    encoder: str, tmp_path: Path
) -> None:
    path = write_flac(encoder, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 4 :])
    assert load(path)[0].samples > 0.7 * 3 * SAMPLERATE
