"""The archive of a result: what workers send, and what a hostile client may send."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from common.tests.frames import FRAME, LAYER_2
from msaas.errors import LeaseLost, MalformedStemTar, StemTooLarge
from msaas.songs import song_hash
from msaas.stem_tar import TAR_STEMS, ExtraFiles, ReceivedResult, StemTar, TarLimits, read_stem_tar


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "received"
    folder.mkdir()
    return folder


# What workers send


def test_archive_is_read_back(tmp_path: Path, folder: Path) -> None:
    with StemTar(files_of(tmp_path), check=go_on) as stream:
        data = stream.read()
        assert data is not None
        assert len(data) == len(stream)
    assert read(data, folder) == STEMS


def test_python_reads_the_archive_and_it_has_four_plain_files(tmp_path: Path) -> None:
    with StemTar(files_of(tmp_path), check=go_on) as stream:
        data = stream.read() or b""
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        assert found.getnames() == NAMES
        assert all(member.isreg() for member in found.getmembers())


def test_archive_depends_on_its_files_only(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    first = StemTar(files, check=go_on).read()
    os.utime(files["bass"], (1, 1))
    assert StemTar(files, check=go_on).read() == first


def test_check_ends_the_reading(tmp_path: Path) -> None:
    def lose() -> None:
        raise LeaseLost("lost")

    with StemTar(files_of(tmp_path), check=lose) as stream, pytest.raises(LeaseLost):
        stream.read(100)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_python_are_read(tmp_path: Path, folder: Path, form: int) -> None:
    """The default of Python writes an extended header with the time of each file."""
    files, buffer = files_of(tmp_path), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as writer:
        for stem, path in files.items():
            writer.add(path, f"{stem}.mp3")
    if form == tarfile.PAX_FORMAT:
        assert b"mtime=" in buffer.getvalue()
    assert read(buffer.getvalue(), folder) == STEMS


@pytest.mark.process
@pytest.mark.parametrize("form", ["gnu", "ustar", "posix", "v7"])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_archives_of_gnu_tar_are_read(tmp_path: Path, folder: Path, form: str, prefix: str) -> None:
    assert shutil.which("tar")
    for stem, data in STEMS.items():
        (tmp_path / f"{stem}.mp3").write_bytes(data)
    command = ["tar", f"--format={form}", "-C", str(tmp_path), "-cf", "-"]
    made = subprocess.run([*command, *(f"{prefix}{name}" for name in NAMES)], capture_output=True, check=True)
    assert read(made.stdout, folder) == STEMS


def test_order_of_the_files_is_free(folder: Path) -> None:
    assert read(archive(dict(reversed(GOOD.items()))), folder) == STEMS


def test_stream_that_returns_few_bytes_is_read(folder: Path) -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 7))

    received = read_stem_tar(Trickle(archive({**GOOD, **EXTRAS})), folder)
    assert {stem: each.path.read_bytes() for stem, each in received.stems.items()} == STEMS
    assert extras_of(received) == EXTRAS


# Further files


def test_archive_without_further_files_has_none(folder: Path) -> None:
    assert extras_of(read_all(archive(GOOD), folder)) == {}


def extra_files_of(folder: Path) -> ExtraFiles:
    for name, data in EXTRAS.items():
        (folder / name).write_bytes(data)
    peaks = {stem: folder / f"{stem}.peaks" for stem in reversed(TAR_STEMS)}
    return ExtraFiles(peaks=peaks, analysis=folder / "analysis.json")


def test_further_files_follow_the_stems_and_are_read_back(tmp_path: Path, folder: Path) -> None:
    with StemTar(files_of(tmp_path), extras=extra_files_of(tmp_path), check=go_on) as stream:
        data = stream.read() or b""
        assert len(data) == len(stream)
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        assert found.getnames() == [*NAMES, *EXTRAS]
    received = read_all(data, folder)
    assert {stem: each.path.read_bytes() for stem, each in received.stems.items()} == STEMS
    assert extras_of(received) == EXTRAS


@pytest.mark.parametrize("names", [["bass.peaks"], ["analysis.json"], ["drums.peaks", "vocals.peaks"]])
def test_each_further_file_is_optional(tmp_path: Path, folder: Path, names: list[str]) -> None:
    files = {name: data for name, data in EXTRAS.items() if name in names}
    assert extras_of(read_all(archive({**GOOD, **files}), folder)) == files


def test_further_files_may_come_first(folder: Path) -> None:
    assert extras_of(read_all(archive({**EXTRAS, **GOOD}), folder)) == EXTRAS


@pytest.mark.parametrize(
    "name",
    [
        *("piano.peaks", "peaks", "song.peaks", "bass.mp3.peaks", "BASS.PEAKS", "bass.peaks.peaks"),
        *("../bass.peaks", "/bass.peaks", "stems/bass.peaks", "././bass.peaks", "bass.peaks/", "bass.peaks "),
        *("analysis", "Analysis.json", "../analysis.json", "/analysis.json", "x/analysis.json"),
        *("song.analysis", "manifest.json", ".json"),
    ],
)
def test_further_file_of_another_name_is_refused(tmp_path: Path, folder: Path, name: str) -> None:
    with pytest.raises(MalformedStemTar, match="may also have"):
        read(archive(GOOD, after=entry(name, b"\0\0")), folder)
    assert {path.name for path in tmp_path.iterdir()} == {"received"}
    assert {path.name for path in folder.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", EXTRAS)
def test_further_file_that_comes_twice_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(MalformedStemTar, match=f"two files '{name}'"):
        read(archive({**GOOD, **EXTRAS}, after=entry(name, EXTRAS[name])), folder)


@pytest.mark.parametrize("name", ["bass.peaks", "analysis.json"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE])
def test_further_file_that_is_not_regular_is_refused(folder: Path, name: str, kind: bytes) -> None:
    def edit(header: tarfile.TarInfo) -> None:
        header.type, header.linkname = kind, "/etc/passwd"

    with pytest.raises(MalformedStemTar, match="not a regular file"):
        read(archive(GOOD, after=entry(name, edit=edit)), folder)
    assert {path.name for path in folder.iterdir()} == set(NAMES)


@pytest.mark.parametrize("stem", TAR_STEMS)
@pytest.mark.parametrize("difference", [-2, -1, 1, 2])
def test_peaks_of_another_length_are_refused(folder: Path, stem: str, difference: int) -> None:
    peaks = bytes(2 * PAIRS[stem] + difference)
    with pytest.raises(MalformedStemTar, match=f"peaks of the stem '{stem}' have {len(peaks)} bytes"):
        read(archive({**GOOD, **EXTRAS, f"{stem}.peaks": peaks}), folder)


def test_empty_peaks_and_those_of_another_stem_are_refused(folder: Path) -> None:
    for number, peaks in enumerate([b"", PEAKS["vocals.peaks"]]):
        (folder / str(number)).mkdir()
        with pytest.raises(MalformedStemTar, match="peaks of the stem 'bass'"):
            read(archive({**GOOD, "bass.peaks": peaks}), folder / str(number))


@pytest.mark.parametrize(
    ("name", "limit_bytes"),
    [("bass.peaks", TarLimits(duration_s=10).peaks_bytes), ("analysis.json", 64 * 1024 + 640)],
)
def test_further_file_over_the_limit_is_refused_before_it_is_read(
    folder: Path, name: str, limit_bytes: int
) -> None:
    for size in (limit_bytes + 1, 2**40):

        def edit(header: tarfile.TarInfo, size: int = size) -> None:
            header.size = size

        with pytest.raises(MalformedStemTar, match=f"{name} has {size} bytes. It may have {limit_bytes}"):
            read(entry(name, b"", edit), folder, duration_s=10)
    assert list(folder.iterdir()) == []


def test_analysis_at_the_limit_is_read(folder: Path) -> None:
    analysis = bytes(TarLimits(duration_s=10).analysis_bytes)
    received = read_all(archive({**GOOD, "analysis.json": analysis}), folder, duration_s=10)
    assert extras_of(received) == {"analysis.json": analysis}


@pytest.mark.parametrize("cut", [1, 512, 600])
def test_cut_further_file_is_refused(folder: Path, cut: int) -> None:
    data = archive({**GOOD, **EXTRAS}, end=0)
    with pytest.raises(MalformedStemTar, match="ends before its end mark"):
        read(data[:-cut], folder)


def test_further_files_do_not_replace_a_stem(folder: Path) -> None:
    files = {name: data for name, data in {**GOOD, **EXTRAS}.items() if name != "bass.mp3"}
    with pytest.raises(MalformedStemTar, match="no file for the stems bass"):
        read(archive(files), folder)


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


# Lengths


def test_stems_have_the_length_that_their_frames_tell(tmp_path: Path) -> None:
    received = read_all(archive(GOOD), tmp_path).stems
    assert {stem: each.samples for stem, each in received.items()} == {
        stem: 1152 * (40 + number) for number, stem in enumerate(TAR_STEMS)
    }
    assert {each.samplerate for each in received.values()} == {44100}


def test_limits_of_songs_fit_the_largest_result() -> None:
    limits = TarLimits.of_songs(max_duration_s=600)
    stem_bytes = 600 * 320_000 // 8
    assert stem_bytes < limits.stem_bytes < stem_bytes + 17 * 1024 * 1024
    assert 4 * limits.stem_bytes < limits.archive_bytes < 4 * limits.stem_bytes + 2 * 1024 * 1024


@pytest.mark.parametrize("seconds", [1, 600, 7200])
def test_largest_further_files_fit_into_the_largest_archive(seconds: int) -> None:
    """With stems of the largest size, and an extended header for each file."""
    limits = TarLimits.of_songs(max_duration_s=seconds)
    assert limits.peaks_bytes >= 2 * -(-48_000 * (seconds + 1) // 512)
    sizes = [*[limits.stem_bytes, limits.peaks_bytes] * 4, limits.analysis_bytes]
    headers = len(sizes) * (16 * 1024 + 2 * 512)
    assert limits.archive_bytes >= headers + sum(-(-size // 512) * 512 for size in sizes) + 2**20
