"""Deletion of songs: references of users, of anonymous clients and of the machine API."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service
from rest.tests.songs_client import PASSWORD, SongsClient

from msaas.jobs import JobState
from msaas.recipe import Recipe
from msaas.removal import Removal
from msaas.songs import song_hash
from tests.servers import redis_running, wait_until

Visit = Callable[..., SongsClient]
MP3 = FRAME * 100
HASH = song_hash(MP3)


def stored(service: Service) -> set[str]:
    return {each.key for each in (*service.song_store.songs(), *service.song_store.outputs())}


def test_last_reference_takes_song_and_stems_along(visit: Visit, songs_service: Service) -> None:
    ann, bob = visit("ann"), visit("bob")
    songs = [ann.upload(MP3), bob.upload(MP3)]
    songs_service.work()
    before = stored(songs_service)
    assert len(before) == 6
    assert ann.delete(songs[0]["id"]).status_code == 200
    assert stored(songs_service) == before
    assert bob.get(f"/songs/{songs[1]['id']}/bass.mp3").status_code == 200
    assert bob.delete(songs[1]["id"]).status_code == 200
    assert stored(songs_service) == set()
    assert songs_service.queue.status(HASH) is None


def test_results_of_all_recipes_go_with_the_song(visit: Visit, songs_service: Service) -> None:
    ann = visit("ann")
    songs = [ann.upload(MP3), ann.upload(MP3, model="mdx")]
    songs_service.work()
    songs_service.work(model="mdx")
    assert len(stored(songs_service)) == 11
    for song in songs:
        ann.delete(song["id"])
    assert stored(songs_service) == set()


def test_stems_of_another_song_stay(visit: Visit, songs_service: Service) -> None:
    ann, other = visit("ann"), FRAME * 200
    song = ann.upload(MP3)
    songs_service.work()
    ann.upload(other)
    songs_service.work()
    ann.delete(song["id"])
    assert {key.partition("-")[0].partition(".")[0] for key in stored(songs_service)} == {song_hash(other)}
    assert len(stored(songs_service)) == 6


def post_by_api(visit: Visit, service: Service) -> None:
    assert service.send(MP3).status_code == 200


def upload_anonymously(visit: Visit, service: Service) -> None:
    visit().upload(MP3)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("refer", [post_by_api, upload_anonymously])
def test_other_references_keep_the_song(
    visit: Visit, songs_service: Service, refer: Callable[[Visit, Service], None], is_first: bool
) -> None:
    ann = visit("ann")
    if is_first:
        refer(visit, songs_service)
    song = ann.upload(MP3)
    if not is_first:
        refer(visit, songs_service)
    songs_service.work()
    before = stored(songs_service)
    assert ann.delete(song["id"]).status_code == 200
    assert stored(songs_service) == before
    assert songs_service.get(f"/apiv1/track/{HASH}/bass").status_code == 200


def test_anonymous_song_cannot_be_deleted(visit: Visit, songs_service: Service) -> None:
    song = visit().upload(MP3)
    for client in (visit(), visit("ann")):
        assert client.delete(song["id"]).status_code == 404
        assert client.call("PATCH", f"/songs/{song['id']}", json={"title": "x"}).status_code == 404
    assert visit().list() == [song]


def test_job_of_a_deleted_song_is_cancelled(visit: Visit, songs_service: Service) -> None:
    ann = visit("ann")
    song = ann.upload(MP3)
    ann.delete(song["id"])
    assert songs_service.queue.waiting() == []
    status = songs_service.queue.status(HASH)
    assert status
    assert status.state is JobState.CANCELLED


def test_job_goes_on_for_another_request(visit: Visit, songs_service: Service) -> None:
    ann, bob = visit("ann"), visit("bob")
    song, other = ann.upload(MP3), bob.upload(MP3)
    ann.delete(song["id"])
    assert songs_service.queue.waiting() == [HASH]
    songs_service.work()
    assert bob.show(other["id"])["status"] == "SPLIT"


def test_job_goes_on_for_a_request_of_the_machine_api(visit: Visit, songs_service: Service) -> None:
    ann = visit("ann")
    song = ann.upload(MP3)
    songs_service.send(MP3)
    ann.delete(song["id"])
    assert songs_service.queue.waiting() == [HASH]


def test_second_upload_of_a_user_keeps_the_job(visit: Visit, songs_service: Service) -> None:
    ann = visit("ann")
    songs = [ann.upload(MP3), ann.upload(MP3)]
    ann.delete(songs[0]["id"])
    assert songs_service.queue.waiting() == [HASH]
    ann.delete(songs[1]["id"])
    assert songs_service.queue.waiting() == []
    assert stored(songs_service) == set()


def test_deleted_song_can_be_uploaded_again(visit: Visit, songs_service: Service) -> None:
    ann = visit("ann")
    for _ in range(3):
        song = ann.upload(MP3)
        songs_service.work()
        assert ann.show(song["id"])["status"] == "SPLIT"
        ann.delete(song["id"])
        assert stored(songs_service) == set()
    assert songs_service.get(f"/apiv1/job/{HASH}").status_code == 404


def test_account_takes_only_its_own_references(visit: Visit, songs_service: Service) -> None:
    ann, bob = visit("ann"), visit("bob")
    ann.upload(MP3)
    ann.upload(FRAME * 200)
    shared = bob.upload(MP3)
    assert ann.call("DELETE", "/auth/account", data={"password": PASSWORD}).status_code == 200
    assert {each.key for each in songs_service.song_store.songs()} == {f"{HASH}.mp3"}
    assert songs_service.queue.waiting() == [HASH]
    assert bob.list() == [shared]


def test_running_job_of_a_deleted_song_stops(visit: Visit, songs_service: Service) -> None:
    from msaas.errors import LeaseLost

    ann = visit("ann")
    song = ann.upload(MP3, model="mdx")
    consumer, claim = songs_service.claim()
    assert claim.job.job_id == Recipe(model="mdx").job_id(HASH)
    ann.delete(song["id"])
    with pytest.raises(LeaseLost):
        consumer.renew(claim, progress=0.5)
    assert consumer.begin_cleanup(claim.job.job_id)


def test_song_is_not_deleted_without_redis(start: Start, database_url: str, tmp_path: Path) -> None:
    """The removal could not be recorded: nothing would repeat it."""
    with redis_running(tmp_path / "redis") as redis:
        service = start(DATABASE_URL=database_url, REDIS_PORT=str(redis.address.port))
        ann = SongsClient(service=service)
        ann.register("ann")
        song = ann.upload(MP3)
        redis.kill()
        assert ann.delete(song["id"]).status_code == 503
        redis.start()
        wait_until(lambda: ann.get("/songs/").status_code == 200)
        assert [each["id"] for each in ann.list()] == [song["id"]]
        assert {each.key for each in service.song_store.songs()} == {f"{HASH}.mp3"}


def test_late_stem_of_a_deleted_song_is_removed_by_the_keeper(visit: Visit, songs_service: Service) -> None:
    ann = visit("ann")
    song = ann.upload(MP3)
    ann.delete(song["id"])
    songs_service.store_stems(HASH)
    assert songs_service.get(f"/apiv1/track/{HASH}/bass").status_code == 404
    assert songs_service.registry.removals() == [HASH]
    removal = Removal(
        queue=songs_service.queue,
        registry=songs_service.registry,
        song_store=songs_service.song_store,
        is_referenced=lambda _: False,
    )
    removal.remove(HASH)
    assert stored(songs_service) == set()


def test_machine_api_removes_no_stem_of_a_user(visit: Visit, songs_service: Service) -> None:
    """A client that has the bytes may post them, which makes the song known to it."""
    ann = visit("ann")
    song = ann.upload(MP3)
    songs_service.work()
    post_by_api(visit, songs_service)
    for method in ("DELETE", "GET"):
        answer = songs_service.call(method, f"/apiv1/remove/{HASH}/bass")
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:msaas:error:song_in_use")
    assert ann.get(f"/songs/{song['id']}/bass.mp3").status_code == 200
    ann.delete(song["id"])
    assert songs_service.call("DELETE", f"/apiv1/remove/{HASH}/bass").status_code == 200


def test_machine_api_cancels_no_request_of_a_user(visit: Visit, songs_service: Service) -> None:
    """A client that has the bytes may post them, which makes the job known to it."""
    ann, path = visit("ann"), f"/apiv1/job/{HASH}"
    song = ann.upload(MP3)
    post_by_api(visit, songs_service)
    named = songs_service.call("DELETE", path, params={"request_id": f"song-{song['id']}"})
    assert (named.status_code, named.json()["type"]) == (409, "urn:msaas:error:not_your_request")
    answer = songs_service.call("DELETE", path, params={"all": "1"})
    assert (answer.status_code, answer.json()["requests"]) == (200, 1)
    answer = songs_service.call("DELETE", path, params={"all": "1"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:msaas:error:not_your_request")
    assert songs_service.queue.waiting() == [HASH]
    songs_service.work()
    assert ann.show(song["id"])["status"] == "SPLIT"


def test_machine_api_removes_stems_of_anonymous_songs(visit: Visit, songs_service: Service) -> None:
    upload_anonymously(visit, songs_service)
    songs_service.work()
    assert songs_service.call("DELETE", f"/apiv1/remove/{HASH}/bass").status_code == 200


def test_song_is_hidden_and_removed_after_redis_lost_its_data(visit: Visit, songs_service: Service) -> None:
    """No keeper runs. The session is in the database."""
    ann = visit("ann")
    song = ann.upload(MP3)
    songs_service.work()
    songs_service.redis.flushall()
    for path in (f"/apiv1/track/{HASH}/bass", f"/apiv1/job/{HASH}", f"/apiv1/archive/{HASH}.zip"):
        assert songs_service.get(path).status_code == 404
    songs_service.redis.flushall()
    assert ann.delete(song["id"]).status_code == 200
    assert stored(songs_service) == set()
    assert songs_service.get(f"/apiv1/track/{HASH}/bass").status_code == 404
