"""Writer of ID3v2.4 tags (id3.org, "ID3 tag version 2.4.0", structure and native frames)."""

from msaas_worker.audio.tags import Cover, Tags

_VERSION = bytes([4, 0])
_NO_FLAGS = b"\0"
_FRAMES = {"title": b"TIT2", "artist": b"TPE1", "album": b"TALB"}
_UTF_8 = b"\x03"
_FRONT_COVER = b"\x03"


def write_id3(tags: Tags) -> bytes:
    """Return the tag that stands before the first frame, no bytes if nothing is known."""
    frames = b"".join(_frame(_FRAMES[name], _UTF_8 + text.encode()) for name, text in tags.texts.items())
    if tags.cover:
        frames += _frame(b"APIC", _picture(tags.cover))
    return b"ID3" + _VERSION + _NO_FLAGS + _synchsafe(len(frames)) + frames if frames else b""


def _frame(name: bytes, content: bytes) -> bytes:
    return name + _synchsafe(len(content)) + 2 * _NO_FLAGS + content


def _picture(cover: Cover) -> bytes:
    """Return the content of an APIC frame: encoding, media type, kind, an empty description, the image."""
    return _UTF_8 + cover.media_type.encode() + b"\0" + _FRONT_COVER + b"\0" + cover.data


def _synchsafe(size: int) -> bytes:
    """Return a size in four bytes of seven bits each: none of them looks like the start of a frame."""
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
