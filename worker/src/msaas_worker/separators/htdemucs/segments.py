"""Several segments at a time on a processor, one thread each."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Barrier

import torch
from torch import Tensor


class SegmentThreads:
    """Computes each segment of a batch in one of `threads` threads. A single segment uses all threads.

    Threads that share a segment wait for each other after every operation, a thousand times a segment, and
    longer when another process uses the processor. Threads with a segment each do not wait.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], *, threads: int) -> None:
        self._forward = forward
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="segment")
        started = Barrier(threads)
        list(self._pool.map(_start, [started] * threads))
        # Threads that start later inherit this number.
        torch.set_num_threads(threads)

    def __call__(self, segments: Tensor) -> Tensor:
        if len(segments) == 1:
            return self._forward(segments)
        # Each call has its own copy: a context cannot be entered twice at a time.
        runs = [partial(copy_context().run, self._forward, each) for each in segments.split(1)]
        return torch.cat(list(self._pool.map(lambda run: run(), runs)))


def _start(started: Barrier) -> None:
    # The first operation of a thread gives it the number that the process set last, unless it asked before.
    torch.get_num_threads()
    torch.set_num_threads(1)
    started.wait()
