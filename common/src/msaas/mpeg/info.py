"""The Info frame: a silent first frame that tells the number of frames, the encoder's delay and its padding.

The layout of Xing with the extension of LAME, which most encoders write, or that of Fraunhofer (VBRI).
"""

from dataclasses import dataclass

from msaas.mpeg.headers import HEADER_BYTES, Stream

#: Bytes of a frame that hold these facts.
INFO_BYTES = 256
#: Every decoder of layer III is late by so many samples.
DECODER_DELAY = 529

_HAS_FRAMES = 1
#: Flags of the fields, with their sizes.
_XING_FIELDS = {_HAS_FRAMES: 4, 2: 4, 4: 100, 8: 4}
#: From the name of the encoder to the three bytes of delay and padding.
_LAME_DELAYS = 21
_VBRI_AT, _VBRI_FRAMES = 32, 14
_CHECKSUM_BYTES = 2


@dataclass(frozen=True, slots=True)
class Info:
    """`delay` and `padding` are samples that an encoder put before and behind the song. None: unknown."""

    frames: int | None = None
    delay: int | None = None
    padding: int = 0

    @property
    def start(self) -> int:
        """Return the number of decoded samples before the song."""
        return 0 if self.delay is None else self.delay + DECODER_DELAY

    def end(self, *, frames: int, samples: int) -> int:
        """Return where the song ends in `frames` decoded frames of `samples` each.

        Where frames are missing the end of the file is missing, and its padding with it.
        """
        decoded = frames * samples
        if self.delay is None or self.frames not in (None, frames):
            return decoded
        return decoded - max(0, self.padding - DECODER_DELAY)


def read_info(frame: bytes, stream: Stream) -> Info | None:
    """Return the facts of an Info frame, None if the frame is audio. `INFO_BYTES` of it are enough."""
    if stream.layer != 3:
        return None
    for checksum_bytes in (0, _CHECKSUM_BYTES):
        at = HEADER_BYTES + checksum_bytes + stream.side_info_bytes
        if frame[at : at + 4] in (b"Xing", b"Info"):
            return _read_xing(frame[at + 4 :])
    at = HEADER_BYTES + _VBRI_AT
    return _read_vbri(frame[at:]) if frame[at : at + 4] == b"VBRI" else None


def _read_xing(fields: bytes) -> Info:
    flags, at = int.from_bytes(fields[:4]), 4
    frames = int.from_bytes(fields[at : at + 4]) if flags & _HAS_FRAMES else None
    at += sum(size for flag, size in _XING_FIELDS.items() if flags & flag)
    delays = fields[at + _LAME_DELAYS : at + _LAME_DELAYS + 3]
    # Encoders have many names: any name means that the fields behind it are filled.
    if not any(fields[at : at + 4]) or len(delays) < 3:
        return Info(frames)
    both = int.from_bytes(delays)
    return Info(frames, delay=both >> 12, padding=both & 0xFFF)


def _read_vbri(fields: bytes) -> Info:
    return Info(int.from_bytes(fields[_VBRI_FRAMES : _VBRI_FRAMES + 4]))
