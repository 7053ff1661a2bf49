"""Stems: downloads with ranges and conditions, verified once for each ETag, and removals."""

import io
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient
from rest.tests.in_memory import RecordingStore, client_on
from rest.tests.service import Service, stem_bytes, store_stems

from msaas.formats import FORMATS, Format
from msaas.models import FOUR_STEMS
from msaas.storage.directory import DirectoryStore
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from tests.servers import S3Access
from tests.tcp_proxy import TcpProxy

JOB = "a" * 64
BASS = stem_bytes("bass")
PATH = f"/apiv1/track/{JOB}/bass.mp3"


# Forms of a path


@pytest.mark.parametrize("form", ["{id}/{part}", "{id}-{part}"])
@pytest.mark.parametrize(
    ("part", "stem"), [("bass.mp3", "bass"), ("base.mp3", "bass"), ("vocals", "vocals"), ("base", "bass")]
)
@pytest.mark.parametrize("job_id", [JOB, "0b0e2f2e-6d3c-4a6e-9a63-0f5b7e1c2d3e", "b" * 64 + ".0123456789ab"])
def test_every_form_of_a_track_is_served(
    service: Service, form: str, part: str, stem: str, job_id: str
) -> None:
    service.store_stems(job_id)
    answer = service.get("/apiv1/track/" + form.format(id=job_id, part=part))
    assert answer.status_code == 200
    assert answer.content == stem_bytes(stem)
    assert answer.headers["Content-Type"] == "audio/mpeg"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{job_id}-{stem}.mp3"'
    assert int(answer.headers["Content-Length"]) == len(stem_bytes(stem))


# Ranges and conditions (RFC 9110)


@pytest.fixture
def stored(service_on_each_store: Service) -> Service:
    service_on_each_store.store_stems(JOB)
    return service_on_each_store


def etag_of(service: Service) -> str:
    return service.call("HEAD", PATH).headers["ETag"]


SIZE = len(BASS)


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=4-8", 4, 9),
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes=100-{10 * SIZE}", 100, SIZE),
        ("bytes=-9", SIZE - 9, SIZE),
        (f"bytes=-{10 * SIZE}", 0, SIZE),
    ],
)
def test_range_is_served_as_206(stored: Service, header: str, start: int, stop: int) -> None:
    answer = stored.get(PATH, headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, BASS[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert int(answer.headers["Content-Length"]) == stop - start


@pytest.mark.parametrize(
    "header",
    ["seconds=0-10", "items=1-2", "bytes=0-1,4-5", "bytes=9-4", "bytes=a-b", "bytes", "bytes=-0", "=0-1"],
)
def test_unknown_unit_and_invalid_range_are_ignored(stored: Service, header: str) -> None:
    answer = stored.get(PATH, headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, BASS)
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_range_outside_the_file_is_416(stored: Service) -> None:
    answer = stored.get(PATH, headers={"Range": f"bytes={SIZE}-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=4-8"}])
def test_head_has_the_size_and_no_body(stored: Service, headers: dict[str, str]) -> None:
    answer = stored.call("HEAD", PATH, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) == SIZE
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("form", ["{etag}", 'W/{etag}, "other"', '"other", {etag}', "*"])
def test_known_etag_is_304(stored: Service, form: str) -> None:
    etag = etag_of(stored)
    answer = stored.get(PATH, headers={"If-None-Match": form.format(etag=etag), "Range": "bytes=4-8"})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)


def test_other_etag_is_200(stored: Service) -> None:
    assert stored.get(PATH, headers={"If-None-Match": '"other"'}).content == BASS


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        ("{etag}", 206),
        ("W/{etag}", 200),
        ('"other"', 200),
        ("Sun, 29 Nov 2026 12:00:00 GMT", 200),
    ],
)
def test_range_needs_the_strong_etag_of_if_range(stored: Service, if_range: str, status: int) -> None:
    headers = {"Range": "bytes=4-8", "If-Range": if_range.format(etag=etag_of(stored))}
    answer = stored.get(PATH, headers=headers)
    assert (answer.status_code, answer.content) == (status, BASS[4:9] if status == 206 else BASS)


def test_etag_is_the_sha256_of_the_bytes(stored: Service) -> None:
    manifest = stored.song_store.manifest(JOB)
    assert manifest is not None
    assert etag_of(stored) == f'"{manifest.stems["bass"].sha256}"'


# Verification


def test_stem_is_verified_once_and_then_only_ranges_are_read() -> None:
    store = RecordingStore()
    client = client_on(store=store)
    store_stems(SongStore(store), JOB)
    manifest_bytes = len(b"".join(store.get("output-tracks", f"{JOB}.json")))
    store.bytes_read = 0
    assert client.get(PATH, headers={"Range": "bytes=4-8"}).data == BASS[4:9]
    assert store.bytes_read == manifest_bytes + SIZE + 5
    store.bytes_read = 0
    for offset in range(20):
        assert client.get(PATH, headers={"Range": f"bytes={offset}-{offset}"}).status_code == 206
    assert store.bytes_read == 20 * (manifest_bytes + 1)
    assert client.head(PATH).status_code == 200
    assert store.bytes_read == 21 * manifest_bytes + 20


def test_range_passes_only_its_bytes_over_the_wire(s3_server: S3Access) -> None:
    """On S3, the first download reads a stem twice, once to verify it. A later range reads only itself."""
    passed = 0

    def count(chunk: bytes) -> bytes:
        nonlocal passed
        passed += len(chunk)
        return chunk

    host, port = s3_server.host.split(":")
    proxy = TcpProxy(host, int(port), replies=count)
    large = bytes(8 * 1024 * 1024)
    song_store = SongStore(s3_server.store())
    store_stems(song_store, JOB)
    replace_stem(song_store, large)
    client = client_on(store=S3Access(proxy.address).store())
    assert client.get(PATH).data == large
    assert passed >= 2 * len(large)
    passed = 0
    assert client.get(PATH, headers={"Range": "bytes=5000000-5000999"}).data == large[:1000]
    assert passed < 20_000
    proxy.close()


def replace_stem(song_store: SongStore, content: bytes) -> None:
    """Store other bytes for the bass, and name them in the manifest."""
    manifest = song_store.manifest(JOB)
    assert manifest is not None
    file = song_store.put_stem(JOB, "bass", io.BytesIO(content))
    song_store.put_manifest(replace(manifest, stems={**manifest.stems, "bass": file}))


@pytest.mark.parametrize("content", [b"cut", b"x" * SIZE], ids=["size", "bytes"])
@pytest.mark.parametrize("is_verified", [False, True])
def test_damaged_stem_is_404_and_the_song_can_be_sent_again(
    service: Service, song: bytes, content: bytes, is_verified: bool
) -> None:
    job_id = service.send(song).json()["hash"]
    service.work()
    path = f"/apiv1/track/{job_id}/bass"
    if is_verified:
        assert service.get(path).status_code == 200
    song_store = service.song_store
    song_store.store.put("output-tracks", f"{job_id}-bass.mp3", io.BytesIO(content), size_bytes=len(content))
    answer = service.get(path, headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:msaas:error:track_not_found")
    assert "damaged" in answer.json()["detail"]
    assert service.get(f"/apiv1/track/{job_id}/drums").status_code == 200
    service.send(song)
    assert service.queue.waiting() == [job_id]


class ReplacingStore(DirectoryStore):
    """Runs `before_get` once, before the next read of a stem."""

    before_get: Callable[[], None] | None = None

    def get(self, bucket: str, key: str, **span: object):  # type: ignore[no-untyped-def]
        if "bass" in key and self.before_get:
            replace_now, self.before_get = self.before_get, None
            replace_now()
        return super().get(bucket, key, **span)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_verified", [False, True])
@pytest.mark.parametrize("content", [BASS, b"another bass"], ids=["same bytes", "other bytes"])
def test_stem_that_is_stored_again_during_a_download_is_served(
    tmp_path: Path, content: bytes, is_verified: bool
) -> None:
    """A worker may store a stem between its verification and its download, or during its verification."""
    store = ReplacingStore(tmp_path)
    song_store = SongStore(store)
    store_stems(song_store, JOB)
    client = client_on(store=store)
    if is_verified:
        assert client.get(PATH).data == BASS
    store.before_get = lambda: replace_stem(SongStore(DirectoryStore(tmp_path)), content)
    answer = client.get(PATH, headers={"Range": "bytes=0-3"})
    assert store.before_get is None
    assert (answer.status_code, answer.data) == (206, content[:4])
    manifest = song_store.manifest(JOB)
    assert manifest is not None
    assert set(manifest.stems) == set(FOUR_STEMS)


@pytest.mark.parametrize("is_verified", [False, True])
def test_stem_removed_during_a_download_is_a_missing_track(tmp_path: Path, is_verified: bool) -> None:
    store = ReplacingStore(tmp_path)
    store_stems(SongStore(store), JOB)
    client = client_on(store=store)
    if is_verified:
        assert client.get(PATH).data == BASS
    store.before_get = lambda: SongStore(DirectoryStore(tmp_path)).remove_stem(JOB, "bass")
    answer = client.get(PATH)
    assert store.before_get is None
    assert (answer.status_code, answer.json["type"]) == (404, "urn:msaas:error:track_not_found")
    assert f"job {JOB}" in answer.json["detail"]
    assert "Send the song again." in answer.json["detail"]


# Formats


@pytest.fixture
def wav_client(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """The bass of the job is a WAV file, as a service with one more format stores it."""
    monkeypatch.setitem(FORMATS, "wav", Format(name="wav", extension="wav", media_type="audio/wav"))
    store = InMemoryStore()
    song_store = SongStore(store)
    store_stems(song_store, JOB)
    manifest = song_store.manifest(JOB)
    assert manifest is not None
    file = song_store.put_stem(JOB, "bass", io.BytesIO(BASS), extension="wav")
    song_store.put_manifest(replace(manifest, stems={**manifest.stems, "bass": file}))
    return client_on(store=store)


@pytest.mark.parametrize("part", ["bass", "bass.wav", "base.wav"])
def test_stem_is_served_in_the_format_of_its_manifest(wav_client: FlaskClient, part: str) -> None:
    answer = wav_client.get(f"/apiv1/track/{JOB}/{part}")
    assert (answer.status_code, answer.data) == (200, BASS)
    assert answer.headers["Content-Type"] == "audio/wav"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{JOB}-bass.wav"'


@pytest.mark.parametrize(("part", "has"), [("bass.mp3", "wav"), ("drums.wav", "mp3")])
@pytest.mark.parametrize("method", ["track", "remove"])
def test_stem_of_another_format_is_a_missing_track(
    wav_client: FlaskClient, part: str, has: str, method: str
) -> None:
    answer = wav_client.open(f"/apiv1/{method}/{JOB}/{part}", method="GET")
    assert (answer.status_code, answer.json["type"]) == (404, "urn:msaas:error:track_not_found")
    assert answer.json["detail"].endswith(f"is stored as {has}. Ask for that extension, or for none.")


# Removal


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("form", ["{id}/bass.mp3", "{id}-bass.mp3"])
def test_removed_stem_is_made_again(service: Service, song: bytes, method: str, form: str) -> None:
    job_id = service.send(song).json()["hash"]
    service.work()
    assert service.call(method, "/apiv1/remove/" + form.format(id=job_id)).status_code == 200
    assert service.get(f"/apiv1/track/{job_id}/bass").status_code == 404
    assert service.get(f"/apiv1/track/{job_id}/drums").status_code == 200
    assert service.call(method, "/apiv1/remove/" + form.format(id=job_id)).status_code == 404

    assert service.send(song).status_code == 200
    assert service.queue.waiting() == [job_id]
    service.work()
    assert service.get(f"/apiv1/track/{job_id}/bass").status_code == 200


def test_head_of_a_removal_removes_nothing(service: Service) -> None:
    service.store_stems(JOB)
    assert service.call("HEAD", f"/apiv1/remove/{JOB}/bass").status_code == 405
    assert service.get(PATH).status_code == 200


@pytest.mark.parametrize("removed", [("bass", "drums"), FOUR_STEMS, ("bass", "bass")])
def test_removals_at_once_all_hold(service_on_each_store: Service, removed: tuple[str, ...]) -> None:
    service = service_on_each_store
    for _ in range(5):
        service.store_stems(JOB)
        answers = call_at_once(service, [f"/apiv1/remove/{JOB}/{stem}" for stem in removed])
        assert 200 in {answer.status_code for answer in answers} <= {200, 404}
        manifest = service.song_store.manifest(JOB)
        assert manifest is not None
        assert set(manifest.stems) == set(FOUR_STEMS) - set(removed)
        assert {each.key for each in service.song_store.results()} == {
            f"{JOB}.json",
            *(file.file for file in manifest.stems.values()),
        }


def call_at_once(service: Service, paths: list[str]) -> list[requests.Response]:
    answers: list[requests.Response] = []
    barrier = threading.Barrier(len(paths))

    def call(path: str) -> None:
        barrier.wait()
        # rclone refuses one of two writes at once: the client tries again.
        while (answer := service.call("DELETE", path)).status_code == 503:
            pass
        answers.append(answer)

    threads = [threading.Thread(target=call, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
