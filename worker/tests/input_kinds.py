"""Songs of every kind of input, made by ffmpeg or libsndfile from one song."""

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
    """`arguments` are those of ffmpeg. Without them libsndfile writes the file.

    `snr_db` is the least to expect against the decoder of ffmpeg.
    """

    name: str
    ending: str
    arguments: str = ""
    subtype: str = "PCM_16"
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
    InputKind(name="caf alac by libsndfile", ending="caf", subtype="ALAC_16"),
    *_kinds("aiff", "adpcm_ima_qt", snr_db=35),
    InputKind(name="wav libgsm_ms", ending="wav", arguments="-ar 8000 -ac 1 -c:a libgsm_ms", snr_db=50),
    *_kinds("flac", "flac -sample_fmt s16", "flac -sample_fmt s32"),
    InputKind(name="flac by libsndfile", ending="flac"),
    InputKind(name="flac by libsndfile, 24 bits", ending="flac", subtype="PCM_24"),
    *_kinds("ogg", "libvorbis", "flac"),
    *_kinds("opus", "libopus"),
    InputKind(
        name="ogg libvorbis with a video",
        ending="ogv",
        arguments="-f lavfi -i testsrc=d=1:s=64x64:r=5 -map 0:a -map 1:v -c:v libtheora -c:a libvorbis",
    ),
    InputKind(
        name="ogg libopus with a video",
        ending="ogv",
        arguments="-f lavfi -i testsrc=d=1:s=64x64:r=5 -map 0:a -map 1:v -c:v libtheora -c:a libopus",
    ),
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
    *_kinds("wav", "ac3", "aac", "wmav2", "flac", "libvorbis", "eac3"),
    *_kinds("w64", "ac3"),
    *_kinds("caf", "alac", "ac3"),
    InputKind(name="dts dca", ending="dts", arguments="-c:a dca -strict -2"),
    InputKind(name="m2ts ac3", ending="m2ts", arguments="-c:a ac3 -mpegts_m2ts_mode 1"),
    InputKind(name="mka truehd", ending="mka", arguments="-c:a truehd -strict -2"),
    *_kinds("mov", "pcm_s24le", "alac"),
    *_kinds("mp4", "flac -strict -2", "libopus -strict -2"),
    InputKind(name="ogg libspeex", ending="ogg", arguments="-c:a libspeex -ar 16000 -ac 1"),
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A song that is joined with others. `kind` is the name of its kind."""

    kind: str
    channels: int = 2
    rate_hz: int = SAMPLERATE


def _parts(*kinds: str) -> tuple[Part, ...]:
    return tuple(Part(kind=kind) for kind in kinds)


#: Files joined by `cat`, or by a radio station that begins a new stream with each song.
JOINED_KINDS = {
    "two Ogg Vorbis": _parts("ogg libvorbis", "ogg libvorbis"),
    "three Ogg Vorbis": _parts("ogg libvorbis", "ogg libvorbis", "ogg libvorbis"),
    "two Opus": _parts("opus libopus", "opus libopus"),
    "two FLAC": _parts("flac flac -sample_fmt s16", "flac flac -sample_fmt s16"),
    "two FLAC by libsndfile": _parts("flac by libsndfile", "flac by libsndfile"),
    "two Ogg FLAC": _parts("ogg flac", "ogg flac"),
    "FLAC of 16 and 24 bits": _parts("flac flac -sample_fmt s16", "flac flac -sample_fmt s32"),
    "Ogg Vorbis and Opus": _parts("ogg libvorbis", "opus libopus"),
    "Opus, Ogg FLAC and Ogg Vorbis": _parts("opus libopus", "ogg flac", "ogg libvorbis"),
    "Ogg Vorbis, stereo and mono": (Part(kind="ogg libvorbis"), Part(kind="ogg libvorbis", channels=1)),
    "Ogg Vorbis, 44.1 and 48 kHz": (Part(kind="ogg libvorbis"), Part(kind="ogg libvorbis", rate_hz=48_000)),
    "FLAC, 44.1 and 96 kHz": (
        Part(kind="flac by libsndfile"),
        Part(kind="flac by libsndfile", rate_hz=96_000),
    ),
}


def make_joined(name: str, folder: Path, *, seconds: float) -> tuple[Path, list[Path]]:
    """Write a file of joined songs, and return it with its parts."""
    kinds = {kind.name: kind for kind in SNDFILE_KINDS}
    parts = [
        make(
            kinds[part.kind],
            folder,
            seconds=seconds,
            channels=part.channels,
            rate_hz=part.rate_hz,
            seed=seed,
        )
        for seed, part in enumerate(JOINED_KINDS[name])
    ]
    joined = (folder / name.replace(" ", "-")).with_suffix(".joined")
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    return joined, parts


def make(
    kind: InputKind,
    folder: Path,
    *,
    seconds: float,
    channels: int = 2,
    rate_hz: int = SAMPLERATE,
    seed: int = 0,
    layout: str = "",
) -> Path:
    """Write a song of this kind. `layout` is a name of ffmpeg for the speakers of its channels."""
    require("ffmpeg")
    song = source(folder, seconds=seconds, channels=channels, rate_hz=rate_hz, seed=seed)
    path = folder / f"{kind.name.replace(' ', '-')}-{channels}-{rate_hz}-{seed}.{kind.ending}"
    if not kind.arguments:
        soundfile.write(path, *soundfile.read(song), subtype=kind.subtype)
        return path
    # Without the map, ffmpeg mixes the layout that it guesses into the other.
    order = "|".join(map(str, range(channels)))
    mapped = f"channelmap=map={order}:channel_layout={layout or _LAYOUTS[channels]}"
    filters = ("-af", mapped) if channels > 2 else ()
    run("ffmpeg", "-y", "-v", "error", "-i", song, *filters, *kind.arguments.split(), path)
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
