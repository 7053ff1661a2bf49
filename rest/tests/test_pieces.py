"""A song is heard by `GET /apiv1/job/<id>/pieces/…` while it is separated, and no longer."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rest.tests.golden import assert_golden
from rest.tests.service import Service
from rest.tests.test_golden import shown
from rest.tests.test_ids import KEY, WaryStore, client_on

from msaas.jobs import Job
from msaas.pieces import Pieces
from msaas.queue import Claim, Consumer, JobQueue, Result
from msaas.stems import FOUR_STEMS
from msaas.testing import InMemoryQueue
from msaas.tracks import Tracks, piece_file

SONG = "a" * 64
PIECES = Pieces(SONG, "0123456789ab", FOUR_STEMS, count=2, until_s=10.24)
RESULT = Result("htdemucs", "cpu", FOUR_STEMS)


def attempt(queue: JobQueue) -> tuple[Consumer, Claim]:
    """An attempt that has two pieces of each stem to be heard."""
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    payload = worker.take(timeout_s=1)
    assert payload is not None
    claim = worker.claim(Job.decode(payload), payload=payload)
    worker.renew(claim, progress=0.5, pieces=PIECES)
    return worker, claim


def store_pieces(tracks: Tracks) -> None:
    tracks.prepare()
    for number in (1, 2):
        for stem in FOUR_STEMS:
            tracks.put_piece(PIECES, stem, number=number, mp3=f"{stem} {number} ".encode() * 100)


def test_a_player_takes_the_pieces_one_after_the_other_and_then_the_stem(
    service_on_each_store: Service,
) -> None:
    service = service_on_each_store
    worker, claim = attempt(service.queue)
    store_pieces(service.tracks)
    assert service.get(f"/apiv1/job/{SONG}").json()["playable_until_s"] == 10.24
    for part, stem in (("vocals", "vocals"), ("base", "bass")):
        for number in (1, 2):
            answer = service.get(f"/apiv1/job/{SONG}/pieces/{part}/{number}")
            assert (answer.status_code, answer.content) == (200, f"{stem} {number} ".encode() * 100)
            assert answer.headers["Content-Type"] == "audio/mpeg"
            assert answer.headers["Cache-Control"] == "no-store"
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/3").status_code == 404
    worker.finish(claim, RESULT)
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/1").status_code == 404
    assert service.get(f"/apiv1/job/{SONG}").json()["playable_until_s"] is None


def test_replies_of_a_song_that_can_be_heard(service: Service) -> None:
    attempt(service.queue)
    assert_golden("pieces.txt", shown(service.get(f"/apiv1/job/{SONG}/pieces")))
    missing = service.get(f"/apiv1/job/{SONG}/pieces/vocals/3")
    assert_golden("problem-piece-not-found.txt", shown(missing))


@pytest.mark.parametrize("path", ["", "/vocals/1"])
def test_without_pieces_there_is_nothing_to_be_heard(service: Service, path: str) -> None:
    url = f"/apiv1/job/{SONG}/pieces{path}"
    assert service.get(url).status_code == 404
    service.queue.enqueue(Job(SONG))
    answer = service.get(url)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:msaas:error:piece_not_found")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_pieces_of_an_attempt_that_is_over_are_not_served_though_they_lie_there(service: Service) -> None:
    worker, claim = attempt(service.queue)
    store_pieces(service.tracks)
    worker.give_back(claim)
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/1").status_code == 404
    payload = worker.take(timeout_s=1)
    assert payload is not None
    claim = worker.claim(Job.decode(payload), payload=payload)
    worker.renew(
        claim, progress=0.1, pieces=Pieces(SONG, "another attempt", FOUR_STEMS, count=1, until_s=5.12)
    )
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/1").status_code == 404
    assert service.get(f"/apiv1/job/{SONG}/pieces").json()["pieces"] == 1


def test_a_piece_that_goes_while_it_is_asked_for_is_not_found(service: Service) -> None:
    attempt(service.queue)
    service.tracks.prepare()
    assert service.get(f"/apiv1/job/{SONG}/pieces/vocals/1").status_code == 404


def test_pieces_are_not_listed_among_the_tracks(service: Service) -> None:
    store_pieces(service.tracks)
    assert service.get("/apiv1/bucket").json()["buckets"]["output-tracks"] == []
    service.get("/apiv1/delete_contents")
    assert list(service.tracks.outputs()) == []


STORE, QUEUE = WaryStore(), InMemoryQueue()
attempt(QUEUE)
CLIENT = client_on(STORE, QUEUE)
KEYS = {piece_file(PIECES, stem, number=number) for stem in FOUR_STEMS for number in (1, 2)}
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
def test_whatever_is_asked_for_only_pieces_that_are_there_are_looked_for(
    job_id: str, part: str, number: str
) -> None:
    path = "/".join(quote(text, safe="") for text in (job_id, "pieces", part, number))
    answer = CLIENT.get("/apiv1/job/" + path, follow_redirects=True)
    assert answer.status_code in (400, 404, 422) or answer.is_json, answer.text
    assert all(key in KEYS or (KEY.fullmatch(key) and ".." not in key) for key in STORE.keys)


@pytest.mark.parametrize("path", ["", "/vocals/1"])
def test_an_id_that_is_none_is_refused(path: str) -> None:
    assert CLIENT.get(f"/apiv1/job/-{SONG}/pieces{path}").status_code == 400


def test_a_good_piece_is_looked_for() -> None:
    CLIENT.get(f"/apiv1/job/{SONG}/pieces/vocals/2")
    assert piece_file(PIECES, "vocals", number=2) in STORE.keys
