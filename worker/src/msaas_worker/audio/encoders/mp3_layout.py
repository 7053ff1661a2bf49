"""Layout of an MP3 of constant bit rate as LAME writes it. All of it is known before the first sample.

The Info frame stands first. It tells players the delay and the padding of the encoder, so that they leave
them out: a stem then begins with the song and is as long. Its layout is that of the LAME tag (Gabriel
Bouvigne, "Mp3 Info Tag revision 1").
"""

import struct
from dataclasses import dataclass

from msaas.mpeg.headers import read_header
from msaas.mpeg.info import DECODER_DELAY

#: Samples of a frame of MPEG-1 layer III.
FRAME_SAMPLES = 1152
#: Samples that LAME puts before the song.
_ENCODER_DELAY = 576
#: The last half frame of the song is whole when half a frame more is encoded.
_MIN_PADDING = 576
#: The smallest number of frames with a whole number of bytes at 44.1 kHz, and one at the other rates.
_UNIT_FRAMES = 49

#: MPEG-1 layer III, stereo, no checksum. The indices of kbit/s and of Hz follow in the third byte.
_SYNC, _STEREO = b"\xff\xfb", b"\x00"
_BIT_RATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_RATES_HZ = (44_100, 48_000, 32_000)
#: Frames, bytes, table of contents and quality follow.
_ALL_FIELDS = 15
#: A table of contents of 100 places. With a constant bit rate they are at equal distances.
_CONTENTS = bytes(256 * place // 100 for place in range(100))
#: Players trust the delay and the padding of this encoder, which is the one that follows.
_ENCODER = b"LAME3.100"
_CBR = 1


@dataclass(frozen=True, kw_only=True)
class Mp3Layout:
    """An MP3 with `samples` samples of sound. `bit_rate` is in kbit/s. Sizes of sound leave out the head."""

    samples: int
    rate_hz: int
    bit_rate: int

    @property
    def frames(self) -> int:
        """Return the number of frames with sound."""
        return -(-(_ENCODER_DELAY + self.samples + _MIN_PADDING) // FRAME_SAMPLES)

    @property
    def padding(self) -> int:
        """Return the number of samples behind the song."""
        return self.frames * FRAME_SAMPLES - self.samples - _ENCODER_DELAY

    @property
    def unit_bytes(self) -> int:
        """Return the size of 49 frames. At its multiples a frame begins."""
        return _UNIT_FRAMES * FRAME_SAMPLES * self.bit_rate * 125 // self.rate_hz

    @property
    def sound_bytes(self) -> int:
        """Return the size of all frames with sound. Some have a byte more than others, the first has not."""
        size, rest = divmod(FRAME_SAMPLES * self.bit_rate * 125, self.rate_hz)
        return self.frames * size - (-(self.frames - 1) * rest // self.rate_hz)

    def until_s(self, sound_bytes: int) -> float:
        """Return where in the song, in s, this number of bytes ends."""
        frames = round(sound_bytes * self.rate_hz / (FRAME_SAMPLES * self.bit_rate * 125))
        samples = frames * FRAME_SAMPLES - _ENCODER_DELAY - DECODER_DELAY
        return min(samples, self.samples) / self.rate_hz

    def info_frame(self) -> bytes:
        indices = _BIT_RATES.index(self.bit_rate) << 4 | _RATES_HZ.index(self.rate_hz) << 2
        head = _SYNC + bytes([indices]) + _STEREO
        header = read_header(head)
        assert header
        start = head + bytes(header.stream.side_info_bytes) + self._info(header.size_bytes)
        return (start + struct.pack(">H", crc16(start))).ljust(header.size_bytes, b"\0")

    def _info(self, frame_bytes: int) -> bytes:
        """Return the Xing header and the tag of LAME, but for the checksum at its end."""
        size_bytes = frame_bytes + self.sound_bytes
        xing = b"Info" + struct.pack(">III", _ALL_FIELDS, self.frames, size_bytes) + _CONTENTS + bytes(4)
        delays = (_ENCODER_DELAY << 12 | self.padding).to_bytes(3)
        # Empty: low-pass, peak and gains, flags. Then the bit rate, as far as a byte holds it.
        facts = bytes([_CBR]) + bytes(1 + 4 + 2 + 2 + 1) + bytes([min(self.bit_rate, 255)]) + delays
        # Empty: noise shaping, gain, preset, checksum of the sound.
        return xing + _ENCODER + facts + bytes(1 + 1 + 2) + struct.pack(">IH", size_bytes, 0)


def crc16(data: bytes) -> int:
    """Return the checksum of a LAME tag: CRC-16/ARC."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value
