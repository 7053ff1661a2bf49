"""The attempt at a song of a broker: a thread holds the delivery, each visible step verifies it."""

import time

from msaas.errors import LeaseLost, QueueUnavailable
from msaas.heartbeat import Beat, no_heartbeat
from msaas.logs import get_logger
from msaas.queue.songs import Delivery
from msaas_worker.attempt import OnStep, UnattendedAttempt, ignore_step
from msaas_worker.sources.policy import SourcePolicy
from msaas_worker.supervision.watchdog import OnStall, end_stalled
from msaas_worker.supervision.watched_attempt import WatchedAttempt

log = get_logger()


class DeliveryAttempt(WatchedAttempt, UnattendedAttempt):
    """Implements `Attempt`, without fragments. Use it as a context: the delivery is held inside.

    A delivery that is lost ends the work at its next look at `check`. Nothing is uploaded then.
    """

    def __init__(
        self,
        delivery: Delivery,
        *,
        policy: SourcePolicy = SourcePolicy(),
        on_stall: OnStall = end_stalled,
        heartbeat: Beat = no_heartbeat,
        on_step: OnStep = ignore_step,
    ) -> None:
        super().__init__(
            policy=policy,
            max_ticks=max(1, round(policy.stall_s / policy.look_s)),
            on_stall=on_stall,
            heartbeat=heartbeat,
            on_step=on_step,
        )
        self.delivery = delivery
        self._look_s, self._hold_retry_s = policy.look_s, policy.hold_retry_s
        self._hold_at = self._started + delivery.hold_every_s

    @property
    def job_id(self) -> str:
        return self.delivery.message.message_id

    @property
    def number(self) -> int:
        return self.delivery.attempt

    @property
    def releases(self) -> int:
        return self.delivery.message.releases

    def check(self) -> None:
        if self._is_lost or self.delivery.is_lost:
            raise LeaseLost(f"The delivery of song {self.job_id} is lost.")

    def _verify(self) -> None:
        self.delivery.verify()

    def _give_back(self) -> None:
        self.delivery.release()

    def _watch(self) -> None:
        """Hold the delivery and count the time without progress. No error ends the thread."""
        while not self._has_ended.wait(self._look_s):
            try:
                self._tick()
                if time.monotonic() >= self._hold_at and not self._is_lost:
                    self._hold()
            except LeaseLost:
                return
            except Exception:
                log.exception("hold_failed")

    def _hold(self) -> None:
        every_s = self.delivery.hold_every_s
        try:
            self.delivery.hold()
        except QueueUnavailable as error:
            log.warning("hold_failed", reason=error.detail)
            self._hold_at = time.monotonic() + min(self._hold_retry_s, every_s / 5)
        else:
            log.info("song_held")
            self._hold_at = time.monotonic() + every_s
