"""Ids from outside: the store is asked for valid keys only."""

from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st
from rest.tests.in_memory import KEY, RecordingStore, client_on

_ROUTES = (
    *("track/{0}/{1}", "track/{0}-{1}", "track/{0}", "remove/{0}/{1}", "remove/{0}-{1}"),
    *("job/{0}", "job/{0}/callbacks", "job/{0}/pieces"),
)
_ALLOWED = {200, 400, 404, 422}
_nasty = st.text(st.sampled_from("./\\-_%\0\n aZ0é\u202e:*?") | st.characters(codec="utf-8"), max_size=140)


@pytest.fixture(scope="module")
def store() -> RecordingStore:
    return RecordingStore()


@pytest.fixture(scope="module")
def client(store: RecordingStore) -> FlaskClient:
    return client_on(store=store)


@given(
    job_id=_nasty,
    part=_nasty | st.sampled_from(["vocals", "bass.mp3", "base"]),
    route=st.sampled_from(_ROUTES),
)
@example(job_id="..", part="vocals", route=_ROUTES[0])
@example(job_id="a/../../b", part="vocals.mp3", route=_ROUTES[1])
@example(job_id="a..b", part="vocals", route=_ROUTES[0])
@example(job_id="a" * 128, part="vocals", route=_ROUTES[0])
def test_any_path_is_answered_and_asks_for_valid_keys_only(
    client: FlaskClient, store: RecordingStore, job_id: str, part: str, route: str
) -> None:
    path = route.format(quote(job_id, safe=""), quote(part, safe=""))
    answer = client.get("/apiv1/" + path, follow_redirects=True)
    assert answer.status_code in _ALLOWED, answer.text
    assert all(KEY.fullmatch(key) and ".." not in key for key in store.keys)


def test_valid_id_is_looked_up(client: FlaskClient, store: RecordingStore) -> None:
    client.get(f"/apiv1/track/{'a' * 64}/vocals")
    assert f"{'a' * 64}.json" in store.keys
