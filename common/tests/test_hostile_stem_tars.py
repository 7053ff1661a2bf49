"""The archive of a result, as a hostile client may send it."""

import gzip
import io
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from common.tests.frames import FRAME, LAYER_2
from common.tests.stem_tars import GOOD, NAMES, STEMS, archive, entry, frames, read
from msaas.errors import MalformedStemTar, StemTooLarge
from msaas.stem_tar import TAR_STEMS, read_stem_tar

# Names and kinds

OUTSIDE = [
    "../bass.mp3",
    "/bass.mp3",
    "/etc/passwd",
    "stems/bass.mp3",
    "././bass.mp3",
    "bass.mp3/",
    "bass.mp3/../../x",
    "..",
    "",
    "BASS.MP3",
    "base.mp3",
    "piano.mp3",
    "bass.wav",
    "bass.mp3 ",
    "bass\\mp3",
    "bass.mp3\n",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_further_name_is_refused_and_nothing_is_written_outside(
    tmp_path: Path, folder: Path, name: str
) -> None:
    with pytest.raises(MalformedStemTar):
        read(archive(GOOD, after=entry(name, b"x")), folder)
    assert {path.name for path in tmp_path.iterdir()} == {"received"}
    assert {path.name for path in folder.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", OUTSIDE)
def test_other_name_in_place_of_a_stem_is_refused(folder: Path, name: str) -> None:
    files = {name if each == "bass.mp3" else each: data for each, data in GOOD.items()}
    with pytest.raises(MalformedStemTar):
        read(archive(files), folder)


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        b"M",
        b"V",
        b"9",
        b"\xff",
    ],
)
def test_entry_that_is_not_a_regular_file_is_refused(folder: Path, kind: bytes) -> None:
    def edit(header: tarfile.TarInfo) -> None:
        header.type, header.linkname = kind, "/etc/passwd"

    with pytest.raises(MalformedStemTar):
        read(archive(GOOD, before=entry("bass.mp3", edit=edit)), folder)
    assert list(folder.iterdir()) == []


def test_link_in_the_folder_is_not_followed(tmp_path: Path, folder: Path) -> None:
    """The folder must be empty. If it is not, nothing is overwritten."""
    (tmp_path / "secret").write_bytes(b"keep")
    (folder / "bass.mp3").symlink_to(tmp_path / "secret")
    with pytest.raises(FileExistsError):
        read(archive(GOOD), folder)
    assert (tmp_path / "secret").read_bytes() == b"keep"


def test_stem_that_comes_twice_is_refused(folder: Path) -> None:
    with pytest.raises(MalformedStemTar, match=r"two files 'bass\.mp3'"):
        read(archive(GOOD, after=entry("bass.mp3", STEMS["bass"])), folder)


@pytest.mark.parametrize("stem", TAR_STEMS)
def test_missing_stem_is_named(folder: Path, stem: str) -> None:
    files = {name: data for name, data in GOOD.items() if name != f"{stem}.mp3"}
    with pytest.raises(MalformedStemTar, match=f"no file for the stems {stem}"):
        read(archive(files), folder)


# Extended headers


def pax(*records: bytes, size: int | None = None) -> bytes:
    data = b"".join(records)

    def edit(header: tarfile.TarInfo) -> None:
        header.type = tarfile.XHDTYPE
        if size is not None:
            header.size = size

    return entry("extended", data, edit)


def record(field: str, value: str) -> bytes:
    text = f" {field}={value}\n".encode()
    length = len(text) + 2
    return (str(length) if length < 100 else str(length + 1)).encode() + text


@pytest.mark.parametrize(
    "field",
    ["path", "linkpath", "size", "GNU.sparse.size", "GNU.sparse.name", "SCHILY.realsize", "hdrcharset"],
)
def test_extended_field_that_changes_a_file_is_refused(folder: Path, field: str) -> None:
    with pytest.raises(MalformedStemTar, match="extended field"):
        read(archive(GOOD, before=pax(record(field, "/etc/passwd"))), folder)


def test_harmless_extended_fields_are_skipped(folder: Path) -> None:
    harmless = pax(record("mtime", "1.5"), record("uname", "ann"))
    assert read(archive(GOOD, before=harmless), folder) == STEMS


@pytest.mark.parametrize(
    "records",
    [b"x", b"9 a=b\n", b"0 mtime=1\n", b"99999999 mtime=1\n", b"-5 mtime=1\n", b"10 mtime 1\n", b"\0" * 40],
)
def test_damaged_extended_header_is_refused(folder: Path, records: bytes) -> None:
    with pytest.raises(MalformedStemTar):
        read(archive(GOOD, before=pax(records)), folder)


def test_two_extended_headers_and_one_without_a_file_are_refused(folder: Path) -> None:
    one = pax(record("mtime", "1"))
    with pytest.raises(MalformedStemTar, match="two extended headers"):
        read(archive(GOOD, before=one + one), folder)
    folder = folder / "second"
    folder.mkdir()
    with pytest.raises(MalformedStemTar, match="before its file"):
        read(archive(GOOD, after=one), folder)


def test_large_extended_header_is_not_read_into_memory(folder: Path) -> None:
    class Endless(io.BytesIO):
        """Goes on with zeros for ever."""

        total = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size) or bytes(size or 0)
            self.total += len(data)
            return data

    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):

        def edit(header: tarfile.TarInfo, kind: bytes = kind) -> None:
            header.type, header.size = kind, 8 * 2**30

        stream = Endless(entry("extended", b"", edit))
        with pytest.raises(MalformedStemTar):
            read_stem_tar(stream, folder)
        assert stream.total <= 4096


# Sizes


def test_stem_over_the_limit_is_refused_before_it_is_read(folder: Path) -> None:
    def edit(header: tarfile.TarInfo) -> None:
        header.size = 2**40

    with pytest.raises(StemTooLarge, match="'bass'"):
        read(entry("bass.mp3", b"", edit), folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"99999999999\0", b"-0000000001\0"])
def test_impossible_size_is_refused(folder: Path, size: bytes) -> None:
    block = bytearray(entry("bass.mp3"))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    with pytest.raises((MalformedStemTar, StemTooLarge)):
        read(bytes(block), folder)
    assert list(folder.iterdir()) == []


def test_stem_at_the_limit_is_accepted(folder: Path) -> None:
    largest = max(map(len, STEMS.values()))
    assert read(archive(GOOD), folder, stem_bytes=largest) == STEMS


def test_stem_that_is_too_long_is_refused(folder: Path) -> None:
    with pytest.raises(StemTooLarge, match="longer than"):
        read(archive(GOOD), folder, duration_s=0.5)


def test_memory_stays_bounded(folder: Path) -> None:
    large = {name: frames(2**22 // len(FRAME)) for name in NAMES}
    stream = io.BytesIO(archive(large))
    tracemalloc.start()
    try:
        read_stem_tar(stream, folder)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes <= 2**20


# Ends


@pytest.mark.parametrize("cut", [0, 1, 100, 511, 512, 513, 1024, 5000])
def test_cut_archive_is_refused(folder: Path, cut: int) -> None:
    with pytest.raises(MalformedStemTar):
        read(archive(GOOD, end=0)[:cut], folder)


def test_archive_without_its_end_mark_is_refused(folder: Path) -> None:
    with pytest.raises(MalformedStemTar, match="ends before its end mark"):
        read(archive(GOOD, end=0), folder)


@pytest.mark.parametrize("end", [512, 1024, 10240, 2**20])
def test_fill_of_zeros_is_skipped(folder: Path, end: int) -> None:
    assert read(archive(GOOD, end=end), folder) == STEMS


def test_bytes_behind_the_end_mark_are_refused(folder: Path) -> None:
    with pytest.raises(MalformedStemTar, match="follow the end mark"):
        read(archive(GOOD) + b"x", folder)


def test_endless_fill_is_refused(folder: Path) -> None:
    with pytest.raises(MalformedStemTar, match="follow the end mark"):
        read(archive(GOOD, end=2**22), folder)


def test_compressed_archive_is_refused(folder: Path) -> None:
    with pytest.raises(MalformedStemTar, match="gzip"):
        read(gzip.compress(archive(GOOD), compresslevel=0), folder)


def test_gzip_bomb_is_refused_at_its_first_block(folder: Path) -> None:
    bomb = gzip.compress(entry("bass.mp3", bytes(2**24)))
    stream = io.BytesIO(bomb)
    with pytest.raises(MalformedStemTar, match="gzip"):
        read_stem_tar(stream, folder)
    assert stream.tell() <= 512


@pytest.mark.parametrize("data", [b"", b"PK\3\4" * 500, b"\0" * 1024, os.urandom(4096), frames(10)])
def test_other_data_are_refused(folder: Path, data: bytes) -> None:
    with pytest.raises(MalformedStemTar):
        read(data, folder)


def test_damaged_header_is_refused(folder: Path) -> None:
    data = bytearray(archive(GOOD))
    data[130] ^= 1
    with pytest.raises(MalformedStemTar, match="damaged"):
        read(bytes(data), folder)


# Content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"RIFF" + bytes(40_000),
        os.urandom(40_000),
        b"ID3\4\0\0\0\0\x10\0" + bytes(3000),
        96 * LAYER_2,
    ],
    ids=["empty", "short", "wav", "random", "tag", "layer II"],
)
def test_stem_that_is_not_an_mp3_is_refused(folder: Path, content: bytes) -> None:
    with pytest.raises(MalformedStemTar, match="'drums' is not an MP3"):
        read(archive({**GOOD, "drums.mp3": content}), folder)


def test_mp3_that_is_mostly_foreign_bytes_is_refused(folder: Path) -> None:
    with pytest.raises(MalformedStemTar, match="'vocals' is not an MP3"):
        read(archive({**GOOD, "vocals.mp3": frames(40) + bytes(200_000)}), folder)
