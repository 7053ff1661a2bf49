"""Song and stems lie on each other in Chromium: for every kind of song, and every format of stems."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from worker.tests.chromium import decode_by_chromium
from worker.tests.encoding import encode_file
from worker.tests.references import require, run
from worker.tests.test_stem_alignment import band_limited, form_of, lag, snr_db

from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.decoding import decode

#: One start of the browser takes seconds, as does its decoding of all the files.
pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(600)]
#: Not a multiple of the frame of any format.
SAMPLES = 2 * SAMPLERATE + 777
#: Commands that make a song of `{wav}`.
SONGS = {
    "mp3": ("lame", "--quiet", "-b", "192", "{wav}", "{song}"),
    "mp3 of variable bit rate": ("lame", "--quiet", "-V", "2", "{wav}", "{song}"),
    "flac": ("flac", "--silent", "--force", "-o", "{song}", "{wav}"),
    "wav": ("cp", "{wav}", "{song}"),
    "opus": ("opusenc", "--quiet", "--bitrate", "192", "{wav}", "{song}"),
    "m4a": ("ffmpeg", "-v", "error", "-i", "{wav}", "-b:a", "192k", "-f", "mp4", "{song}"),
}
STEMS: dict[str, dict[str, Any]] = {
    "mp3": {"name": "mp3", "bit_rate": 320},
    "mp3 at 128 kbit": {"name": "mp3", "bit_rate": 128},
    "flac": {"name": "flac", "bits": "24"},
    "wav": {"name": "wav", "bits": "float"},
    "opus": {"name": "opus", "bit_rate": 160, "rate_hz": 48_000},
    "m4a": {"name": "m4a"},
}
#: In dB. Codecs and the browser's resampler differ, but one sample of lag leaves 1 dB of this song.
MIN_SNR = 8
#: ffmpeg 5 plays the padding of the last frame of an M4A, and so do stems. Chromium does not, in the song.
M4A_PADDING = 1024
Decoded = dict[str, Audio]


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Decoded:
    """Start the browser once. A song is also its only stem."""
    require("ffmpeg", "flac", "lame", "opusenc")
    folder = tmp_path_factory.mktemp("alignment")
    wav = folder / "source.wav"
    soundfile.write(wav, band_limited(SAMPLES).T, SAMPLERATE, subtype="PCM_16")
    files = {}
    for kind, command in SONGS.items():
        files[kind] = folder / kind
        run(*(part.format(wav=wav, song=files[kind]) for part in command))
        files |= {
            f"{kind}, {name}": path for name, path in encode_stems(files[kind], folder / f"stems of {kind}")
        }
    return decode_by_chromium(files, folder)


def encode_stems(song: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    folder.mkdir()
    found = decode(song, folder / "song.f32", max_duration_s=60)
    samples = found.read(0, found.samples)
    for name, parameters in STEMS.items():
        (folder / name).mkdir()
        yield name, encode_file(samples, folder / name, form=form_of(found.samples, **parameters))


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("song", SONGS)
def test_stem_lies_on_the_song_in_chromium(song: str, stem: str, decoded: Decoded) -> None:
    original, found = decoded[song], decoded[f"{song}, {stem}"]
    common = min(original.shape[-1], found.shape[-1])
    assert abs(lag(found[:, :common], original[:, :common])) <= 1
    assert snr_db(found[:, :common], original[:, :common]) > MIN_SNR
    longer = found.shape[-1] - original.shape[-1]
    assert -1 <= longer <= (M4A_PADDING if song == "m4a" else 1)
