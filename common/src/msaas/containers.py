"""Kinds of audio files, recognised by their content and never by a name: one row each."""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from mmap import mmap

from msaas.mpeg.tags import skip_tags
from msaas.mpeg.walk import walk

_HEAD_BYTES = 4096
#: Packets of an MPEG transport stream. So many with the same first byte are not a coincidence.
_PACKETS, _PACKET_BYTES, _PACKET_SYNC = 5, 188, 0x47
#: Recordings and damaged files begin in a frame or a pack. The first whole ones begin before this.
_SEARCH_BYTES = 64 * 1024
#: A pack of an MPEG program stream, of MPEG-1 or MPEG-2.
_PACK = re.compile(rb"\x00\x00\x01\xba[\x21-\x2f\x44-\x7f]")
_ADTS_SYNC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")


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
    """A recording may begin in a packet. Each packet begins with the same byte."""
    last = _PACKETS * _PACKET_BYTES
    return any(
        set(head[start : start + last : _PACKET_BYTES]) == {_PACKET_SYNC}
        for start in range(min(_PACKET_BYTES, len(head) - last + 1))
    )


def _never(head: bytes) -> bool:
    """Chains of frames tell such files: see `recognise`."""
    return False


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
    _row("MP4", "m4a", Decoder.FFMPEG, _begins(b"ftyp", b"moov", b"mdat", at=4)),
    _row("AAC", "aac", Decoder.FFMPEG, _never),
    _row("WMA", "wma", Decoder.FFMPEG, _begins(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),
    _row("Matroska", "mkv", Decoder.FFMPEG, _begins(b"\x1a\x45\xdf\xa3")),
    _row("AC-3", "ac3", Decoder.FFMPEG, _begins(b"\x0b\x77")),
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


def recognise(data: bytes | mmap) -> Container | None:
    """Return the kind of file, None if it is unknown."""
    start = skip_tags(data, 0)
    head = data[start : start + _HEAD_BYTES]
    for row in _ROWS:
        if row.matches(head):
            return row
    if _is_adts(data, start):
        return CONTAINERS["AAC"]
    if any(True for _ in walk(data)):
        return MP3
    if _has_adts(data):
        return CONTAINERS["AAC"]
    return CONTAINERS["MPEG program stream"] if _has_packs(data) else None


def _is_adts(data: bytes | mmap, at: int) -> bool:
    """Return whether three frames of AAC follow each other. Their sync is that of MPEG audio with layer 0."""
    for _ in range(3):
        head = data[at : at + 7]
        if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
            return False
        size_bytes = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        if size_bytes < 7:
            return False
        at += size_bytes
    return True


def _has_adts(data: bytes | mmap) -> bool:
    return any(_is_adts(data, match.start()) for match in _ADTS_SYNC.finditer(data, 0, _SEARCH_BYTES))


def _has_packs(data: bytes | mmap) -> bool:
    found = _PACK.finditer(data, 0, _SEARCH_BYTES)
    return len(list(itertools.islice(found, 2))) == 2
