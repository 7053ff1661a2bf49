"""One client with 200 songs, and three with one each: the waiting times through a running stack."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import requests
from rest.tests.service import FRAME

from tests.journeys.stack import Stack, running
from tests.servers import wait_until

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(600)]

SONGS = 200
HEAVY, *LIGHT = (f"key-of-client-{number}-0123456789" for number in range(4))


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("fairness") / "home"
    with running(home, API_KEYS=",".join((HEAVY, *LIGHT))) as stack:
        yield stack


def call(stack: Stack, method: str, path: str, key: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {key}", **body.pop("headers", {})}
    reply = requests.request(method, f"{stack.url}/apiv1/{path}", headers=headers, timeout=20, **body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def send(stack: Stack, key: str, number: int) -> str:
    """Send a song of 2 s and some milliseconds."""
    mp3 = FRAME * (77 + number)
    headers = {"Content-Type": "audio/mpeg"}
    return str(call(stack, "POST", "separate", key, data=mp3, headers=headers)["songhash"])


def seconds_waited(job: dict[str, Any]) -> float:
    created, started = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    return (started - created).total_seconds()


def test_two_hundred_songs_of_one_client_do_not_delay_the_others(
    stack: Stack, figure: Callable[[str], None]
) -> None:
    heavy = [send(stack, HEAVY, number) for number in range(SONGS)]
    light = [send(stack, key, SONGS + number) for number, key in enumerate(LIGHT)]
    positions = [call(stack, "GET", f"job/{job_id}", HEAVY)["position"] for job_id in (*light, heavy[-1])]

    def are_done() -> bool:
        return all(call(stack, "GET", f"job/{each}", HEAVY)["state"] == "done" for each in light)

    wait_until(are_done, timeout_s=120)
    jobs = [call(stack, "GET", f"job/{job_id}", HEAVY) for job_id in light]
    waits = [seconds_waited(job) for job in jobs]
    done = call(stack, "GET", "jobs?state=done&limit=100", HEAVY)["jobs"]
    last = call(stack, "GET", f"job/{heavy[-1]}", HEAVY)
    text = (
        f"waits of one song each: {', '.join(f'{each:.1f} s' for each in waits)}, positions "
        f"{positions[:3]} before {positions[3]}, {len(done) - 3} songs of the first client done meanwhile"
    )
    figure(text)
    print(text)
    assert all(position is None or position <= 5 for position in positions[:3])
    assert positions[3] > SONGS / 2
    assert last["state"] == "queued"
    # In the order of a single queue they would wait for all of them.
    assert len(done) - len(LIGHT) < SONGS / 4
    for job_id in heavy:
        requests.delete(
            f"{stack.url}/apiv1/job/{job_id}", headers={"Authorization": f"Bearer {HEAVY}"}, timeout=20
        )
    assert call(stack, "GET", "queue", HEAVY) == {"queue": []}
