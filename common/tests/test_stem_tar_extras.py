"""Peaks and the analysis in the archive of a result."""

import io
import tarfile
from pathlib import Path

import pytest

from common.tests.stem_tars import (
    EXTRAS,
    GOOD,
    NAMES,
    PAIRS,
    PEAKS,
    STEMS,
    archive,
    entry,
    extras_of,
    files_of,
    go_on,
    read,
    read_all,
)
from msaas.errors import MalformedStemTar
from msaas.stem_tar import TAR_STEMS, ExtraFiles, StemTar, TarLimits


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


@pytest.mark.parametrize("seconds", [1, 600, 7200])
def test_largest_further_files_fit_into_the_largest_archive(seconds: int) -> None:
    """With stems of the largest size, and an extended header for each file."""
    limits = TarLimits.of_songs(max_duration_s=seconds)
    assert limits.peaks_bytes >= 2 * -(-48_000 * (seconds + 1) // 512)
    sizes = [*[limits.stem_bytes, limits.peaks_bytes] * 4, limits.analysis_bytes]
    headers = len(sizes) * (16 * 1024 + 2 * 512)
    assert limits.archive_bytes >= headers + sum(-(-size // 512) * 512 for size in sizes) + 2**20
