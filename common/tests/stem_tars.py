"""Archives of results for tests: their files, and ways to read them."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from common.tests.frames import FRAME
from msaas.songs import song_hash
from msaas.stem_tar import TAR_STEMS, ReceivedResult, TarLimits, read_stem_tar


def frames(number: int) -> bytes:
    return FRAME * number


STEMS = {stem: frames(40 + number) for number, stem in enumerate(TAR_STEMS)}
NAMES = [f"{stem}.mp3" for stem in TAR_STEMS]
Edit = Callable[[tarfile.TarInfo], object]


def entry(name: str, data: bytes = b"", edit: Edit = lambda header: None) -> bytes:
    """Return one file of an archive: header, data, fill."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    edit(header)
    return header.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def archive(files: dict[str, bytes], *, before: bytes = b"", after: bytes = b"", end: int = 1024) -> bytes:
    return before + b"".join(entry(name, data) for name, data in files.items()) + after + bytes(end)


GOOD = {f"{stem}.mp3": data for stem, data in STEMS.items()}
#: A stem of 40 frames has 46,080 samples: 90 pairs. Each further frame adds 2.25 pairs.
PAIRS = {"bass": 90, "drums": 93, "other": 95, "vocals": 97}
PEAKS = {f"{stem}.peaks": b"\x81\x7f" * pairs for stem, pairs in PAIRS.items()}
EXTRAS = {**PEAKS, "analysis.json": b'{"version":1}'}


def read_all(data: bytes, folder: Path, **limits: float) -> ReceivedResult:
    return read_stem_tar(io.BytesIO(data), folder, limits=TarLimits(**limits))  # type: ignore[arg-type]


def read(data: bytes, folder: Path, **limits: float) -> dict[str, bytes]:
    """Read an archive; return the bytes of its stems."""
    received = read_all(data, folder, **limits).stems
    for each in received.values():
        assert (each.size_bytes, each.sha256) == (each.path.stat().st_size, song_hash(each.path.read_bytes()))
    return {stem: each.path.read_bytes() for stem, each in received.items()}


def extras_of(received: ReceivedResult) -> dict[str, bytes]:
    """Return the bytes of the further files by their names."""
    files = {f"{stem}.peaks": each.peaks for stem, each in received.stems.items()}
    files["analysis.json"] = received.analysis
    return {name: path.read_bytes() for name, path in files.items() if path}


def files_of(folder: Path) -> dict[str, Path]:
    for stem, data in STEMS.items():
        (folder / stem).write_bytes(data)
    return {stem: folder / stem for stem in STEMS}


def go_on() -> None:
    pass
