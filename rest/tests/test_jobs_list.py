"""`GET /apiv1/jobs` over HTTP."""

from typing import Any

import pytest
from rest.tests.service import FRAME, Service

from msaas.songs import song_hash


def send(service: Service, number: int) -> str:
    mp3 = FRAME * (60 + number)
    assert service.send(mp3).status_code == 200
    return song_hash(mp3)


def page(service: Service, **query: object) -> dict[str, Any]:
    answer = service.get("/apiv1/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ids(page: dict[str, Any]) -> list[str]:
    return [job["songhash"] for job in page["jobs"]]


def test_latest_jobs_come_first_page_by_page(service: Service) -> None:
    sent = [send(service, number) for number in range(5)]
    first = page(service, limit=2)
    second = page(service, limit=2, cursor=first["next"])
    third = page(service, limit=2, cursor=second["next"])
    assert ids(first) + ids(second) + ids(third) == sent[::-1]
    assert "next" not in third or ids(page(service, cursor=third["next"])) == []


def test_jobs_are_filtered_by_state(service: Service) -> None:
    sent = [send(service, number) for number in range(3)]
    service.work()
    service.call("DELETE", f"/apiv1/job/{sent[1]}")
    assert ids(page(service, state="done")) == [sent[0]]
    assert ids(page(service, state="queued")) == [sent[2]]
    assert ids(page(service, state="queued,cancelled")) == [sent[2], sent[1]]
    assert ids(page(service, state="running")) == []


def test_listed_job_is_the_job_object(service: Service) -> None:
    (job_id,) = [send(service, 0)]
    (listed,) = page(service)["jobs"]
    assert {**listed, "links": None} == service.get(f"/apiv1/job/{job_id}").json()
    assert (listed["state"], listed["position"]) == ("queued", 1)


def test_song_that_was_done_already_is_listed(service: Service) -> None:
    job_id = song_hash(FRAME * 60)
    service.store_stems(job_id)
    send(service, 0)
    assert [(job["songhash"], job["state"]) for job in page(service)["jobs"]] == [(job_id, "done")]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=1_-", "state=dead"])
def test_invalid_page_is_refused(service: Service, query: str) -> None:
    assert service.get(f"/apiv1/jobs?{query}").status_code == 400
