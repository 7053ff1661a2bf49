"""The disk budget: limits, shares, and no uploads that wait for each other."""

import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msaas_rest.http.disk_budget import DiskBudget, Upload, YieldPolicy

CLIENTS = ("ann", "bob", "eve")


async def is_waiting(task: "asyncio.Task[None]") -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


def test_upload_beyond_the_share_of_its_client_waits_for_the_end_of_another() -> None:
    async def run() -> None:
        budget = DiskBudget(100)
        with ExitStack() as first, budget.admit(client="ann", expected_bytes=30) as second:
            await budget.take(first.enter_context(budget.admit(client="ann", expected_bytes=30)), 30)
            taking = asyncio.ensure_future(budget.take(second, 30))
            assert await is_waiting(taking)
            first.close()
            await taking
            assert budget.taken_bytes == 30
        assert budget.taken_bytes == 0

    asyncio.run(run())


def test_client_finds_room_while_another_has_used_up_its_share() -> None:
    async def run() -> None:
        budget = DiskBudget(100)
        with ExitStack() as stack:
            for client in ("eve", "ann"):
                upload = stack.enter_context(budget.admit(client=client, expected_bytes=50))
                await asyncio.wait_for(budget.take(upload, 50), timeout=1)
            assert budget.taken_bytes == 100

    asyncio.run(run())


@given(
    uploads=st.lists(
        st.tuples(st.sampled_from(CLIENTS), st.integers(1, 50), st.integers(1, 20)), min_size=1, max_size=12
    )
)
def test_uploads_all_end_and_the_limits_hold(uploads: list[tuple[str, int, int]]) -> None:
    """Each upload has a client, a size, and the size of its chunks."""

    async def run() -> None:
        budget = DiskBudget(100)
        held: list[Upload] = []

        async def send(client: str, size: int, chunk: int) -> None:
            with budget.admit(client=client, expected_bytes=size) as upload:
                held.append(upload)
                for start in range(0, size, chunk):
                    await budget.take(upload, min(chunk, size - start))
                    assert budget.taken_bytes <= 100
                    assert sum(each.taken_bytes for each in held if each.client == client) <= 50
                    await asyncio.sleep(0)
                held.remove(upload)

        await asyncio.wait_for(asyncio.gather(*(send(*each) for each in uploads)), timeout=5)
        assert budget.taken_bytes == 0

    asyncio.run(run())


def test_upload_that_sends_nothing_takes_no_room() -> None:
    async def run() -> None:
        budget = DiskBudget(100)
        with (
            budget.admit(client="eve", expected_bytes=50),
            budget.admit(client="eve", expected_bytes=50),
            budget.admit(client="ann", expected_bytes=50) as upload,
        ):
            await asyncio.wait_for(budget.take(upload, 50), timeout=1)

    asyncio.run(run())


@pytest.mark.parametrize("size", [51, 100])
def test_upload_larger_than_a_share_waits(size: int) -> None:
    async def run() -> None:
        budget = DiskBudget(100)
        with budget.admit(client="ann", expected_bytes=size) as upload:
            taking = asyncio.ensure_future(budget.take(upload, 1))
            assert await is_waiting(taking)
            taking.cancel()

    asyncio.run(run())


#: Times in s, as short as a test allows.
QUICK = YieldPolicy(patience_s=0.05, window_s=0.2, min_bytes_per_s=100, look_s=0.02)


@pytest.mark.parametrize("client", ["ann", "eve"])
def test_waiting_upload_ends_the_slowest_one(client: str) -> None:
    """Two clients hold the whole budget. One brings bytes, the other none."""

    async def run() -> None:
        budget, ended = DiskBudget(100_000, policy=QUICK), asyncio.Event()
        with ExitStack() as idle, ExitStack() as busy:
            first = idle.enter_context(budget.admit(client="eve", expected_bytes=50_000))
            second = busy.enter_context(budget.admit(client="bob", expected_bytes=50_000))
            second.end = lambda: pytest.fail("the busy upload was ended")
            await budget.take(first, 49_999)
            await budget.take(second, 40_000)
            first.end = ended.set

            async def bring() -> None:
                for _ in range(100):
                    await budget.take(second, 50)
                    await asyncio.sleep(0.01)

            bringing = asyncio.ensure_future(bring())
            with budget.admit(client=client, expected_bytes=20_000) as third:
                taking = asyncio.ensure_future(budget.take(third, 20_000))
                await asyncio.wait_for(ended.wait(), timeout=2)
                assert not taking.done()
                idle.close()
                await asyncio.wait_for(taking, timeout=1)
            bringing.cancel()

    asyncio.run(run())


def test_upload_that_waits_for_this_service_is_not_ended() -> None:
    async def run() -> None:
        budget = DiskBudget(100, policy=QUICK)
        with ExitStack() as stack:
            for client in ("eve", "bob"):
                # Its body is complete: it has no `end`.
                await budget.take(stack.enter_context(budget.admit(client=client, expected_bytes=50)), 50)
            upload = stack.enter_context(budget.admit(client="ann", expected_bytes=10))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(budget.take(upload, 10), timeout=0.8)

    asyncio.run(run())
