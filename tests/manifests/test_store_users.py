"""Each service has the rights at the store that it needs: its policy, and the Job that creates it."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import urllib3

from msaas.bootstrap import prepare_store
from msaas.errors import StoreUnavailable
from msaas.fragments import Fragments
from msaas.manifest import Manifest
from msaas.recipe import Recipe
from msaas.settings import StoreUsersSettings
from msaas.storage.memory import InMemoryStore
from msaas.storage.minio_users import SERVICES, policy_of
from msaas.storage.s3 import connect
from msaas.storage.song_store import SongStore
from tests.servers import S3Access, free_port, wait_until
from tests.system import STEMS

pytestmark = pytest.mark.process

STAND_IN = Path(__file__).parents[1] / "cluster" / "stand-ins" / "s3" / "serve.py"
SONG = sha256(b"song").hexdigest()
ROOT_USER = ("root-user", "password-of-the-root-user")
KEYS = {
    f"store_{service}_{kind}_key": f"{kind}-of-{service}"
    for service in SERVICES
    for kind in ("access", "secret")
}


def policy(service: str, **options: bool) -> dict[str, Any]:
    return policy_of(service, input_bucket="input-tracks", output_bucket="output-tracks", **options)


def allowed(service: str, **options: bool) -> set[tuple[str, str]]:
    """Return the pairs of an action and a resource."""
    return {
        (action, resource.removeprefix("arn:aws:s3:::"))
        for statement in policy(service, **options)["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


class StoreWithPolicy(InMemoryStore):
    """Refuses each call that the policy of its user does not allow, as an S3 server does."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.allowed = allowed(service)

    def _need(self, action: str, resource: str) -> None:
        if (action, resource) not in self.allowed:
            raise StoreUnavailable(f"{action} on {resource} is denied.")

    def ping(self, bucket: str) -> None:
        self._need("s3:ListBucket", bucket)
        super().ping(bucket)

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int, if_match: str = "") -> None:
        self._need("s3:PutObject", f"{bucket}/*")
        super().put(bucket, key, data, size_bytes=size_bytes, if_match=if_match)

    def get(self, bucket: str, key: str, **options: Any) -> Iterator[bytes]:
        self._need("s3:GetObject", f"{bucket}/*")
        return super().get(bucket, key, **options)

    def stat(self, bucket: str, key: str) -> Any:
        self._need("s3:GetObject", f"{bucket}/*")
        return super().stat(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        self._need("s3:DeleteObject", f"{bucket}/*")
        super().delete(bucket, key)

    def list(self, bucket: str, *, prefix: str = "") -> Any:
        self._need("s3:ListBucket", bucket)
        return super().list(bucket, prefix=prefix)


def store_of(service: str) -> SongStore:
    """Return a store with a song, a result and a fragment, as the service sees it."""
    filled = SongStore(InMemoryStore())
    filled.prepare()
    filled.put_song(SONG, io.BytesIO(b"song"), size_bytes=4)
    filled.put_manifest(_manifest(filled))
    store = StoreWithPolicy(service)
    store._buckets = filled.store._buckets  # type: ignore[attr-defined]
    return SongStore(store)


def _manifest(songs: SongStore) -> Manifest:
    """Store the stems and return their manifest."""
    return Manifest(
        job_id=SONG,
        model="htdemucs",
        weights_sha256="",
        engine="",
        samples=1,
        samplerate=44100,
        stems={stem: songs.put_stem(SONG, stem, io.BytesIO(stem.encode())) for stem in STEMS},
    )


def work_of_rest(songs: SongStore) -> None:
    songs.ping()
    songs.prepare()
    songs.put_song("b" * 64, io.BytesIO(b"other"), size_bytes=5)
    assert songs.find(SONG, Recipe(), models=["htdemucs"])
    assert b"".join(songs.open_stem(SONG, "bass").read()) == b"bass"
    songs.remove_stem(SONG, "bass")
    assert list(songs.songs())
    assert list(songs.results())


def work_of_worker(songs: SongStore) -> None:
    songs.prepare()
    assert b"".join(songs.song(SONG)) == b"song"
    assert songs.find(SONG, Recipe(), models=["htdemucs"])
    fragments = Fragments(job_id=SONG, tag="t", stems=("bass",), count=1)
    songs.fragments.put(fragments, "bass", number=0, mp3=b"mp3")
    songs.fragments.delete(fragments, number=0)
    songs.put_manifest(_manifest(songs))


def work_of_keeper(songs: SongStore) -> None:
    for bucket, found in ((songs.input_bucket, songs.songs()), (songs.output_bucket, songs.outputs())):
        for each in list(found):
            songs.store.stat(bucket, each.key)
            songs.store.delete(bucket, each.key)


@pytest.mark.parametrize("work", [work_of_rest, work_of_worker, work_of_keeper])
def test_policy_allows_the_work_of_its_service(work: Callable[[SongStore], None]) -> None:
    work(store_of(work.__name__.removeprefix("work_of_")))


@pytest.mark.parametrize(
    ("service", "action", "resource"),
    [
        ("rest", "s3:DeleteObject", "input-tracks/*"),
        ("worker", "s3:PutObject", "input-tracks/*"),
        ("worker", "s3:DeleteObject", "input-tracks/*"),
        ("keeper", "s3:PutObject", "input-tracks/*"),
        ("keeper", "s3:PutObject", "output-tracks/*"),
    ],
)
def test_policy_does_not_allow_the_work_of_others(service: str, action: str, resource: str) -> None:
    assert (action, resource) not in allowed(service)


@pytest.mark.parametrize("service", SERVICES)
def test_policy_has_no_wildcard_action_and_no_other_bucket(service: str) -> None:
    for action, resource in allowed(service, debug=True):
        assert action.startswith("s3:")
        assert "*" not in action
        assert resource.removesuffix("/*") in ("input-tracks", "output-tracks")


def test_debug_endpoints_may_empty_the_bucket_of_songs() -> None:
    extra = {service: allowed(service, debug=True) - allowed(service) for service in SERVICES}
    assert extra == {"rest": {("s3:DeleteObject", "input-tracks/*")}, "worker": set(), "keeper": set()}


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[str]:
    """Return the address of rclone behind the stand-in for MinIO, which has its calls for users."""
    port, console, rclone = (free_port() for _ in range(3))
    environment = {
        **os.environ,
        "STAND_IN_PORTS": f"{port} {console} {rclone}",
        "STAND_IN_DATA": str(tmp_path),
        "MINIO_ROOT_USER": ROOT_USER[0],
        "MINIO_ROOT_PASSWORD": ROOT_USER[1],
    }
    process = subprocess.Popen([sys.executable, str(STAND_IN)], env=environment)
    try:
        wait_until(lambda: _is_healthy(port) or process.poll() is not None)
        assert process.poll() is None
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _is_healthy(port: int) -> bool:
    try:
        return (
            urllib3.request("GET", f"http://127.0.0.1:{port}/minio/health/live", retries=False).status == 200
        )
    except urllib3.exceptions.HTTPError:
        return False


def test_job_creates_the_users_and_may_be_repeated(stand_in: str) -> None:
    settings = StoreUsersSettings(
        minio_host=stand_in, minio_user=ROOT_USER[0], minio_password=ROOT_USER[1], minio_users=True, **KEYS
    )
    for _ in range(2):
        prepare_store(settings)
    for service in SERVICES:
        access_key, secret_key = settings.user(service)
        store = connect(stand_in, access_key=access_key, secret_key=secret_key)
        assert list(store.list("input-tracks")) == []
        with pytest.raises(StoreUnavailable):
            list(connect(stand_in, access_key=access_key, secret_key="wrong").list("input-tracks"))


def test_server_without_users_is_named(s3_server: S3Access) -> None:
    settings = StoreUsersSettings(
        minio_host=s3_server.host,
        minio_user=s3_server.access_key,
        minio_password=s3_server.secret_key,
        minio_users=True,
        **KEYS,
    )
    with pytest.raises(StoreUnavailable, match="users of the store were not created"):
        prepare_store(settings)
