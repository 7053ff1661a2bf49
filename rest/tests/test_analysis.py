"""`GET /apiv1/job/<id>/analysis` and `GET /songs/<id>/analysis.json` over HTTP."""

import json

import requests
from rest.tests.service import FRAME, Service
from rest.tests.songs_client import texts_of
from rest.tests.test_song_results import Visit

from msaas.storage.names import analysis_file, manifest_file

JOB = "a" * 64
MP3 = FRAME * 100
ANALYSIS = json.dumps(
    {
        "version": 1,
        "duration_s": 2.0,
        "loudness": {"integrated_lufs": -14.0, "sample_peak_dbfs": None},
        "key": {"name": "A minor", "confidence": 0.8, "alternatives": []},
        "tempo": None,
        "beats": None,
    }
).encode()


def analysis(service: Service, job_id: str = JOB, **headers: str) -> requests.Response:
    return service.get(f"/apiv1/job/{job_id}/analysis", headers=headers)


def store_analysis(service: Service, job_id: str = JOB, content: bytes = ANALYSIS) -> None:
    """Add an analysis to a result that is stored."""
    service.song_store.put_analysis(job_id, content)


def test_analysis_is_served_with_an_etag(service: Service) -> None:
    service.store_stems(JOB)
    store_analysis(service)
    answer = analysis(service)
    assert (answer.status_code, answer.content) == (200, ANALYSIS)
    assert answer.headers["Content-Type"] == "application/json"
    assert analysis(service, **{"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert service.call("HEAD", f"/apiv1/job/{JOB}/analysis").headers["ETag"] == answer.headers["ETag"]


def test_results_without_an_analysis_are_404(service: Service) -> None:
    assert analysis(service).json()["type"] == "urn:msaas:error:analysis_not_found"
    service.store_stems(JOB)
    assert analysis(service).status_code == 404
    assert service.get("/apiv1/job/-/analysis").status_code == 400


def test_analysis_without_a_manifest_is_404(service: Service) -> None:
    songs = service.song_store
    service.store_stems(JOB)
    store_analysis(service)
    songs.store.delete(songs.output_bucket, manifest_file(JOB))
    assert analysis(service).status_code == 404


def test_analysis_of_an_unfinished_attempt_is_deleted(service: Service) -> None:
    service.store_stems(JOB)
    store_analysis(service)
    manifest = service.song_store.manifest(JOB)
    assert manifest
    service.song_store.discard_stems(JOB, {})
    assert analysis(service).content == ANALYSIS
    service.song_store.discard_stems(JOB, manifest.stems)
    assert analysis(service).status_code == 404


def test_analysis_of_a_later_result_has_another_etag(service: Service) -> None:
    service.store_stems(JOB)
    store_analysis(service)
    first = analysis(service).headers["ETag"]
    store_analysis(service, content=ANALYSIS.replace(b"-14.0", b"-15.0"))
    answer = analysis(service, **{"If-None-Match": first})
    assert answer.json()["loudness"]["integrated_lufs"] == -15.0


def test_analysis_stays_when_a_stem_is_removed(service: Service) -> None:
    service.store_stems(JOB)
    store_analysis(service)
    service.call("DELETE", f"/apiv1/remove/{JOB}/vocals")
    assert analysis(service).content == ANALYSIS


def test_missing_object_is_404(service: Service) -> None:
    service.store_stems(JOB)
    store_analysis(service)
    songs = service.song_store
    songs.store.delete(songs.output_bucket, analysis_file(JOB))
    assert analysis(service).status_code == 404


def test_owner_gets_the_analysis_of_a_song(visit: Visit, songs_service: Service) -> None:
    ann = visit("ann")
    song = ann.upload(MP3)
    path = f"/songs/{song['id']}/analysis.json"
    assert texts_of(ann.get(path))
    songs_service.work()
    store_analysis(songs_service, song["hash"])
    answer = ann.get(path)
    assert (answer.status_code, answer.content) == (200, ANALYSIS)
    assert answer.headers["Content-Type"] == "application/json"
    assert ann.get(path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert visit("bob").get(path).status_code == 404
    assert analysis(songs_service, song["hash"]).status_code == 404
