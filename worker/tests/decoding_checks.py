"""Files that the worker decodes, and comparisons with the references."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
from worker.tests.input_kinds import FFMPEG_KINDS, SNDFILE_KINDS
from worker.tests.mpeg_kinds import MpegFile
from worker.tests.references import compare, decode_by_ffmpeg, require

from msaas_worker.audio.decoded import SAMPLERATE, Audio, DecodedSong
from msaas_worker.audio.decoding import decode

KINDS = {kind.name: kind for kind in (*SNDFILE_KINDS, *FFMPEG_KINDS)}


def load(path: Path) -> tuple[DecodedSong, Audio]:
    with TemporaryDirectory() as folder:
        song = decode(path, Path(folder) / "song.f32", max_duration_s=600)
        return song, song.read(0, song.samples)


def load_bytes(content: bytes, folder: Path) -> tuple[Path, Audio]:
    path = folder / "song.mp3"
    path.write_bytes(content)
    return path, load(path)[1]


def assert_same(reference: Audio, audio: Audio, *, snr_db: float) -> None:
    assert audio.shape[-1] == pytest.approx(reference.shape[-1], abs=1)
    found = compare(reference, audio)
    assert found.lag == 0
    assert found.snr_db >= snr_db


def write_wav(audio: Audio, folder: Path) -> Path:
    soundfile.write(folder / "song.wav", audio.T, SAMPLERATE, subtype="FLOAT")
    return folder / "song.wav"


def decode_clean(made: MpegFile, folder: Path) -> Audio:
    """Return the songs of the clean files, one behind the other."""
    require("ffmpeg")
    return np.concatenate([_decode_part(part, folder) for part in made.clean or (made.content,)], axis=-1)


def _decode_part(content: bytes, folder: Path) -> Audio:
    (folder / "clean.mp3").write_bytes(content)
    return decode_by_ffmpeg(folder / "clean.mp3")
