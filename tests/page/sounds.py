"""Sounds for the engine: stems as the worker encodes them, and songs."""

from pathlib import Path

import numpy as np
import soundfile
from worker.tests.encoding import encode_file
from worker.tests.references import require, run
from worker.tests.test_stem_alignment import band_limited, form_of

from msaas.recipe import Recipe
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.audio.decoded import SAMPLERATE
from msaas_worker.audio.encoders.mp3_layout import Mp3Layout
from msaas_worker.audio.publisher import spans
from msaas_worker.separation import separate_song
from msaas_worker.separators.library import open_library
from msaas_worker.sources.handler import FileSink

SONG = Path(__file__).parents[2] / "data/engine-room.mp3"
#: Three fragments, and not a multiple of the frame.
SAMPLES = 20 * SAMPLERATE + 777


def write_sounds(folder: Path) -> dict[str, str]:
    """Write the files. Return the environment that describes them."""
    require("flac", "lame")
    song = (2.5 * band_limited(SAMPLES)).astype(np.float32)
    for name, bit_rate in (("stem", 320), ("stem128", 128), ("stem192", 192)):
        (folder / name).mkdir()
        stem = encode_file(song, folder / name, form=form_of(SAMPLES, name="mp3", bit_rate=bit_rate))
        stem.rename(folder / f"{name}.mp3")
    soundfile.write(folder / "song.wav", song.T, SAMPLERATE, subtype="PCM_16")
    run("lame", "--quiet", "-V", "2", str(folder / "song.wav"), str(folder / "song.mp3"))
    _write_separated(folder / "separated")
    layout = Mp3Layout(samples=SAMPLES, rate_hz=SAMPLERATE, bit_rate=320)
    head = (folder / "stem.mp3").stat().st_size - layout.sound_bytes
    starts = (start for start, _ in spans(layout.unit_bytes))
    fragments = next(number for number, start in enumerate(starts) if start >= layout.sound_bytes)
    return {"FILES": str(folder), "HEAD_BYTES": str(head), "FRAGMENTS": str(fragments)}


def _write_separated(folder: Path) -> None:
    """Write a song, and its stems as the starter separates it."""
    folder.mkdir()
    song, sink = folder / "song", FileSink(folder=folder)
    song.write_bytes(SONG.read_bytes())
    separator = open_library(default="starter", repo=None, fallback="", device="cpu", precision="exact").get(
        "starter"
    )
    separate_song(song, Recipe(), separator, sink, UnattendedAttempt(), max_duration_s=60)
    for stem, file in sink.stems.items():
        file.rename(folder / f"{stem}.mp3")
    song.rename(folder / "song.mp3")
