"""Crowds that linger, say nothing, or trickle: the other clients do not notice."""

import asyncio
from collections.abc import Callable

import pytest
from rest.tests.conftest import Start

from tests.attacks.crowd import Waits, be_silent, crowd, linger, measure, trickle


async def wait_among(port: int, *, each: int, requests: int) -> Waits:
    async with crowd(linger, be_silent, trickle, port=port, each=each):
        return await measure(port, "/apiv1/queue", requests=requests)


@pytest.mark.fault("T1")
def test_others_are_answered_among_a_crowd(start: Start, figure: Callable[[str], None]) -> None:
    service = start()
    waits = asyncio.run(wait_among(service.settings.port, each=100, requests=50))
    figure(f"100 of each: {waits}")
    assert waits.failed == 0
    assert waits.p99_s <= 2.0


@pytest.mark.alone
@pytest.mark.fault("T1")
def test_others_are_answered_at_once_among_1500(start: Start, figure: Callable[[str], None]) -> None:
    service = start()
    waits = asyncio.run(wait_among(service.settings.port, each=500, requests=200))
    figure(f"500 of each: {waits}")
    assert waits.failed == 0
    assert waits.p99_s <= 0.1
