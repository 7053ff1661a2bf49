"""MPEG frames and tags made by hand."""

import struct

#: MPEG-1, layer III, 128 kbit/s, 44.1 kHz, stereo: 417 bytes, 1152 samples.
FRAME = b"\xff\xfb\x90\x00" + bytes(413)
#: The same with padding: 418 bytes.
PADDED = b"\xff\xfb\x92\x00" + bytes(414)
MONO = b"\xff\xfb\x90\xc0" + bytes(413)
#: 48 kHz: 384 bytes.
FRAME_48K = b"\xff\xfb\x94\x00" + bytes(380)
#: MPEG-2.5, 8 kbit/s, 8 kHz: 72 bytes, 576 samples.
SLOW = b"\xff\xe3\x18\x00" + bytes(68)
#: Layer II: 417 bytes, 1152 samples. Layer I: 104 slots of 4 bytes, 384 samples.
LAYER_2 = b"\xff\xfd\x80\x00" + bytes(413)
LAYER_1 = b"\xff\xff\xc0\x00" + bytes(412)
#: Free format, of a bit rate that no index has.
FREE = b"\xff\xfb\x00\x00" + bytes(496)


def info_frame(
    *, frames: int | None = None, delay: int = 0, padding: int = 0, name: bytes = b"LAME3.100"
) -> bytes:
    """Return an Info frame; without `name` it has no delays."""
    flags = 1 if frames is not None else 0
    fields = b"Info" + struct.pack(">I", flags) + (struct.pack(">I", frames) if flags else b"")
    if name:
        fields += name.ljust(21, b"\0") + (delay << 12 | padding).to_bytes(3)
    start = FRAME[: 4 + 32] + fields
    return start + bytes(len(FRAME) - len(start))


def id3(size: int, *, flags: int = 0) -> bytes:
    """Return the header of an ID3v2 tag with `size` bytes behind it."""
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00" + bytes([flags]) + digits


def ape(body: bytes) -> bytes:
    """Return an APEv2 tag."""
    return b"APETAGEX" + bytes(4) + len(body).to_bytes(4, "little") + bytes(16) + body
