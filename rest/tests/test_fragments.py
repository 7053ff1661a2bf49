"""Fragments of stems: `GET /apiv1/job/<id>/pieces/…` serves them while the job runs, and no longer."""

from dataclasses import dataclass
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st
from rest.tests.golden import assert_golden, describe
from rest.tests.in_memory import KEY, RecordingStore, client_on
from rest.tests.service import Service

from msaas.fragments import Fragments
from msaas.jobs import Job
from msaas.models import FOUR_STEMS
from msaas.queue.consumer import Claim, Consumer, Result
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import JobQueue
from msaas.storage.names import fragment_file
from msaas.storage.song_store import SongStore

SONG = "a" * 64
FRAGMENTS = Fragments(job_id=SONG, tag="0123456789ab", stems=FOUR_STEMS, count=2, until_s=10.24)
RESULT = Result(model="htdemucs", device="cpu", stems=FOUR_STEMS)


def begin_attempt(queue: JobQueue) -> tuple[Consumer, Claim]:
    """Begin an attempt that has two fragments of each stem."""
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    payload = worker.take(timeout_s=1)
    assert payload is not None
    claim = worker.claim(Job.decode(payload), payload=payload)
    worker.renew(claim, progress=0.5, fragments=FRAGMENTS)
    return worker, claim


def store_fragments(song_store: SongStore) -> None:
    song_store.prepare()
    for number in (1, 2):
        for stem in FOUR_STEMS:
            mp3 = f"{stem} {number} ".encode() * 100
            song_store.fragments.put(FRAGMENTS, stem, number=number, mp3=mp3)


def test_player_gets_fragments_in_order_until_the_job_is_done(service_on_each_store: Service) -> None:
    service = service_on_each_store
    worker, claim = begin_attempt(service.queue)
    store_fragments(service.song_store)
    assert service.get(f"/apiv1/job/{SONG}").json()["playable_until_s"] == 10.24
    for part, stem in (("vocals", "vocals"), ("base", "bass")):
        for number in (1, 2):
            answer = service.get(f"/apiv1/job/{SONG}/pieces/{part}/{number}")
            assert (answer.status_code, answer.content) == (200, f"{stem} {number} ".encode() * 100)
            assert answer.headers["Content-Type"] == "audio/mpeg"
            assert answer.headers["Cache-Control"] == "no-store"
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/3").status_code == 404
    service.store_stems(SONG)
    worker.finish(claim, RESULT)
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/1").status_code == 404
    assert service.get(f"/apiv1/job/{SONG}").json()["playable_until_s"] is None


def test_replies_about_fragments_are_those_of_the_golden_files(service: Service) -> None:
    begin_attempt(service.queue)
    assert_golden("pieces.txt", describe(service.get(f"/apiv1/job/{SONG}/pieces")))
    missing = service.get(f"/apiv1/job/{SONG}/pieces/vocals/3")
    assert_golden("problem-piece-not-found.txt", describe(missing))


@pytest.mark.parametrize("path", ["", "/vocals/1"])
def test_job_without_fragments_is_404(service: Service, path: str) -> None:
    url = f"/apiv1/job/{SONG}/pieces{path}"
    assert service.get(url).status_code == 404
    service.queue.enqueue(Job(job_id=SONG))
    answer = service.get(url)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:msaas:error:piece_not_found")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_stored_fragments_of_an_ended_attempt_are_not_served(service: Service) -> None:
    worker, claim = begin_attempt(service.queue)
    store_fragments(service.song_store)
    worker.release(claim)
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/1").status_code == 404
    payload = worker.take(timeout_s=1)
    assert payload is not None
    claim = worker.claim(Job.decode(payload), payload=payload)
    other = Fragments(job_id=SONG, tag="another attempt", stems=FOUR_STEMS, count=1, until_s=5.12)
    worker.renew(claim, progress=0.1, fragments=other)
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/1").status_code == 404
    assert service.get(f"/apiv1/job/{SONG}/pieces").json()["pieces"] == 1


def test_announced_fragment_that_is_not_stored_is_404(service: Service) -> None:
    begin_attempt(service.queue)
    service.song_store.prepare()
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/1").status_code == 404


def test_fragments_are_not_listed_among_the_tracks(service: Service) -> None:
    store_fragments(service.song_store)
    assert service.get("/apiv1/bucket").json()["buckets"]["output-tracks"] == []
    service.get("/apiv1/delete_contents")
    assert list(service.song_store.outputs()) == []


# Untrusted paths


@dataclass
class Running:
    """An app without a server, on which one job has fragments."""

    client: FlaskClient
    store: RecordingStore


@pytest.fixture(scope="module")
def running() -> Running:
    store, queue = RecordingStore(), InMemoryQueue()
    begin_attempt(queue)
    return Running(client_on(store=store, queue=queue), store)


#: 200 is the list of fragments, to which an empty part and an empty number lead.
_ALLOWED = {200, 400, 404, 422}
STORED = {fragment_file(FRAGMENTS, stem, number=number) for stem in FOUR_STEMS for number in (1, 2)}
_nasty = st.text(st.sampled_from("./\\-_%\0\n 0129é\u202e٣:*?") | st.characters(codec="utf-8"), max_size=60)


@given(
    job_id=_nasty | st.just(SONG),
    part=_nasty | st.sampled_from([*FOUR_STEMS, "base", "vocals.mp3", "guitar"]),
    number=_nasty | st.integers().map(str),
)
@example(job_id=SONG, part="vocals", number="9" * 5000)
@example(job_id=SONG, part="vocals", number="\u0661")
@example(job_id=SONG, part="vocals", number="0")
@example(job_id=SONG, part="vocals", number="01")
@example(job_id=SONG, part="vocals", number="../1")
@example(job_id=SONG, part="guitar", number="1")
@example(job_id=f"../{SONG}", part="vocals", number="1")
def test_any_path_asks_the_store_for_announced_fragments_only(
    running: Running, job_id: str, part: str, number: str
) -> None:
    path = "/".join(quote(text, safe="") for text in (job_id, "pieces", part, number))
    answer = running.client.get("/apiv1/job/" + path, follow_redirects=True)
    assert answer.status_code in _ALLOWED, answer.text
    assert all(key in STORED or (KEY.fullmatch(key) and ".." not in key) for key in running.store.keys)


@pytest.mark.parametrize("path", ["", "/vocals/1"])
def test_invalid_id_is_400(running: Running, path: str) -> None:
    assert running.client.get(f"/apiv1/job/-{SONG}/pieces{path}").status_code == 400


def test_announced_fragment_is_looked_up(running: Running) -> None:
    running.client.get(f"/apiv1/job/{SONG}/pieces/vocals/2")
    assert fragment_file(FRAGMENTS, "vocals", number=2) in running.store.keys
