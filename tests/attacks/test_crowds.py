"""Crowds that linger, say nothing, or trickle: the other clients do not notice."""

import asyncio
from collections.abc import Callable

import pytest
from rest.tests.conftest import Start

from tests.attacks.crowd import Waits, be_silent, crowd, linger, measure, trickle


async def wait_among(port: int, *, each: int, requests: int) -> Waits:
    async with crowd(linger, be_silent, trickle, port=port, each=each):
        return await measure(port, "/apiv1/queue", requests=requests)


@pytest.mark.long
@pytest.mark.fault("T1")
@pytest.mark.parametrize(
    ("each", "p99_s"),
    [(100, 2.0), pytest.param(500, 0.1, marks=pytest.mark.alone)],
)
def test_others_are_answered_among_a_crowd(
    start: Start, figure: Callable[[str], None], each: int, p99_s: float
) -> None:
    waits = asyncio.run(wait_among(start().settings.port, each=each, requests=200))
    figure(f"{each} of each: {waits}")
    assert waits.failed == 0
    assert waits.p99_s <= p99_s
