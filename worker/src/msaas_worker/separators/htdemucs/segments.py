"""Segments are independent: on a processor each is worked out by one thread, several at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from torch import Tensor


class SegmentThreads:
    """Runs a batch of segments on `threads` threads; a segment that comes alone gets all of them.

    Threads that share a segment wait for each other after every operation, a thousand times a segment, and
    much longer when another process wants the processor. Threads with a segment each never wait.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], *, threads: int) -> None:
        self._forward = forward
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="segment")
        started = Barrier(threads)
        list(self._pool.map(_start, [started] * threads))
        # What a thread sets, threads that start later begin with.
        torch.set_num_threads(threads)

    def __call__(self, segments: Tensor) -> Tensor:
        if len(segments) == 1:
            return self._forward(segments)
        return torch.cat(list(self._pool.map(self._forward, segments.split(1))))


def _start(started: Barrier) -> None:
    torch.set_num_threads(1)
    started.wait()
