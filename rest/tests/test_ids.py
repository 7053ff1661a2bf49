"""No text from outside reaches the store before it is known to be an id."""

import re
from contextlib import suppress
from typing import BinaryIO
from urllib.parse import quote

from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st

from msaas.queue import JobQueue
from msaas.songs import ID_PATTERN
from msaas.storage import StoredObject
from msaas.testing import InMemoryOutbox, InMemoryQueue, InMemoryStore
from msaas.tracks import Tracks
from msaas_rest.app import create_app
from msaas_rest.bootstrap import Parts
from msaas_rest.budget import Budget
from msaas_rest.settings import RestSettings

KEY = re.compile(ID_PATTERN + r"(-[a-z]+)?\.(mp3|json)")
_ROUTES = (
    *("track/{0}/{1}", "track/{0}-{1}", "track/{0}", "remove/{0}/{1}", "remove/{0}-{1}"),
    *("job/{0}", "job/{0}/callbacks", "job/{0}/pieces"),
)
_ALLOWED = {200, 400, 404, 422}


class WaryStore(InMemoryStore):
    """Remembers every key it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()

    def get(self, bucket: str, key: str):  # type: ignore[no-untyped-def]
        self.keys.add(key)
        return super().get(bucket, key)

    def stat(self, bucket: str, key: str) -> StoredObject:
        self.keys.add(key)
        return super().stat(bucket, key)

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int) -> None:
        self.keys.add(key)
        super().put(bucket, key, data, size_bytes=size_bytes)

    def delete(self, bucket: str, key: str) -> None:
        self.keys.add(key)
        super().delete(bucket, key)


def client_on(store: InMemoryStore, queue: JobQueue | None = None) -> FlaskClient:
    tracks = Tracks(store)
    return create_app(
        Parts(RestSettings(), queue or InMemoryQueue(), InMemoryOutbox(), tracks, tracks, Budget(1))
    ).test_client()


STORE = WaryStore()
CLIENT = client_on(STORE)
_nasty = st.text(st.sampled_from("./\\-_%\0\n aZ0é\u202e:*?") | st.characters(codec="utf-8"), max_size=140)


@given(
    job_id=_nasty,
    part=_nasty | st.sampled_from(["vocals", "bass.mp3", "base"]),
    route=st.sampled_from(_ROUTES),
)
@example(job_id="..", part="vocals", route=_ROUTES[0])
@example(job_id="a/../../b", part="vocals.mp3", route=_ROUTES[1])
@example(job_id="a..b", part="vocals", route=_ROUTES[0])
@example(job_id="a" * 128, part="vocals", route=_ROUTES[0])
def test_any_path_is_answered_and_no_bad_key_asked_for(job_id: str, part: str, route: str) -> None:
    path = route.format(quote(job_id, safe=""), quote(part, safe=""))
    answer = CLIENT.get("/apiv1/" + path, follow_redirects=True)
    assert answer.status_code in _ALLOWED, answer.text
    assert all(KEY.fullmatch(key) and ".." not in key for key in STORE.keys)


def test_a_good_id_is_asked_for() -> None:
    with suppress(KeyError):
        CLIENT.get(f"/apiv1/track/{'a' * 64}/vocals")
    assert f"{'a' * 64}.json" in STORE.keys
