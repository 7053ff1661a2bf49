"""Songs of every kind of input, made by ffmpeg from one song."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from worker.tests.references import require, run
from worker.tests.songs import noise

from msaas_worker.audio.decoded import SAMPLERATE

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True, kw_only=True)
class InputKind:
    """`arguments` are those of ffmpeg. `snr_db` is the least to expect against the decoder of ffmpeg."""

    name: str
    ending: str
    arguments: str
    snr_db: float = 100
    rate_hz: int = SAMPLERATE


def _kinds(ending: str, *codecs: str, snr_db: float = 100) -> list[InputKind]:
    return [
        InputKind(name=f"{ending} {codec}", ending=ending, arguments=f"-c:a {codec}", snr_db=snr_db)
        for codec in codecs
    ]


_PCM = ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw")
#: Read by libsndfile.
SNDFILE_KINDS = (
    *_kinds("wav", *_PCM, "adpcm_ms"),
    *_kinds("wav", "adpcm_ima_wav", snr_db=50),
    InputKind(name="RF64", ending="wav", arguments="-c:a pcm_s24le -rf64 always"),
    *_kinds("w64", "pcm_s24le"),
    *_kinds("aiff", "pcm_s16be", "pcm_s24be", "pcm_f32be"),
    *_kinds("au", "pcm_s16be", "pcm_f32be"),
    *_kinds("caf", "pcm_s16be", "pcm_f32le"),
    *_kinds("flac", "flac -sample_fmt s16", "flac -sample_fmt s32"),
    *_kinds("ogg", "libvorbis", "flac"),
    *_kinds("opus", "libopus"),
)
#: Read by the `ffmpeg` command.
FFMPEG_KINDS = (
    *_kinds("m4a", "aac", "alac"),
    *_kinds("aac", "aac"),
    *_kinds("wma", "wmav2"),
    *_kinds("webm", "libopus", "libvorbis"),
    *_kinds("mka", "pcm_s24le"),
    *_kinds("ac3", "ac3"),
    *_kinds("wv", "wavpack"),
    *_kinds("tta", "tta"),
    *_kinds("ts", "aac"),
    *_kinds("avi", "libmp3lame"),
    *_kinds("flv", "libmp3lame"),
    *_kinds("mpg", "mp2"),
    InputKind(
        name="mp4 with a picture",
        ending="mp4",
        arguments="-f lavfi -i testsrc=d=1:s=64x64:r=5 -map 0:a -map 1:v -c:a aac",
    ),
    InputKind(name="ogg libspeex", ending="ogg", arguments="-c:a libspeex -ar 16000 -ac 1"),
)


def make(
    kind: InputKind, folder: Path, *, seconds: float, channels: int = 2, rate_hz: int = SAMPLERATE
) -> Path:
    """Write a song of this kind."""
    require("ffmpeg")
    song = source(folder, seconds=seconds, channels=channels, rate_hz=rate_hz)
    path = folder / f"{kind.name.replace(' ', '-')}-{channels}-{rate_hz}.{kind.ending}"
    layout = ("-af", f"aformat=channel_layouts={_LAYOUTS[channels]}") if channels > 2 else ()
    run("ffmpeg", "-y", "-v", "error", "-i", song, *layout, *kind.arguments.split(), path)
    return path


def source(
    folder: Path, *, seconds: float, channels: int = 2, rate_hz: int = SAMPLERATE, seed: int = 0
) -> Path:
    """Write a WAV file of floats, whose channels differ."""
    path = folder / f"source-{seconds:g}-{channels}-{rate_hz}-{seed}.wav"
    if not path.exists():
        audio = noise(round(seconds * rate_hz), channels=channels, seed=seed)
        soundfile.write(path, np.ascontiguousarray(audio.T), rate_hz, subtype="FLOAT")
    return path
