"""Peaks and analysis in the results of external workers: checked, stored and served as those of jobs."""

import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from rest.tests.in_memory import client_on
from rest.tests.service import FRAME, Service
from rest.tests.songs_client import SongsClient, texts_of
from rest.tests.worker_archives import (
    EXTRAS,
    OTHER_STEMS,
    PEAKS,
    TOKEN,
    archive,
    bearer,
    objects_of,
    peaks_of,
    send_result,
)

from msaas.errors import MalformedStemTar, StoreUnavailable
from msaas.queue.memory import InMemoryQueue, InMemorySongRegistry
from msaas.songs import song_hash
from msaas.stem_tar import TAR_STEMS, TarLimits
from msaas.storage.memory import InMemoryStore
from msaas.storage.names import job_of
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue, open_catalogue, prepare
from msaas_rest.songs.worker_results import parse_analysis

Visit = Callable[..., SongsClient]

MP3 = FRAME * 100
HASH = song_hash(MP3)
WHOLE = archive(extras=EXTRAS)
ANALYSIS: dict[str, Any] = json.loads(EXTRAS["analysis.json"])


# Store and serve


def test_peaks_and_analysis_are_served_to_the_user(songs_service: Service, visit: Visit) -> None:
    ann = visit("ann")
    song = ann.upload(MP3)
    paths = [f"/songs/{song['id']}/{name}" for name in ("peaks.json", "analysis.json")]
    assert [ann.get(path).status_code for path in paths] == [404, 404]
    assert send_result(songs_service, HASH, WHOLE).status_code == 200
    peaks, analysis = (ann.get(path) for path in paths)
    found = peaks.json()["stems"]
    assert {stem: bytes(pair % 256 for pair in found[stem]) for stem in TAR_STEMS} == PEAKS
    assert (peaks.json()["samples_per_pair"], peaks.json()["is_whole"]) == (512, True)
    assert (analysis.status_code, analysis.content) == (200, EXTRAS["analysis.json"])
    for other in (visit("bob"), visit()):
        assert [other.get(path).status_code for path in paths] == [404, 404]


def test_machine_api_serves_those_of_songs_it_knows_alone(songs_service: Service, visit: Visit) -> None:
    paths = [f"/apiv1/job/{HASH}/peaks/bass", f"/apiv1/job/{HASH}/analysis"]
    visit("ann").upload(MP3)
    assert send_result(songs_service, HASH, WHOLE).status_code == 200
    assert [songs_service.get(path).status_code for path in paths] == [404, 404]
    visit().upload(MP3)
    peaks, analysis = (songs_service.get(path) for path in paths)
    assert (peaks.status_code, peaks.content) == (200, PEAKS["bass"])
    assert (analysis.status_code, analysis.content) == (200, EXTRAS["analysis.json"])


@pytest.mark.parametrize("names", [["bass.peaks"], ["analysis.json"], []])
def test_each_further_file_is_optional(songs_service: Service, visit: Visit, names: list[str]) -> None:
    client = visit()
    song = client.upload(MP3)
    extras = {name: data for name, data in EXTRAS.items() if name in names}
    assert send_result(songs_service, HASH, archive(extras=extras)).status_code == 200
    answers = {name: client.get(f"/songs/{song['id']}/{name}") for name in ("peaks.json", "analysis.json")}
    assert (answers["peaks.json"].status_code == 200) == ("bass.peaks" in names)
    assert (answers["analysis.json"].status_code == 200) == ("analysis.json" in names)
    if "bass.peaks" in names:
        assert set(answers["peaks.json"].json()["stems"]) == {"bass"}


def test_objects_have_the_names_of_a_job(songs_service: Service, visit: Visit) -> None:
    visit().upload(MP3)
    send_result(songs_service, HASH, WHOLE)
    manifest = songs_service.song_store.whole_manifest(HASH)
    assert manifest is not None
    peaks = {f"{HASH}-{stem}.{entry.sha256[:16]}.peaks" for stem, entry in manifest.stems.items()}
    stems = {f"{HASH}-{stem}.mp3" for stem in TAR_STEMS}
    assert set(objects_of(songs_service)) == {f"{HASH}.json", f"{HASH}-song.analysis", *stems, *peaks}
    assert {job_of(name) for name in objects_of(songs_service)} == {HASH}


# Again


def test_same_result_again_changes_nothing(songs_service: Service, visit: Visit) -> None:
    visit().upload(MP3)
    assert send_result(songs_service, HASH, WHOLE).status_code == 200
    before = objects_of(songs_service)
    assert len(before) == 10
    assert send_result(songs_service, HASH, WHOLE).status_code == 200
    assert send_result(songs_service, HASH, archive()).status_code == 200
    assert objects_of(songs_service) == before


def test_first_result_stands_without_the_peaks_of_a_later_one(songs_service: Service, visit: Visit) -> None:
    song = visit().upload(MP3)
    assert send_result(songs_service, HASH, archive()).status_code == 200
    before = objects_of(songs_service)
    assert send_result(songs_service, HASH, WHOLE).status_code == 200
    assert objects_of(songs_service) == before
    assert visit().get(f"/songs/{song['id']}/peaks.json").status_code == 404


def test_stems_that_are_stored_again_bring_their_peaks(songs_service: Service, visit: Visit) -> None:
    song = visit().upload(MP3)
    send_result(songs_service, HASH, WHOLE)
    songs_service.call("DELETE", f"/apiv1/remove/{HASH}/bass")
    extras = {f"{stem}.peaks": peaks for stem, peaks in peaks_of(OTHER_STEMS).items()}
    assert send_result(songs_service, HASH, archive(OTHER_STEMS, extras=extras)).status_code == 200
    found = visit().get(f"/songs/{song['id']}/peaks.json").json()["stems"]
    assert {stem: len(pairs) for stem, pairs in found.items()} == {
        stem: len(peaks) for stem, peaks in peaks_of(OTHER_STEMS).items()
    }


# Remove


def test_deleted_song_leaves_neither_peaks_nor_analysis(songs_service: Service, visit: Visit) -> None:
    ann = visit("ann")
    song = ann.upload(MP3)
    send_result(songs_service, HASH, WHOLE)
    assert ann.delete(song["id"]).status_code == 200
    assert objects_of(songs_service) == {}
    assert send_result(songs_service, HASH, WHOLE).status_code == 410
    assert objects_of(songs_service) == {}


class HookedStore(InMemoryStore):
    """Notes the objects that are put. Calls `hook` before the first one whose name ends with `suffix`."""

    def __init__(self, suffix: str = "") -> None:
        super().__init__()
        self.suffix = suffix
        self.hook: Callable[[], None] | None = None
        self.names: list[str] = []

    def put(self, bucket: str, key: str, *args: Any, **kwargs: Any) -> None:
        if key.endswith(self.suffix) and self.hook:
            hook, self.hook = self.hook, None
            hook()
        self.names.append(key)
        super().put(bucket, key, *args, **kwargs)

    def results(self) -> set[str]:
        return {each.key for each in SongStore(self).outputs()}


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    prepare(url)
    return open_catalogue(url)


def open_site(store: InMemoryStore, catalogue: Catalogue) -> FlaskClient:
    client: FlaskClient = client_on(
        store=store,
        queue=InMemoryQueue(),
        registry=InMemorySongRegistry(),
        catalogue=catalogue,
        worker_token=TOKEN,
        database_url="sqlite://",
    )
    return client


def upload(client: FlaskClient) -> int:
    answer = client.post("/songs/upload", data={"title": "x", "file": (io.BytesIO(MP3), "x.mp3")})
    song_id: int = answer.get_json()["data"]["song"]["id"]
    return song_id


def post(client: FlaskClient) -> int:
    return client.post(f"/songs/{HASH}/upload_result", data=WHOLE, headers=bearer()).status_code


def test_manifest_is_stored_last(catalogue: Catalogue) -> None:
    store = HookedStore()
    client = open_site(store, catalogue)
    upload(client)
    store.names.clear()
    assert post(client) == 200
    assert [name.rpartition(".")[2] for name in store.names] == [*["mp3", "peaks"] * 4, "analysis", "json"]


@pytest.mark.parametrize("suffix", [".peaks", ".analysis", ".json"])
def test_song_that_is_deleted_meanwhile_leaves_nothing(catalogue: Catalogue, suffix: str) -> None:
    store = HookedStore(suffix)
    client = open_site(store, catalogue)
    fields = {"username": "ann", "password1": "correct horse", "password2": "correct horse"}
    assert client.post("/auth/register", data=fields).status_code == 200
    song_id, deleted = upload(client), []
    store.hook = lambda: deleted.append(client.delete(f"/songs/{song_id}").status_code)
    assert post(client) == 410
    assert deleted == [200]
    assert store.results() == set()


@pytest.mark.parametrize("suffix", [".peaks", ".analysis", ".json"])
def test_result_is_stored_by_the_next_upload_after_a_fault_of_the_store(
    catalogue: Catalogue, suffix: str
) -> None:
    store = HookedStore(suffix)
    client = open_site(store, catalogue)
    upload(client)

    def fail() -> None:
        raise StoreUnavailable("away")

    store.hook = fail
    assert post(client) == 503
    assert f"{HASH}.json" not in store.results()
    assert post(client) == 200
    assert len(store.results()) == 10


# Refuse


def edited(**fields: Any) -> bytes:
    return json.dumps({**ANALYSIS, **fields}).encode()


def with_text(number: str) -> bytes:
    """Return an analysis with this text in place of the tempo."""
    return EXTRAS["analysis.json"].replace(b"120.5", number.encode())


MALFORMED_ANALYSES = {
    "empty": b"",
    "no JSON": b"<html>",
    "cut": EXTRAS["analysis.json"][:-1],
    "two documents": EXTRAS["analysis.json"] * 2,
    "list": b"[]",
    "null": b"null",
    "no fields": b"{}",
    "no UTF-8": edited().replace(b"A minor", b"\xff\xfe"),
    "lone surrogate": edited().replace(b"A minor", rb"\ud800"),
    "byte order mark": b"\xef\xbb\xbf" + edited(),
    "deep": edited(key=None)[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "unknown field": edited(chords=[]),
    "unknown nested field": edited(loudness={**ANALYSIS["loudness"], "lra": 3.0}),
    "missing field": json.dumps({name: ANALYSIS[name] for name in ANALYSIS if name != "beats"}).encode(),
    "text for a number": edited(duration_s="2.0"),
    "number for a text": edited(key={**ANALYSIS["key"], "name": 7}),
    "bool for a number": edited(version=True),
    "share for an integer": edited(version=1.5),
    "confidence above 1": edited(key={**ANALYSIS["key"], "confidence": 1.5}),
    "confidence below 0": edited(key={**ANALYSIS["key"], "confidence": -0.1}),
    "negative index": edited(
        beats={**ANALYSIS["beats"], "bars": {"beats_per_bar": 4, "first_downbeat": -1, "confidence": 0.5}}
    ),
    "NaN": with_text("NaN"),
    "infinity": with_text("Infinity"),
    "negative infinity": with_text("-Infinity"),
    "overflow": with_text("1e999"),
    "many digits": with_text("9" * 5000),
}


@pytest.mark.parametrize("analysis", MALFORMED_ANALYSES.values(), ids=list(MALFORMED_ANALYSES))
def test_malformed_analysis_is_refused(analysis: bytes) -> None:
    with pytest.raises(MalformedStemTar, match="The analysis"):
        parse_analysis(analysis)


@pytest.mark.parametrize(
    "fields",
    [
        {"beats": {**ANALYSIS["beats"], "times_s": [""] * 175_000}},
        {"key": {**ANALYSIS["key"], "alternatives": [{}] * 175_000}},
        {"tempo": {**ANALYSIS["tempo"], "alternatives": [{}] * 175_000}},
    ],
    ids=["beats", "keys", "tempos"],
)
def test_analysis_with_many_errors_takes_little_memory(fields: dict[str, Any]) -> None:
    """As many as fit into the analysis of two hours."""
    analysis = json.dumps({**ANALYSIS, **fields}, separators=(",", ":")).encode()
    assert len(analysis) > TarLimits(duration_s=7200).analysis_bytes - 2000
    tracemalloc.start()
    try:
        with pytest.raises(MalformedStemTar):
            parse_analysis(analysis)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes <= 2**20


@pytest.mark.parametrize(
    "extras",
    [
        {"analysis.json": edited(chords=[])},
        {"analysis.json": with_text("NaN")},
        {"analysis.json": bytes(10**7)},
        {"bass.peaks": PEAKS["bass"][:-2]},
        {"bass.peaks": PEAKS["bass"] + b"\0\0"},
        {"bass.peaks": bytes(10**7)},
        {"piano.peaks": PEAKS["bass"]},
        {"song.analysis": EXTRAS["analysis.json"]},
    ],
    ids=["unknown field", "NaN", "large", "short peaks", "long peaks", "large peaks", "piano", "name"],
)
def test_malformed_result_is_refused_as_a_whole(
    songs_service: Service, visit: Visit, extras: dict[str, bytes]
) -> None:
    song = visit().upload(MP3)
    answer = send_result(songs_service, HASH, archive(extras={**EXTRAS, **extras}))
    assert (answer.status_code, texts_of(answer).keys()) == (400, {"general"})
    assert objects_of(songs_service) == {}
    assert visit().show(song["id"])["status"] == "UPLOADED"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ANALYSIS, indent=4),
        json.dumps(dict(reversed(ANALYSIS.items()))),
        json.dumps(ANALYSIS).replace('"version"', '"version": 7, "version"'),
        json.dumps(ANALYSIS).replace("120.5", "1.205e2"),
    ],
    ids=["white space", "order", "repeated field", "exponent"],
)
def test_analysis_is_stored_in_one_form(text: str) -> None:
    assert parse_analysis(text.encode()) == EXTRAS["analysis.json"]


def test_whole_numbers_may_have_no_fraction() -> None:
    assert json.loads(parse_analysis(edited(duration_s=2))) == {**ANALYSIS, "duration_s": 2.0}


def test_facts_that_are_unknown_are_null() -> None:
    analysis = edited(tempo=None, beats=None, key=None)
    assert json.loads(parse_analysis(analysis)) == json.loads(analysis)
