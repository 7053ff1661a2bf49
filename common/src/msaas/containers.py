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
from msaas.ogg import find_codec, read_page
from msaas.sound_chunks import WAVE64, byte_order, find_chunk

#: `matches` of a container needs so many bytes.
HEAD_BYTES = 4096


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


def _begins(*starts: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head[at:].startswith(starts)


def _is_riff(kind: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX") and head[8:12] == kind


def _is_wave(head: bytes) -> bool:
    return _is_riff(b"WAVE")(head) or head.startswith(WAVE64)


def _is_sndfile_wave(head: bytes) -> bool:
    """A damaged header counts, too."""
    return _is_riff(b"WAVE")(head) and _wave_format(head) in (None, *_SNDFILE_WAVE)


def _is_wave64(head: bytes) -> bool:
    return head.startswith(WAVE64) and _wave_format(head) in (None, *_SNDFILE_WAVE)


def _is_other_wave(head: bytes) -> bool:
    """A WAV that contains an MP3 counts as MP3: the walk finds its frames."""
    return _is_wave(head) and _wave_format(head) not in (None, *_SNDFILE_WAVE, *_MPEG_WAVE)


def _wave_format(head: bytes) -> int | None:
    """Return the code of the format, None if the header does not tell it."""
    at = find_chunk(head, b"fmt ")
    if at is None or at + _WAVE_FORMAT_BYTES > len(head):
        return None
    order = byte_order(head)
    code = int.from_bytes(head[at : at + 2], order)
    return code if code != _EXTENSIBLE else int.from_bytes(head[at + 24 : at + 26], order)


def _is_aiff(head: bytes) -> bool:
    return head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")


def read_aiff_codec(head: bytes) -> bytes | None:
    """Return the compression that an AIFF-C names in its first `HEAD_BYTES`, None for any other file."""
    at = find_chunk(head, b"COMM") if _is_aiff(head) and head[8:12] == b"AIFC" else None
    return None if at is None else head[at + 18 : at + 22]


def _is_other_aiff(head: bytes) -> bool:
    return read_aiff_codec(head) not in (None, *_SNDFILE_AIFF)


def _is_other_caf(head: bytes) -> bool:
    """libsndfile needs the bit depth of an ALAC, which ffmpeg does not write."""
    kind, flags = head[28:32], int.from_bytes(head[32:36])
    is_read = kind in _SNDFILE_CAF or (kind == b"alac" and flags in _ALAC_FLAGS)
    return head[:4] == b"caff" and head[8:12] == b"desc" and not is_read


def _is_flac(head: bytes) -> bool:
    """The first block has the sample rate."""
    return head[:4] == b"fLaC" and int.from_bytes(head[18:21]) >> 4 > 0


def _is_ogg(*codecs: str) -> Callable[[bytes], bool]:
    return lambda head: find_codec(head) in codecs


def _is_other_ogg(head: bytes) -> bool:
    page = read_page(head, 0)
    return page is not None and not find_codec(head) and head[page.body :].startswith(_OTHER_OGG)


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


def _row(
    name: str,
    extension: str,
    decoder: Decoder,
    matches: Callable[[bytes], bool],
) -> Container:
    return Container(name=name, extension=extension, decoder=decoder, matches=matches)


#: Old QuickTime files, and pieces of streams, begin with other atoms than `ftyp`.
_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof")
#: Streams whose sound, or that of other streams of the file, only ffmpeg reads.
_OTHER_OGG = (b"Speex", b"CELT", b"fishead\0", b"\x80theora", b"OVP80", b"BBCD", b"\x01video", b"\x01audio")
#: PCM, ADPCM of Microsoft, float, A-law, µ-law, ADPCM of IMA, GSM 6.10, NMS ADPCM, G.721.
_SNDFILE_WAVE = (0x01, 0x02, 0x03, 0x06, 0x07, 0x11, 0x31, 0x38, 0x40)
_MPEG_WAVE = (0x50, 0x55)
_EXTENSIBLE = 0xFFFE
_WAVE_FORMAT_BYTES = 16
_SNDFILE_AIFF = (
    *(
        b"NONE",
        b"twos",
        b"sowt",
        b"raw ",
        b"in24",
        b"42ni",
        b"in32",
        b"23ni",
        b"fl32",
        b"FL32",
        b"fl64",
        b"FL64",
    ),
    *(b"ulaw", b"ULAW", b"alaw", b"ALAW", b"DWVW", b"GSM ", b"ima4"),
)
_SNDFILE_CAF = (b"lpcm", b"alaw", b"ulaw")
_ALAC_FLAGS = range(1, 5)
_ROWS = (
    _row("MP3", "mp3", Decoder.MPEG, _never),
    _row("WAV", "wav", Decoder.SNDFILE, _is_sndfile_wave),
    _row("WAV with other codecs", "wave", Decoder.FFMPEG, _is_other_wave),
    _row("Wave64", "w64", Decoder.SNDFILE, _is_wave64),
    _row("AIFF with other codecs", "aifc", Decoder.FFMPEG, _is_other_aiff),
    _row("AIFF", "aiff", Decoder.SNDFILE, _is_aiff),
    _row("AU", "au", Decoder.SNDFILE, _begins(b".snd")),
    _row("CAF with other codecs", "caff", Decoder.FFMPEG, _is_other_caf),
    _row("CAF", "caf", Decoder.SNDFILE, _begins(b"caff")),
    _row("FLAC", "flac", Decoder.SNDFILE, _is_flac),
    _row("Ogg", "ogg", Decoder.SNDFILE, _is_ogg("Vorbis", "FLAC")),
    _row("Opus", "opus", Decoder.SNDFILE, _is_ogg("Opus")),
    _row("Ogg with other codecs", "ogx", Decoder.FFMPEG, _is_other_ogg),
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
    head = data[start : start + HEAD_BYTES]
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
        return any(row.matches(data[at : at + HEAD_BYTES]) for at in ogg_starts(data, start))

    return search


#: Kinds without their beginning.
_STREAMS: dict[str, _Search] = {
    "AAC": has_adts,
    "AC-3": has_ac3,
    "DTS": has_dts,
    "Ogg": _has_pages(CONTAINERS["Ogg"]),
    "Opus": _has_pages(CONTAINERS["Opus"]),
    "Ogg with other codecs": _has_pages(CONTAINERS["Ogg with other codecs"]),
    "FLAC": has_flac_frames,
}


def _find(searches: dict[str, _Search], data: bytes | mmap, start: int) -> Container | None:
    found = (CONTAINERS[name] for name, search in searches.items() if search(data, start))
    return next(found, None)
