"""Sounds for the engine: stems as the worker encodes them, and a song of variable bit rate."""

from pathlib import Path

import numpy as np
import soundfile
from worker.tests.encoding import encode_file
from worker.tests.references import require, run
from worker.tests.test_stem_alignment import band_limited, form_of

from msaas_worker.audio.decoded import SAMPLERATE
from msaas_worker.audio.encoders.mp3_layout import Mp3Layout
from msaas_worker.audio.publisher import spans

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
    layout = Mp3Layout(samples=SAMPLES, rate_hz=SAMPLERATE, bit_rate=320)
    head = (folder / "stem.mp3").stat().st_size - layout.sound_bytes
    starts = (start for start, _ in spans(layout.unit_bytes))
    fragments = next(number for number, start in enumerate(starts) if start >= layout.sound_bytes)
    return {"FILES": str(folder), "HEAD_BYTES": str(head), "FRAGMENTS": str(fragments)}
