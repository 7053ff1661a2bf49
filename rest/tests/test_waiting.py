"""`GET /apiv1/queue`: the waiting jobs, page by page."""

import pytest
from rest.tests.in_memory import client_on

from msaas.jobs import Job
from msaas.queue.memory import InMemoryQueue

IDS = [digit * 64 for digit in "12345"]


@pytest.fixture
def queue() -> InMemoryQueue:
    queue = InMemoryQueue()
    for job_id in IDS:
        queue.enqueue(Job(job_id=job_id))
    return queue


def test_whole_list_has_no_cursor(queue: InMemoryQueue) -> None:
    assert client_on(queue=queue).get("/apiv1/queue").json == {"queue": IDS}


def test_cursor_leads_through_all_pages(queue: InMemoryQueue) -> None:
    client, cursor, pages = client_on(queue=queue), "", []
    while cursor is not None:
        page = client.get("/apiv1/queue", query_string={"limit": "2", "cursor": cursor}).get_json()
        pages.append(page["queue"])
        cursor = page.get("next")
    assert pages == [IDS[:2], IDS[2:4], IDS[4:]]


def test_list_is_cut_at_its_limit_by_default() -> None:
    queue = InMemoryQueue()
    for number in range(1001):
        queue.enqueue(Job(job_id=f"{number:064x}"))
    page = client_on(queue=queue).get("/apiv1/queue").get_json()
    assert (len(page["queue"]), page["next"]) == (1000, "1000")


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=-1", "limit=x", "cursor=-1", "cursor=1e9"])
def test_invalid_page_is_400(query: str) -> None:
    answer = client_on().get(f"/apiv1/queue?{query}")
    assert (answer.status_code, answer.get_json()["type"]) == (400, "urn:msaas:error:malformed_request")
