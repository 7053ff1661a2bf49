"""Links of a finished job: presigned URLs of the store, or paths of this service."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.in_memory import client_on
from rest.tests.service import stem_bytes, store_stems

from msaas.errors import MalformedSettings
from msaas.models import FOUR_STEMS
from msaas.storage.directory import DirectoryStore
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_rest.settings import RestSettings
from tests.servers import SwiftServer

JOB = "a" * 64
OWN = {
    "stems": {stem: f"/apiv1/track/{JOB}/{stem}.mp3" for stem in FOUR_STEMS},
    "archive": f"/apiv1/archive/{JOB}.zip",
}
#: No server listens there.
NOWHERE = "https://stems.example.com"


def test_links_are_paths_of_this_service_that_work(shared: Start) -> None:
    service = shared(DEBUG_ENDPOINTS="1")
    service.store_stems(JOB)
    links = service.get(f"/apiv1/job/{JOB}").json()["links"]
    assert links == OWN
    assert service.get(links["stems"]["bass"]).content == stem_bytes("bass")
    assert service.get(links["archive"]).status_code == 200


def test_removed_stem_has_no_link(shared: Start) -> None:
    service = shared(DEBUG_ENDPOINTS="1")
    service.store_stems(JOB)
    service.song_store.remove_stem(JOB, "bass")
    assert set(service.get(f"/apiv1/job/{JOB}").json()["links"]["stems"]) == set(FOUR_STEMS) - {"bass"}


def test_job_that_is_not_done_has_no_links(shared: Start, song: bytes) -> None:
    service = shared(DEBUG_ENDPOINTS="1")
    job_id = service.send(song).json()["hash"]
    assert service.get(f"/apiv1/job/{job_id}").json()["links"] is None


def test_presigned_links_are_fetched_from_the_store(start: Start, swift_server: SwiftServer) -> None:
    access = swift_server.access
    service = start(STORE_DIR="", PUBLIC_S3_URL=f"http://{access.host}", **access.environment)
    store_stems(service.song_store, JOB, title="Ünder")
    links = service.get(f"/apiv1/job/{JOB}").json()["links"]
    assert links["archive"] == OWN["archive"]
    for stem, url in links["stems"].items():
        assert urlsplit(url).netloc == access.host
        answer = requests.get(url, timeout=20)
        assert (answer.status_code, answer.content) == (200, stem_bytes(stem))
        assert answer.headers["Content-Type"].startswith("audio/mpeg")
        expected = service.get(f"/apiv1/track/{JOB}/{stem}").headers["Content-Disposition"]
        assert answer.headers["Content-Disposition"] == expected
        assert requests.get(url, headers={"Range": "bytes=4-8"}, timeout=20).content == stem_bytes(stem)[4:9]
        assert requests.get(url.replace("Signature=", "Signature=0"), timeout=20).status_code == 403


def test_links_are_signed_without_asking_the_public_address() -> None:
    store = InMemoryStore()
    store_stems(SongStore(store), JOB)
    client = client_on(
        store=store,
        public_s3_url=NOWHERE,
        public_s3_region="eu-west-1",
        minio_access_key="me",
        minio_secret_key="secret",
    )
    links = client.get(f"/apiv1/job/{JOB}").json["links"]  # type: ignore[index]
    url = urlsplit(links["stems"]["drums"])
    assert (url.scheme, url.netloc) == ("https", "stems.example.com")
    query = parse_qs(url.query)
    assert query["X-Amz-Expires"] == ["3600"]
    assert query["X-Amz-Credential"][0].split("/")[2] == "eu-west-1"


def test_directory_store_has_no_presigned_links(tmp_path: Path) -> None:
    client = client_on(store_dir=tmp_path, public_s3_url=NOWHERE)
    store_stems(SongStore(DirectoryStore(tmp_path)), JOB)
    assert client.get(f"/apiv1/job/{JOB}").json["links"] == OWN  # type: ignore[index]


@pytest.mark.parametrize(
    "url", ["stems.example.com", "ftp://a", "https://a/path", "https://u:p@a", "https://a?b"]
)
def test_invalid_public_url_stops_the_service(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_S3_URL", url)
    with pytest.raises(MalformedSettings, match="PUBLIC_S3_URL"):
        RestSettings.from_env()
