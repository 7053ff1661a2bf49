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
    """`extension` ends the names of such songs in the store. `decoder` is the first that is tried."""

    name: str
    extension: str
    decoder: Decoder


def _row(name: str, extension: str, decoder: Decoder) -> Container:
    return Container(name=name, extension=extension, decoder=decoder)


_ROWS = (
    _row("MP3", "mp3", Decoder.MPEG),
    _row("WAV", "wav", Decoder.SNDFILE),
    _row("Wave64", "w64", Decoder.SNDFILE),
    _row("AIFF", "aiff", Decoder.SNDFILE),
    _row("AU", "au", Decoder.SNDFILE),
    _row("CAF", "caf", Decoder.SNDFILE),
    _row("FLAC", "flac", Decoder.SNDFILE),
    _row("Ogg", "ogg", Decoder.SNDFILE),
    _row("Opus", "opus", Decoder.SNDFILE),
    _row("MP4", "m4a", Decoder.FFMPEG),
    _row("AAC", "aac", Decoder.FFMPEG),
    _row("WMA", "wma", Decoder.FFMPEG),
    _row("Matroska", "mkv", Decoder.FFMPEG),
    _row("AC-3", "ac3", Decoder.FFMPEG),
    _row("WavPack", "wv", Decoder.FFMPEG),
    _row("Monkey's Audio", "ape", Decoder.FFMPEG),
    _row("True Audio", "tta", Decoder.FFMPEG),
    _row("TAK", "tak", Decoder.FFMPEG),
    _row("Musepack", "mpc", Decoder.FFMPEG),
    _row("DSD", "dsf", Decoder.FFMPEG),
    _row("AMR", "amr", Decoder.FFMPEG),
    _row("AVI", "avi", Decoder.FFMPEG),
    _row("FLV", "flv", Decoder.FFMPEG),
    _row("MPEG transport stream", "ts", Decoder.FFMPEG),
    _row("MPEG program stream", "mpg", Decoder.FFMPEG),
)
CONTAINERS: dict[str, Container] = {row.name: row for row in _ROWS}
MP3 = CONTAINERS["MP3"]
#: Endings of song names in the store, the most frequent first.
SONG_EXTENSIONS = tuple(row.extension for row in _ROWS)


def recognise(data: bytes | mmap) -> Container | None:
    """Return the kind of file, None if it is unknown."""
    start = skip_tags(data, 0)
    head = data[start : start + _HEAD_BYTES]
    for name, matches in _SIGNATURES.items():
        if matches(head):
            return CONTAINERS[name]
    if _is_adts(data, start):
        return CONTAINERS["AAC"]
    if any(True for _ in walk(data)):
        return MP3
    if _has_adts(data):
        return CONTAINERS["AAC"]
    return CONTAINERS["MPEG program stream"] if _has_packs(data) else None


def _begins(*starts: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head[at:].startswith(starts)


def _is_riff(kind: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX") and head[8:12] == kind


def _is_wave(head: bytes) -> bool:
    """A WAV whose samples are an MP3 is an MP3: the walk finds its frames."""
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


#: In the order in which they are tried.
_SIGNATURES: dict[str, Callable[[bytes], bool]] = {
    "WAV": _is_wave,
    "AVI": _is_riff(b"AVI "),
    "Wave64": _begins(b"riff\x2e\x91\xcf\x11"),
    "AIFF": lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"),
    "AU": _begins(b".snd"),
    "CAF": _begins(b"caff"),
    "FLAC": _is_flac,
    "Opus": _is_ogg(b"OpusHead"),
    "Ogg": _is_ogg(b"\x01vorbis", b"\x7fFLAC", b"Speex", b"fishead\0", b"\x80theora", b"OVP80"),
    "MP4": _begins(b"ftyp", b"moov", b"mdat", at=4),
    "WMA": _begins(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    "Matroska": _begins(b"\x1a\x45\xdf\xa3"),
    "AC-3": _begins(b"\x0b\x77"),
    "WavPack": _begins(b"wvpk"),
    "Monkey's Audio": _begins(b"MAC "),
    "True Audio": _begins(b"TTA1", b"TTA2"),
    "TAK": _begins(b"tBaK"),
    "Musepack": _begins(b"MP+", b"MPCK"),
    "DSD": _begins(b"DSD ", b"FRM8"),
    "AMR": _begins(b"#!AMR"),
    "FLV": _begins(b"FLV\x01"),
    "MPEG transport stream": _is_transport_stream,
    "MPEG program stream": _begins(b"\0\0\1\xba"),
}


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
