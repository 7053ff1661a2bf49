"""Kinds of audio files, recognised by their content and never by a name: one row each."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from mmap import mmap

from msaas.chains import (
    begins_adts,
    has_ac3,
    has_adts,
    has_dts,
    has_flac_frames,
    has_packs,
    has_transport_packets,
    ogg_starts,
)
from msaas.mpeg.tags import skip_tags
from msaas.mpeg.walk import walk

_HEAD_BYTES = 4096


class Decoder(StrEnum):
    """Decoders of the worker: its own walk over MPEG frames, libsndfile, or the `ffmpeg` command."""

    MPEG = "mpeg"
    SNDFILE = "sndfile"
    FFMPEG = "ffmpeg"


@dataclass(frozen=True, kw_only=True)
class Container:
    """`extension` ends the names of such songs in the store. `decoder` is the first that is tried.

    `matches` recognises the first bytes of a file behind its tags.
    """

    name: str
    extension: str
    decoder: Decoder
    matches: Callable[[bytes], bool]
    #: More than two channels are in the order of Vorbis, not in that of WAV.
    has_vorbis_order: bool = False


def _begins(*starts: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head[at:].startswith(starts)


def _is_riff(kind: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX") and head[8:12] == kind


def _is_wave(head: bytes) -> bool:
    """A WAV that contains an MP3 counts as MP3: the walk finds its frames."""
    return _is_riff(b"WAVE")(head) and _wave_format(head) not in (b"\x50\0", b"\x55\0")


def _wave_format(head: bytes) -> bytes:
    at = head.find(b"fmt ")
    return head[at + 8 : at + 10] if at >= 0 else b""


def _is_flac(head: bytes) -> bool:
    """The first block has the sample rate."""
    return head[:4] == b"fLaC" and int.from_bytes(head[18:21]) >> 4 > 0


def _is_ogg(*codecs: bytes) -> Callable[[bytes], bool]:
    """The first packet of the first page names its codec."""

    def matches(head: bytes) -> bool:
        if head[:4] != b"OggS" or len(head) < 28:
            return False
        return head[27 + head[26] :].startswith(codecs)

    return matches


def _is_transport_stream(head: bytes) -> bool:
    """A recording may begin in a packet."""
    return has_transport_packets(head, 0)


def _never(head: bytes) -> bool:
    """Chains of frames tell such files: see `recognise`."""
    return False


def _is_mp4(head: bytes) -> bool:
    """The type of the first atom may be damaged, and the second one follows it."""
    second = int.from_bytes(head[:4])
    return head[4:8] in _ATOMS or (8 <= second <= len(head) and head[second + 4 : second + 8] in _ATOMS)


def _is_aiff(head: bytes) -> bool:
    return head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")


def _row(
    name: str,
    extension: str,
    decoder: Decoder,
    matches: Callable[[bytes], bool],
    *,
    has_vorbis_order: bool = False,
) -> Container:
    return Container(
        name=name, extension=extension, decoder=decoder, matches=matches, has_vorbis_order=has_vorbis_order
    )


#: Old QuickTime files, and pieces of streams, begin with other atoms than `ftyp`.
_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof")
_OGG_CODECS = (b"\x01vorbis", b"\x7fFLAC", b"Speex", b"fishead\0", b"\x80theora", b"OVP80")
_ROWS = (
    _row("MP3", "mp3", Decoder.MPEG, _never),
    _row("WAV", "wav", Decoder.SNDFILE, _is_wave),
    _row("Wave64", "w64", Decoder.SNDFILE, _begins(b"riff\x2e\x91\xcf\x11")),
    _row("AIFF", "aiff", Decoder.SNDFILE, _is_aiff),
    _row("AU", "au", Decoder.SNDFILE, _begins(b".snd")),
    _row("CAF", "caf", Decoder.SNDFILE, _begins(b"caff")),
    _row("FLAC", "flac", Decoder.SNDFILE, _is_flac),
    _row("Ogg", "ogg", Decoder.SNDFILE, _is_ogg(*_OGG_CODECS), has_vorbis_order=True),
    _row("Opus", "opus", Decoder.SNDFILE, _is_ogg(b"OpusHead"), has_vorbis_order=True),
    _row("MP4", "m4a", Decoder.FFMPEG, _is_mp4),
    _row("AAC", "aac", Decoder.FFMPEG, _never),
    _row("WMA", "wma", Decoder.FFMPEG, _begins(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),
    _row("Matroska", "mkv", Decoder.FFMPEG, _begins(b"\x1a\x45\xdf\xa3")),
    _row("AC-3", "ac3", Decoder.FFMPEG, _begins(b"\x0b\x77")),
    _row("DTS", "dts", Decoder.FFMPEG, _begins(b"\x7f\xfe\x80\x01")),
    _row("WavPack", "wv", Decoder.FFMPEG, _begins(b"wvpk")),
    _row("Monkey's Audio", "ape", Decoder.FFMPEG, _begins(b"MAC ")),
    _row("True Audio", "tta", Decoder.FFMPEG, _begins(b"TTA1", b"TTA2")),
    _row("TAK", "tak", Decoder.FFMPEG, _begins(b"tBaK")),
    _row("Musepack", "mpc", Decoder.FFMPEG, _begins(b"MP+", b"MPCK")),
    _row("DSD", "dsf", Decoder.FFMPEG, _begins(b"DSD ", b"FRM8")),
    _row("AMR", "amr", Decoder.FFMPEG, _begins(b"#!AMR")),
    _row("AVI", "avi", Decoder.FFMPEG, _is_riff(b"AVI ")),
    _row("FLV", "flv", Decoder.FFMPEG, _begins(b"FLV\x01")),
    _row("MPEG transport stream", "ts", Decoder.FFMPEG, _is_transport_stream),
    _row("MPEG program stream", "mpg", Decoder.FFMPEG, _begins(b"\0\0\1\xba")),
)
CONTAINERS: dict[str, Container] = {row.name: row for row in _ROWS}
MP3 = CONTAINERS["MP3"]
#: Endings of song names in the store, the most frequent first.
SONG_EXTENSIONS = tuple(row.extension for row in _ROWS)
_BY_EXTENSION = {row.extension: row for row in _ROWS}


def container_of(name: str) -> Container:
    """Return the kind of a stored song by the extension of its name, which was chosen by its content.

    Raises:
        KeyError: songs of no kind have this extension.
    """
    return _BY_EXTENSION[name.rpartition(".")[2]]


def recognise(data: bytes | mmap) -> Container | None:
    """Return the kind of file, None if it is unknown."""
    start = skip_tags(data, 0)
    head = data[start : start + _HEAD_BYTES]
    for row in _ROWS:
        if row.matches(head):
            return row
    if begins_adts(data, start):
        return CONTAINERS["AAC"]
    # Tags may lie about their size.
    start = start if start < len(data) else 0
    # Frames of MPEG are in packets and packs, too: these come first.
    return _find(_MULTIPLEXES, data, start) or _find_mp3(data) or _find(_STREAMS, data, start)


def _find_mp3(data: bytes | mmap) -> Container | None:
    return MP3 if any(True for _ in walk(data)) else None


_Search = Callable[[bytes | mmap, int], bool]
_MULTIPLEXES: dict[str, _Search] = {
    "MPEG transport stream": has_transport_packets,
    "MPEG program stream": has_packs,
}


def _has_pages(row: Container) -> _Search:
    def search(data: bytes | mmap, start: int) -> bool:
        return any(row.matches(data[at : at + _HEAD_BYTES]) for at in ogg_starts(data, start))

    return search


#: Kinds without their beginning.
_STREAMS: dict[str, _Search] = {
    "AAC": has_adts,
    "AC-3": has_ac3,
    "DTS": has_dts,
    "Ogg": _has_pages(CONTAINERS["Ogg"]),
    "Opus": _has_pages(CONTAINERS["Opus"]),
    "FLAC": has_flac_frames,
}


def _find(searches: dict[str, _Search], data: bytes | mmap, start: int) -> Container | None:
    found = (CONTAINERS[name] for name, search in searches.items() if search(data, start))
    return next(found, None)
