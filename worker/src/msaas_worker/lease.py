"""A lease is kept while its job makes progress, and confirmed before each step that others see."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from msaas import log_info
from msaas.errors import LeaseLost, QueueUnavailable
from msaas.pieces import Pieces
from msaas.queue import Claim, Consumer, QueuePolicy
from msaas_worker.heartbeat import Beat, unheard

#: A player that follows the progress is told this often.
_PUBLISH_S = 0.5
_QUEUE_AWAY_S = 0.5
#: A job that has not moved over this many renewals, five leases, hangs: no segment takes that long.
#: Renewals are counted, not seconds: a process that was stopped for a while does not hang.
_STALL_RENEWALS = 30
#: EX_SOFTWARE: whoever looks at the exit code sees that it was no kill from outside.
STALLED_EXIT = 70
#: A job that was given back this often is held to its end, whoever wants the worker gone.
_MAX_GIVE_BACKS = 5


def end_stalled(job_id: str) -> None:
    """A thread that hangs cannot be ended, a process can: the reaper finds the job."""
    log_info("job_stalled", job=job_id)
    logging.shutdown()
    os._exit(STALLED_EXIT)


class Lease:
    """Use it as a context; all methods but `show` and `give_back` are for the thread that does the job."""

    def __init__(
        self,
        consumer: Consumer,
        claim: Claim,
        *,
        policy: QueuePolicy,
        on_stall: Callable[[str], None] = end_stalled,
        beat: Beat = unheard,
    ) -> None:
        self.claim = claim
        self._consumer = consumer
        self._policy = policy
        self._on_stall = on_stall
        self._beat = beat
        self._progress = 0.0
        self._model: str | None = None
        self._device: str | None = None
        self._started = time.monotonic()
        self._still = 0
        self._lost = False
        self._is_watched = True
        self._news, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._news.set()

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Let something take its time that has a limit of its own."""
        self._is_watched = False
        try:
            yield
        finally:
            self._still = 0
            self._is_watched = True

    def tell(self, *, model: str, device: str) -> None:
        self._model, self._device = model, device
        self._news.set()

    def moved(self, progress: float | None = None) -> None:
        """Note that the job goes on. Raises `LeaseLost`."""
        if self._lost:
            raise LeaseLost(self.claim.job.songhash)
        self._still = 0
        if progress is not None:
            self._progress = progress
            self._news.set()
        self._show()

    def confirm(self) -> None:
        """Return once the queue has said that the lease is ours. Raises `LeaseLost`."""
        while True:
            self.moved()
            try:
                return self._renew()
            except QueueUnavailable:
                time.sleep(_QUEUE_AWAY_S)

    def show(self, pieces: Pieces) -> None:
        """Tell the queue, now, what can be heard. Raises `LeaseLost` or `QueueUnavailable`."""
        self._renew(pieces)

    def eta_s(self) -> float:
        if not self._progress:
            return float("inf")
        return (time.monotonic() - self._started) * (1 - self._progress) / self._progress

    def is_held(self) -> bool:
        return self.claim.give_backs >= _MAX_GIVE_BACKS

    def give_back(self) -> None:
        """Return the job as if never taken; the thread that does it learns so at its next step."""
        self._lost = True
        self._consumer.give_back(self.claim)

    def _show(self) -> None:
        self._beat(job=self.claim.job.songhash, progress=round(self._progress, 4))

    def _renew(self, pieces: Pieces | None = None) -> None:
        try:
            self._consumer.renew(
                self.claim, progress=self._progress, model=self._model, device=self._device, pieces=pieces
            )
        except LeaseLost:
            self._lost = True
            raise

    def _keep(self) -> None:
        while not self._ended.wait(min(_PUBLISH_S, self._policy.renew_s)):
            self._news.wait(self._policy.renew_s)
            self._news.clear()
            self._still += 1
            if not self._is_watched:
                self._show()
            elif self._still > _STALL_RENEWALS:
                return self._on_stall(self.claim.job.songhash)
            if not self._lost:
                with suppress(LeaseLost, QueueUnavailable):
                    self._renew()
