"""The speakers of channels, as the headers of files tell them."""

import os
import re
from typing import BinaryIO, Literal

import soundfile

from msaas.sound_chunks import byte_order, find_chunk
from msaas_worker.audio.downmix import VORBIS_ORDER, Layout, find_speakers, is_mixable

_HEADERS_BYTES = 1024 * 1024
#: A picture may be in front of the comments of a FLAC.
_FLAC_HEADERS_BYTES = 16 * _HEADERS_BYTES
_EXTENSIBLE = 0xFFFE
_MASK_AT = 20
#: RFC 9639, section 8.6.2.
_FLAC_MASK = re.compile(rb"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x([0-9A-F]{1,8})", re.IGNORECASE)
_VORBIS_CODECS = ("VORBIS", "OPUS")

#: A layout of CAF and AIFF is a list of labels, a mask, or one of these tags of Core Audio with the number of
#: channels in its low half.
_LABELS_TAG, _MASK_TAG = 0, 1
_LABEL_BYTES = 20
_TAGS: dict[int, str] = {
    **{108: "L R SL SR", 109: "L R SL SR C", 110: "L R SL SR C BC", 111: "L R BL BR C BC SL SR"},
    **{113: "L R C", 114: "C L R", 115: "L R C BC", 116: "C L R BC"},
    **{117: "L R C SL SR", 118: "L R SL SR C", 119: "L C R SL SR", 120: "C L R SL SR"},
    **{121: "L R C LFE SL SR", 122: "L R SL SR C LFE", 123: "L C R SL SR LFE", 124: "C L R SL SR LFE"},
    **{125: "L R C LFE SL SR BC", 126: "L R C LFE SL SR LC RC", 127: "C LC RC L R SL SR LFE"},
    **{128: "L R C LFE SL SR BL BR", 131: "L R BC", 132: "L R SL SR", 133: "L R LFE", 134: "L R LFE BC"},
    **{135: "L R LFE SL SR", 136: "L R C LFE", 137: "L R C LFE BC", 138: "L R SL SR LFE"},
    **{139: "L R SL SR C BC", 140: "L R SL SR C BL BR", 141: "C L R SL SR BC", 142: "C L R SL SR BC LFE"},
    **{143: "C L R SL SR BL BR", 144: "C L R SL SR BL BR BC", 148: "L R SL SR C LC RC"},
}


def read_layout(song: BinaryIO, file: soundfile.SoundFile) -> Layout | None:
    """Return the speakers of a file that libsndfile opened, None if they are stereo or unknown."""
    if file.channels <= 2:
        return None
    if file.subtype in _VORBIS_CODECS:
        return VORBIS_ORDER.get(file.channels)
    if file.format == "FLAC":
        return _read_flac_layout(os.pread(song.fileno(), _FLAC_HEADERS_BYTES, 0), channels=file.channels)
    head = os.pread(song.fileno(), _HEADERS_BYTES, 0)
    if file.format in ("CAF", "AIFF"):
        return _read_apple_layout(head, channels=file.channels)
    return _read_riff_layout(head, channels=file.channels)


def read_wave_layout(
    form: bytes, *, channels: int, order: Literal["big", "little"] = "little"
) -> Layout | None:
    """Return the speakers of a chunk `fmt `."""
    is_extensible = int.from_bytes(form[:2], order) == _EXTENSIBLE
    mask = int.from_bytes(form[_MASK_AT : _MASK_AT + 4], order)
    return find_speakers(mask, channels=channels) if is_extensible else None


def _read_riff_layout(head: bytes, *, channels: int) -> Layout | None:
    at = find_chunk(head, b"fmt ")
    return None if at is None else read_wave_layout(head[at:], channels=channels, order=byte_order(head))


def _read_flac_layout(head: bytes, *, channels: int) -> Layout | None:
    found = _FLAC_MASK.search(head)
    return find_speakers(int(found[1], 16), channels=channels) if found else None


def _read_apple_layout(head: bytes, *, channels: int) -> Layout | None:
    if (at := find_chunk(head, b"chan" if head.startswith(b"caff") else b"CHAN")) is None:
        return None
    tag, mask, labels = (int.from_bytes(head[at + 4 * field : at + 4 * field + 4]) for field in range(3))
    if tag >> 16 == _MASK_TAG:
        return find_speakers(mask, channels=channels)
    if tag >> 16 != _LABELS_TAG:
        layout: Layout = _TAGS.get(tag >> 16, "").split()
    elif labels == channels:
        at += 12
        layout = [
            _read_label(head[at + _LABEL_BYTES * number : at + _LABEL_BYTES * number + 4])
            for number in range(channels)
        ]
    else:
        return None
    return layout if len(layout) == channels and is_mixable(layout) else None


def _read_label(label: bytes) -> str:
    """Labels are numbers of the bits of a mask, from 1. Rear surrounds have their own."""
    number = int.from_bytes(label)
    rear = {33: "BL", 34: "BR"}
    found = find_speakers(1 << number - 1, channels=1) if 0 < number <= 32 else None
    return rear.get(number) or (found[0] if found else "")
