"""The archive of a result, as workers send it."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from common.tests.stem_tars import (
    EXTRAS,
    GOOD,
    NAMES,
    STEMS,
    archive,
    extras_of,
    files_of,
    go_on,
    read,
    read_all,
)
from msaas.errors import LeaseLost
from msaas.stem_tar import TAR_STEMS, StemTar, TarLimits, read_stem_tar


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
