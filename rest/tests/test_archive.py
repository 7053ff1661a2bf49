"""Archives of stems: whole, in ranges, at the border of Zip64, and while a stem goes away."""

import hashlib
import http.client
import io
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from rest.tests.in_memory import RecordingStore, client_on
from rest.tests.service import Service, stem_bytes, store_stems

from msaas.models import FOUR_STEMS
from msaas.storage.song_store import SongStore
from msaas_rest.api.tracks.stored_zip import StoredZip
from tests.servers import absent

JOB = "a" * 64
PATH = f"/apiv1/archive/{JOB}.zip"
GIB = 1 << 30


def files_in(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert all(each.compress_type == zipfile.ZIP_STORED for each in opened.infolist())
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.fixture
def stored(service_on_each_store: Service) -> Service:
    store_stems(service_on_each_store.song_store, JOB, title="Ä/C Song")
    return service_on_each_store


# The whole archive


def test_archive_has_each_stem_under_its_download_name(stored: Service) -> None:
    answer = stored.get(PATH)
    assert answer.status_code == 200
    assert files_in(answer.content) == {f"Ä C Song ({stem}).mp3": stem_bytes(stem) for stem in FOUR_STEMS}
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="_ C Song.zip"')


def test_song_without_title_is_named_by_its_id(service: Service) -> None:
    service.store_stems(JOB)
    answer = service.get(PATH)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{JOB}.zip"'
    assert set(files_in(answer.content)) == {f"{JOB}-{stem}.mp3" for stem in FOUR_STEMS}


def test_unzip_accepts_the_archive(stored: Service, tmp_path: Path) -> None:
    if shutil.which("unzip") is None:
        absent("unzip")
    (tmp_path / "stems.zip").write_bytes(stored.get(PATH).content)
    tested = subprocess.run(["unzip", "-t", tmp_path / "stems.zip"], capture_output=True, check=False)
    assert (tested.returncode, tested.stderr) == (0, b"")
    assert b"No errors detected" in tested.stdout


@pytest.mark.parametrize(
    ("wanted", "stems"),
    [("vocals,drums", ["vocals", "drums"]), ("base", ["bass"]), (" drums , drums,", ["drums"])],
)
def test_archive_has_the_requested_stems_in_their_order(
    service: Service, wanted: str, stems: list[str]
) -> None:
    service.store_stems(JOB)
    answer = service.get(PATH, params={"stems": wanted})
    assert list(files_in(answer.content)) == [f"{JOB}-{stem}.mp3" for stem in stems]


def test_removed_stem_is_absent_by_default_and_404_if_requested(service: Service) -> None:
    service.store_stems(JOB)
    service.song_store.remove_stem(JOB, "drums")
    assert f"{JOB}-drums.mp3" not in files_in(service.get(PATH).content)
    answer = service.get(PATH, params={"stems": "bass,drums"})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:msaas:error:track_not_found")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/apiv1/archive/{'b' * 64}.zip", 404),
        (f"/apiv1/archive/{JOB}", 404),
        ("/apiv1/archive/a..%20.zip", 400),
        (f"{PATH}?stems=kazoo", 422),
    ],
)
def test_unknown_archive_is_refused(service: Service, path: str, status: int) -> None:
    answer = service.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


# Ranges and conditions


def test_every_range_is_a_part_of_the_whole(service: Service) -> None:
    service.store_stems(JOB)
    whole = service.get(PATH)
    size = len(whole.content)
    directory_at = whole.content.index(b"PK\1\2")
    second_at = whole.content.index(b"PK\3\4", 1)
    starts = (0, 1, 29, 30, 40, second_at - 1, second_at, second_at + 20, directory_at - 1, directory_at)
    for start in (*starts, directory_at + 50, size - 1):
        for stop in {min(start + length, size) for length in (1, 60, 20_000, size)}:
            answer = service.get(PATH, headers={"Range": f"bytes={start}-{stop - 1}"})
            assert (answer.status_code, answer.content) == (206, whole.content[start:stop])
            assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"


def test_interrupted_download_goes_on_with_if_range(stored: Service) -> None:
    whole = stored.get(PATH)
    headers = {"Range": "bytes=5000-", "If-Range": whole.headers["ETag"]}
    assert stored.get(PATH, headers=headers).content == whole.content[5000:]
    song_store = stored.song_store
    song_store.remove_stem(JOB, "drums")
    answer = stored.get(PATH, headers=headers)
    assert (answer.status_code, len(files_in(answer.content))) == (200, 3)


def test_known_etag_is_304(stored: Service) -> None:
    etag = stored.get(PATH).headers["ETag"]
    answer = stored.get(PATH, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (304, b"")


def test_etag_depends_on_the_selection_and_the_bytes(service: Service) -> None:
    service.store_stems(JOB)
    etags = {service.call("HEAD", path).headers["ETag"] for path in (PATH, f"{PATH}?stems=bass,drums")}
    service.song_store.remove_stem(JOB, "drums")
    etags.add(service.call("HEAD", PATH).headers["ETag"])
    assert len(etags) == 3


def test_head_reads_no_stem() -> None:
    store = RecordingStore()
    client = client_on(store=store)
    store_stems(SongStore(store), JOB)
    manifest_bytes = len(b"".join(store.get("output-tracks", f"{JOB}.json")))
    store.bytes_read = 0
    answer = client.head(PATH)
    assert store.bytes_read == manifest_bytes
    assert answer.content_length == len(client.get(PATH).data)
    assert answer.headers["Accept-Ranges"] == "bytes"
    store.bytes_read = 0
    # Bytes of the first stem alone: the others are not read.
    fresh = client_on(store=store)
    store.bytes_read = 0
    assert fresh.get(PATH, headers={"Range": "bytes=0-99"}).status_code == 206
    assert store.bytes_read <= manifest_bytes * 2 + 2 * len(stem_bytes("vocals"))


# Changes during the download


def replace_stem(song_store: SongStore, stem: str, content: bytes) -> None:
    song_store.store.put("output-tracks", f"{JOB}-{stem}.mp3", io.BytesIO(content), size_bytes=len(content))


def store_large_stems(song_store: SongStore, size: int) -> None:
    """Store stems that do not fit into the buffers of a connection."""
    store_stems(song_store, JOB)
    manifest = song_store.manifest(JOB)
    assert manifest is not None
    files = {
        stem: song_store.put_stem(JOB, stem, io.BytesIO(stem.encode().ljust(8, b".") * (size // 8)))
        for stem in manifest.stems
    }
    song_store.put_manifest(replace(manifest, stems=files))


@pytest.mark.parametrize("change", ["deleted", "other bytes"])
def test_stem_that_changes_during_the_download_breaks_the_connection(
    service_on_each_store: Service, change: str
) -> None:
    service = service_on_each_store
    song_store = service.song_store
    size = 24 * 1024 * 1024
    store_large_stems(song_store, size)
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=20)
    connection.request("GET", PATH)
    answer = connection.getresponse()
    assert answer.status == 200
    assert len(answer.read(1000)) == 1000
    last = list(song_store.stored_stems(JOB)[1])[-1]
    if change == "deleted":
        song_store.remove_stem(JOB, last)
    else:
        replace_stem(song_store, last, b"x" * size)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    connection.close()
    # The next download is whole again, without the stem.
    found = files_in(service.get(PATH).content)
    assert len(found) == 3


@pytest.mark.parametrize("content", [b"cut", b"x" * len(stem_bytes("drums"))], ids=["size", "bytes"])
def test_damaged_stem_never_comes_in_an_archive(service: Service, content: bytes) -> None:
    service.store_stems(JOB)
    replace_stem(service.song_store, "drums", content)
    for _ in range(2):
        try:
            answer = service.get(PATH)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            continue
        assert answer.status_code in (200, 404)
        if answer.status_code == 200:
            assert f"{JOB}-drums.mp3" not in files_in(answer.content)


# Zip64


@dataclass(frozen=True)
class SparseMember:
    """Zeros."""

    name: str
    size_bytes: int

    def crc32(self) -> int:
        """Return that of the bytes of a small member, and a number for a large one."""
        if self.size_bytes < 1000:
            return zlib.crc32(bytes(self.size_bytes))
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4], "little")

    def read(self, *, offset: int, length: int) -> Iterator[bytes]:
        while length:
            chunk = bytes(min(length, 1 << 20))
            length -= len(chunk)
            yield chunk


class SparseFile(io.RawIOBase):
    """A file of which only the bytes that are asked for are made."""

    def __init__(self, archive: StoredZip) -> None:
        self._archive, self._at = archive, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._archive.size_bytes)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = self._archive.size_bytes - self._at
        length = left if size < 0 else min(size, left)
        found = b"".join(self._archive.read(offset=self._at, length=length))
        self._at += length
        return found


@pytest.mark.parametrize(
    "sizes",
    [
        [4 * GIB - 2],
        [4 * GIB - 1],
        [4 * GIB],
        [4 * GIB + 1, 5],
        [2 * GIB, 2 * GIB - 200, 7],
        [2 * GIB, 2 * GIB, 7],
        [2 * GIB, 2 * GIB - 60, 0],
        [5 * GIB, 6 * GIB, 7 * GIB],
        [0],
    ],
)
def test_archives_at_the_border_of_4_gib_are_read_by_zipfile(sizes: list[int]) -> None:
    members = [SparseMember(f"stem {number}.wav", size) for number, size in enumerate(sizes)]
    archive = StoredZip(members=members)
    with zipfile.ZipFile(SparseFile(archive)) as opened:  # type: ignore[arg-type]
        found = opened.infolist()
        assert [each.file_size for each in found] == sizes
        assert [each.compress_size for each in found] == sizes
        assert [each.CRC for each in found] == [member.crc32() for member in members]
        assert [each.filename for each in found] == [member.name for member in members]
        for each in found:
            # Reads the local header, and compares its name.
            with opened.open(each) as content:
                assert content.read(10) == bytes(min(10, each.file_size))


def test_unzip_accepts_an_archive_beyond_4_gib(tmp_path: Path) -> None:
    if shutil.which("zipinfo") is None:
        absent("unzip")
    members = [SparseMember("a.wav", 4 * GIB + 5), SparseMember("b.wav", 9)]
    archive = StoredZip(members=members)
    path = tmp_path / "sparse.zip"
    with open(path, "wb") as file:
        head = 4096
        file.write(b"".join(archive.read(length=head)))
        tail = 1024
        file.seek(archive.size_bytes - tail)
        file.write(b"".join(archive.read(offset=archive.size_bytes - tail)))
    listed = subprocess.run(["zipinfo", "-l", path], capture_output=True, check=False)
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert str(4 * GIB + 5).encode() in listed.stdout
