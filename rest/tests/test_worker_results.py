"""`POST /songs/<hash>/upload_result`: results of external workers."""

import gzip
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rest.tests.conftest import Start
from rest.tests.in_memory import client_on
from rest.tests.service import FRAME, Service
from rest.tests.songs_client import SongsClient, texts_of
from rest.tests.worker_archives import (
    OTHER_STEMS,
    STEMS,
    TOKEN,
    archive,
    basic,
    bearer,
    objects_of,
    send_result,
)

from msaas.errors import StoreUnavailable
from msaas.jobs import JobError, JobState
from msaas.queue.memory import InMemoryQueue, InMemorySongRegistry
from msaas.queue.protocol import Cancellation
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue, open_catalogue, prepare

MP3 = FRAME * 100
HASH = song_hash(MP3)
UNKNOWN = "0" * 64
FACTS = {"Msaas-Model": "htdemucs", "Msaas-Weights-Sha256": "ab" * 32, "Msaas-Engine": "demucs 4.1"}


# Store


def test_result_splits_the_song(songs_service: Service, visit: Callable[..., SongsClient]) -> None:
    ann = visit("ann")
    song = ann.upload(MP3)
    # The job in Redis has its own status. Without one, as with RabbitMQ, the result decides.
    songs_service.queue.cancel(
        HASH, Cancellation(owner="", any_owner=True, all_requests=True, with_accounts=True)
    )
    songs_service.queue.forget(HASH, state=JobState.CANCELLED)
    assert ann.list() == [song]
    answer = send_result(songs_service, HASH, headers=bearer() | FACTS)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "errors": {}})
    shown = ann.show(song["id"], query="?fields=model,stems,error,progress")
    assert shown == song | {
        "status": "SPLIT",
        "model": "htdemucs",
        "stems": ["bass", "drums", "other", "vocals"],
        "error": None,
        "progress": 1.0,
    }
    assert ann.list() == [song | {"status": "SPLIT"}]
    for stem, mp3 in STEMS.items():
        assert ann.get(f"/songs/{song['id']}/{stem}.mp3").content == mp3
    assert ann.get(f"/songs/{song['id']}/song.mp3").content == MP3


def test_manifest_has_the_facts_of_the_worker(
    songs_service: Service, visit: Callable[..., SongsClient]
) -> None:
    visit().upload(MP3)
    send_result(songs_service, HASH, headers=bearer() | FACTS)
    manifest = songs_service.song_store.whole_manifest(HASH)
    assert manifest is not None
    facts = (manifest.model, manifest.weights_sha256, manifest.engine)
    assert facts == ("htdemucs", "ab" * 32, "demucs 4.1")
    assert (manifest.samples, manifest.samplerate) == (103 * 1152, 44100)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Msaas-Model": "nobody/evil", "Msaas-Weights-Sha256": "../..", "Msaas-Engine": ""},
    ],
)
def test_model_of_another_worker_is_unknown(
    songs_service: Service, visit: Callable[..., SongsClient], headers: dict[str, str]
) -> None:
    visit().upload(MP3)
    assert send_result(songs_service, HASH, headers=bearer() | headers).status_code == 200
    manifest = songs_service.song_store.whole_manifest(HASH)
    assert manifest is not None
    assert (manifest.model, manifest.weights_sha256, manifest.engine) == ("unknown", "", "")


def test_result_stands_in_the_history(songs_service: Service, visit: Callable[..., SongsClient]) -> None:
    visit().upload(MP3)
    for _ in range(2):
        send_result(songs_service, HASH, headers=bearer() | FACTS)
    [found] = songs_service.get("/apiv1/history").json()["separations"]
    assert (found["songhash"], found["state"], found["model"]) == (HASH, "done", "htdemucs")
    assert found["audio_s"] == pytest.approx(103 * 1152 / 44100, abs=0.01)


def test_songs_of_the_machine_api_get_results_as_well(songs_service: Service) -> None:
    songs_service.send(MP3)
    assert send_result(songs_service, HASH).status_code == 200
    assert songs_service.get(f"/apiv1/track/{HASH}/vocals").content == STEMS["vocals"]


def test_result_ends_the_error_of_an_earlier_job(
    songs_service: Service, visit: Callable[..., SongsClient]
) -> None:
    song = visit().upload(MP3)
    consumer, claim = songs_service.claim()
    consumer.fail(claim, JobError("separation_failed", "t", "d"))
    send_result(songs_service, HASH)
    shown = visit().show(song["id"], query="?fields=error")
    assert (shown["status"], shown["error"]) == ("SPLIT", None)


# Again


def test_same_result_again_changes_nothing(songs_service: Service, visit: Callable[..., SongsClient]) -> None:
    visit().upload(MP3)
    assert send_result(songs_service, HASH).status_code == 200
    before = objects_of(songs_service)
    assert send_result(songs_service, HASH).status_code == 200
    assert objects_of(songs_service) == before
    assert len(before) == 5


def test_first_result_stands(songs_service: Service, visit: Callable[..., SongsClient]) -> None:
    song = visit().upload(MP3)
    send_result(songs_service, HASH)
    assert send_result(songs_service, HASH, archive(OTHER_STEMS)).status_code == 200
    assert visit().get(f"/songs/{song['id']}/bass.mp3").content == STEMS["bass"]


def test_removed_stem_is_stored_again(songs_service: Service, visit: Callable[..., SongsClient]) -> None:
    song = visit().upload(MP3)
    send_result(songs_service, HASH)
    songs_service.call("DELETE", f"/apiv1/remove/{HASH}/bass")
    assert visit().get(f"/songs/{song['id']}/bass.mp3").status_code == 404
    assert send_result(songs_service, HASH, archive(OTHER_STEMS)).status_code == 200
    for stem, mp3 in OTHER_STEMS.items():
        assert visit().get(f"/songs/{song['id']}/{stem}.mp3").content == mp3


def test_results_at_once_are_not_mixed(songs_service: Service, visit: Callable[..., SongsClient]) -> None:
    song = visit().upload(MP3)
    statuses: list[int] = []

    def send(stems: dict[str, bytes]) -> None:
        statuses.append(send_result(songs_service, HASH, archive(stems)).status_code)

    threads = [threading.Thread(target=send, args=(stems,)) for stems in [STEMS, OTHER_STEMS] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 200 in statuses
    assert set(statuses) <= {200, 503}
    found = {stem: visit().get(f"/songs/{song['id']}/{stem}.mp3").content for stem in STEMS}
    assert found in (STEMS, OTHER_STEMS)


# Refuse


@pytest.mark.parametrize(
    "headers", [bearer(), basic(), basic(user=""), {"Authorization": f"bearer  {TOKEN}"}]
)
def test_token_is_a_bearer_or_the_basic_password(
    songs_service: Service, visit: Callable[..., SongsClient], headers: dict[str, str]
) -> None:
    visit().upload(MP3)
    assert send_result(songs_service, HASH, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": TOKEN},
        {"Authorization": "Basic !!!"},
        {"Authorization": f"Digest {TOKEN}"},
        bearer("a-token-of-worker"),
        bearer(TOKEN + "s"),
        basic("wrong"),
        basic("", user=TOKEN),
    ],
)
def test_wrong_token_is_refused(
    songs_service: Service, visit: Callable[..., SongsClient], headers: dict[str, str]
) -> None:
    visit().upload(MP3)
    answer = send_result(songs_service, HASH, headers=headers)
    assert (answer.status_code, texts_of(answer).keys()) == (401, {"general"})
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert objects_of(songs_service) == {}


def test_no_token_is_accepted_where_none_is_set(shared: Start, database_url: str) -> None:
    service = shared(DEBUG_ENDPOINTS="1", DATABASE_URL=database_url)
    SongsClient(service=service).upload(MP3)
    for headers in ({}, bearer(), bearer(""), basic("")):
        answer = send_result(service, HASH, headers=headers)
        assert (answer.status_code, texts_of(answer).keys()) == (403, {"general"})
    assert objects_of(service) == {}


def test_session_is_no_token(songs_service: Service, visit: Callable[..., SongsClient]) -> None:
    ann = visit("ann")
    ann.upload(MP3)
    assert ann.call("POST", f"/songs/{HASH}/upload_result", data=archive()).status_code == 401


@pytest.mark.parametrize("song", [UNKNOWN, "none", "7", HASH[:-1], f"{HASH}.0123456789ab"])
def test_result_of_an_unknown_song_is_refused(songs_service: Service, song: str) -> None:
    answer = send_result(songs_service, song)
    assert (answer.status_code, texts_of(answer).keys()) == (404, {"general"})
    assert objects_of(songs_service) == {}


def test_result_of_a_deleted_song_is_refused(
    songs_service: Service, visit: Callable[..., SongsClient]
) -> None:
    ann = visit("ann")
    song = ann.upload(MP3)
    assert ann.delete(song["id"]).status_code == 200
    assert send_result(songs_service, HASH).status_code == 410
    assert objects_of(songs_service) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"noise" * 1000,
        archive(STEMS)[:-2000],
        archive({**STEMS, "guitar": MP3}),
        archive({stem: mp3 for stem, mp3 in STEMS.items() if stem != "bass"}),
        archive({**STEMS, "bass": b"no audio" * 1000}),
        archive({**STEMS, "../bass": MP3}),
        gzip.compress(archive()),
    ],
    ids=["empty", "noise", "cut", "guitar", "no bass", "no audio", "path", "gzip"],
)
def test_malformed_archive_is_refused(
    songs_service: Service, visit: Callable[..., SongsClient], body: bytes
) -> None:
    song = visit().upload(MP3)
    answer = send_result(songs_service, HASH, body)
    assert (answer.status_code, texts_of(answer).keys()) == (400, {"general"})
    assert objects_of(songs_service) == {}
    assert visit().show(song["id"])["status"] == "UPLOADED"


def test_compressed_body_is_refused(songs_service: Service, visit: Callable[..., SongsClient]) -> None:
    visit().upload(MP3)
    headers = bearer() | {"Content-Encoding": "gzip"}
    assert send_result(songs_service, HASH, gzip.compress(archive()), headers=headers).status_code == 415


def test_stems_longer_than_a_song_may_be_are_refused(start: Start, database_url: str) -> None:
    service = start(DATABASE_URL=database_url, WORKER_TOKEN=TOKEN, MAX_DURATION_S="1")
    short = FRAME * 30
    SongsClient(service=service).upload(short)
    assert send_result(service, song_hash(short)).status_code == 413
    stems = dict.fromkeys(STEMS, short)
    assert send_result(service, song_hash(short), archive(stems)).status_code == 200


def test_body_beyond_the_limit_is_refused_before_it_is_sent(start: Start, database_url: str) -> None:
    service = start(DATABASE_URL=database_url, WORKER_TOKEN=TOKEN, MAX_DURATION_S="1")
    short = FRAME * 30
    SongsClient(service=service).upload(short)
    limit = service.settings.result_limits.archive_bytes
    answer = service.call(
        "POST",
        f"/songs/{song_hash(short)}/upload_result",
        headers={**bearer(), "Content-Length": str(limit + 1)},
    )
    assert answer.status_code == 413


# Faults


class HookedStore(InMemoryStore):
    """Calls `hook` before the object whose name ends so is put."""

    def __init__(self, suffix: str) -> None:
        super().__init__()
        self.suffix = suffix
        self.hook: Callable[[], None] | None = None

    def put(self, bucket: str, key: str, *args: Any, **kwargs: Any) -> None:
        if key.endswith(self.suffix) and self.hook:
            hook, self.hook = self.hook, None
            hook()
        super().put(bucket, key, *args, **kwargs)

    def results(self) -> set[str]:
        return {each.key for each in SongStore(self).outputs()}


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    prepare(url)
    return open_catalogue(url)


def post(client: Any, name: str = HASH) -> int:
    answer = client.post(f"/songs/{name}/upload_result", data=archive(), headers=bearer())
    return int(answer.status_code)


@pytest.mark.parametrize("suffix", ["-drums.mp3", ".json"])
def test_song_that_is_deleted_meanwhile_leaves_nothing(catalogue: Catalogue, suffix: str) -> None:
    store, queue = HookedStore(suffix), InMemoryQueue()
    client = client_on(
        store=store,
        queue=queue,
        registry=InMemorySongRegistry(),
        catalogue=catalogue,
        worker_token=TOKEN,
        database_url="sqlite://",
    )
    fields = {"username": "ann", "password1": "correct horse", "password2": "correct horse"}
    assert client.post("/auth/register", data=fields).status_code == 200
    upload = client.post("/songs/upload", data={"title": "x", "file": (io.BytesIO(MP3), "x.mp3")})
    song_id = upload.get_json()["data"]["song"]["id"]
    deleted: list[int] = []
    store.hook = lambda: deleted.append(client.delete(f"/songs/{song_id}").status_code)
    assert post(client) == 410
    assert deleted == [200]
    assert store.results() == set()
    assert queue.status(HASH) is None or queue.status(HASH).state is JobState.CANCELLED  # type: ignore[union-attr]


@pytest.mark.parametrize("suffix", ["-bass.mp3", "-vocals.mp3", ".json"])
def test_result_is_stored_by_the_next_upload_after_a_fault_of_the_store(
    catalogue: Catalogue, suffix: str
) -> None:
    store = HookedStore(suffix)
    client = client_on(
        store=store,
        queue=InMemoryQueue(),
        registry=InMemorySongRegistry(),
        catalogue=catalogue,
        worker_token=TOKEN,
        database_url="sqlite://",
    )
    client.post("/songs/upload", data={"title": "x", "file": (io.BytesIO(MP3), "x.mp3")})

    def fail() -> None:
        raise StoreUnavailable("away")

    store.hook = fail
    assert post(client) == 503
    assert f"{HASH}.json" not in store.results()
    assert post(client) == 200
    assert store.results() == {f"{HASH}.json", *(f"{HASH}-{stem}.mp3" for stem in STEMS)}
