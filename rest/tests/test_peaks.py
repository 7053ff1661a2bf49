"""`GET /apiv1/job/<id>/peaks/<stem>` over HTTP."""

import io
from dataclasses import replace

from rest.tests.service import Service

from msaas.fragments import Fragments
from msaas.jobs import Job
from msaas.models import FOUR_STEMS

JOB = "a" * 64
PEAKS = bytes(range(200)) * 10


def peaks(service: Service, stem: str = "vocals", **headers: str):  # type: ignore[no-untyped-def]
    return service.get(f"/apiv1/job/{JOB}/peaks/{stem}", headers=headers)


def store_result(service: Service) -> None:
    service.store_stems(JOB)
    songs = service.song_store
    manifest = songs.manifest(JOB)
    assert manifest
    for stem in FOUR_STEMS:
        songs.put_peaks(JOB, stem, manifest.stems[stem], PEAKS)


def test_peaks_of_a_finished_stem_are_served_with_an_etag(service: Service) -> None:
    store_result(service)
    answer = peaks(service)
    assert (answer.status_code, answer.content) == (200, PEAKS)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert peaks(service, **{"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert peaks(service, "base").content == PEAKS


def test_results_without_peaks_are_404(service: Service) -> None:
    assert peaks(service).json()["type"] == "urn:msaas:error:peaks_not_found"
    service.store_stems(JOB)
    assert peaks(service).status_code == 404
    assert peaks(service, "horns").status_code == 422


def test_peaks_grow_with_the_fragments_of_a_running_job(service: Service) -> None:
    service.queue.enqueue(Job(job_id=JOB))
    worker = service.queue.consumer("w1")
    payload = worker.take(timeout_s=1) or b""
    claim = worker.claim(Job.decode(payload), payload=payload)
    fragments = Fragments(job_id=JOB, tag="t", stems=FOUR_STEMS)
    assert peaks(service).status_code == 404
    for number in (1, 2):
        service.song_store.prepare()
        service.song_store.fragments.put(fragments, "vocals", number=number, mp3=b"mp3")
        service.song_store.fragments.put_peaks(fragments, "vocals", PEAKS[: 100 * number])
        fragments = fragments.with_next(until_s=5.0 * number)
        worker.renew(claim, progress=0.1 * number, fragments=fragments)
        answer = peaks(service)
        assert answer.content == PEAKS[: 100 * number]
        assert answer.headers["Cache-Control"] == "no-store"


def test_peaks_go_with_their_stem(service: Service) -> None:
    store_result(service)
    service.call("DELETE", f"/apiv1/remove/{JOB}/vocals")
    assert peaks(service).status_code == 404
    assert peaks(service, "drums").status_code == 200
    names = [each.key for each in service.song_store.outputs()]
    assert sum(name.endswith(".peaks") for name in names) == 3


def test_peaks_of_an_earlier_result_are_not_served(service: Service) -> None:
    store_result(service)
    songs = service.song_store
    manifest = songs.manifest(JOB)
    assert manifest
    other = songs.put_stem(JOB, "vocals", io.BytesIO(b"another model"))
    songs.put_manifest(replace(manifest, stems={**manifest.stems, "vocals": other}))
    assert peaks(service).status_code == 404
    assert peaks(service, "drums").status_code == 200
