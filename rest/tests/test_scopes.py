"""Keys with a name and a scope: what each may do, and which songs it sees."""

import hashlib

import pytest
from rest.tests.conftest import Start
from rest.tests.service import Service
from rest.tests.test_access import bearer

from msaas.songs import song_hash
from msaas_rest.http.api_keys import ApiKey, Scope, parse_api_keys

ANN, ANN_READS, BOB, ROOT, PLAIN = (
    f"key-of-{name}-0123456789" for name in ("ann", "ann2", "bob", "root", "all")
)
KEYS = f"ann:write:{ANN},ann:read:{ANN_READS},bob:write:{BOB},root:admin:{ROOT},{PLAIN}"
SEEING = (ANN, ANN_READS, ROOT, PLAIN)


def test_key_has_a_name_and_a_scope() -> None:
    digest = hashlib.sha256(ANN.encode()).hexdigest()
    assert parse_api_keys(f"ann:read:{ANN}") == parse_api_keys(f"ann:read:sha256:{digest}")
    assert parse_api_keys(f"ann:write:{ANN}").keys == (ApiKey(bytes.fromhex(digest), "ann", Scope.WRITE),)
    assert parse_api_keys(ANN).keys == (ApiKey(bytes.fromhex(digest), "", Scope.ADMIN),)


@pytest.mark.parametrize(
    "text", ["ann:read:short", f"ann:read:{ANN},bob:read:{ANN}", f"ann:read:{ANN},{ANN}"]
)
def test_short_and_ambiguous_keys_are_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        parse_api_keys(text)


@pytest.fixture
def service(shared: Start) -> Service:
    return shared(API_KEYS=KEYS, DEBUG_ENDPOINTS="1")


def send(service: Service, mp3: bytes, key: str) -> int:
    return service.send(mp3, headers=bearer(key)).status_code


def paths_of(job_id: str) -> list[str]:
    return [
        f"/apiv1/job/{job_id}",
        f"/apiv1/job/{job_id}/callbacks",
        f"/apiv1/track/{job_id}/vocals",
        f"/apiv1/track/{job_id}-vocals.mp3",
        f"/apiv1/archive/{job_id}.zip",
        f"/apiv1/job/{job_id}/events",
    ]


def test_named_key_sees_what_its_name_sent(service: Service, song: bytes) -> None:
    assert send(service, song, ANN) == 200
    service.work()
    job_id = song_hash(song)
    for key in SEEING:
        assert [service.get(path, headers=bearer(key)).status_code for path in paths_of(job_id)] == [200] * 6
        assert [job["songhash"] for job in jobs(service, key)] == [job_id]
    answers = [service.get(path, headers=bearer(BOB)) for path in paths_of(job_id)]
    assert [answer.status_code for answer in answers] == [404] * 6
    assert jobs(service, BOB) == []


def jobs(service: Service, key: str) -> list[dict[str, str]]:
    return list(service.get("/apiv1/jobs", headers=bearer(key)).json()["jobs"])


def test_hidden_job_and_absent_job_look_alike(service: Service, song: bytes) -> None:
    send(service, song, ANN)
    hidden = service.get(f"/apiv1/job/{song_hash(song)}", headers=bearer(BOB)).json()
    absent = service.get(f"/apiv1/job/{'a' * 64}", headers=bearer(BOB)).json()
    assert hidden["detail"].replace(song_hash(song), "a" * 64) == absent["detail"]
    assert (hidden["type"], hidden["status"]) == (absent["type"], absent["status"])


def test_sending_the_same_bytes_makes_a_song_visible(service: Service, song: bytes) -> None:
    send(service, song, ANN)
    service.work()
    assert send(service, song, BOB) == 200
    answers = [service.get(path, headers=bearer(BOB)) for path in paths_of(song_hash(song))]
    assert [answer.status_code for answer in answers] == [200] * 6


def test_queue_shows_own_entries_to_named_keys(service: Service, song: bytes) -> None:
    send(service, song, ANN)
    send(service, song + song, BOB)
    both = service.get("/apiv1/queue", headers=bearer(PLAIN)).json()["queue"]
    assert both == [song_hash(song), song_hash(song + song)]
    assert service.get("/apiv1/queue", headers=bearer(ANN_READS)).json()["queue"] == both[:1]
    assert service.get("/apiv1/queue", headers=bearer(BOB)).json()["queue"] == both[1:]


def test_reading_key_changes_nothing(service: Service, song: bytes) -> None:
    send(service, song, ANN)
    service.work()
    job_id = song_hash(song)
    calls = [
        ("POST", "/apiv1/separate"),
        ("DELETE", f"/apiv1/job/{job_id}"),
        ("GET", f"/apiv1/remove/{job_id}/vocals"),
        ("DELETE", f"/apiv1/remove/{job_id}-vocals"),
    ]
    for method, path in calls:
        answer = service.call(method, path, headers=bearer(ANN_READS))
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:msaas:error:scope_missing"), path
    assert service.song_store.whole_manifest(job_id)


def test_writing_key_removes_its_own_stems_only(service: Service, song: bytes) -> None:
    send(service, song, ANN)
    service.work()
    path = f"/apiv1/remove/{song_hash(song)}/vocals"
    assert service.call("DELETE", path, headers=bearer(BOB)).status_code == 404
    assert service.call("DELETE", path, headers=bearer(ANN)).status_code == 200


@pytest.mark.parametrize("key", [ANN, BOB])
def test_stems_of_a_song_of_two_names_are_removed_by_an_admin_alone(
    service: Service, song: bytes, key: str
) -> None:
    assert send(service, song, ANN) == send(service, song, BOB) == 200
    service.work()
    path = f"/apiv1/remove/{song_hash(song)}/vocals"
    refused = service.call("DELETE", path, headers=bearer(key))
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:msaas:error:song_in_use")
    assert service.call("DELETE", path, headers=bearer(ROOT)).status_code == 200


def test_debug_calls_need_an_admin(service: Service) -> None:
    for key, status in ((ANN, 403), (ANN_READS, 403), (ROOT, 200), (PLAIN, 200)):
        assert service.get("/apiv1/bucket", headers=bearer(key)).status_code == status
    assert service.call("DELETE", "/apiv1/delete_contents", headers=bearer(ANN)).status_code == 403
