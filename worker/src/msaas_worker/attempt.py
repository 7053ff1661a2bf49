"""The attempt at a song: how a separation reports its progress and learns that it is not wanted any more."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Protocol


class Step(StrEnum):
    """Steps of a job, in order. Fault tests stop a worker at them."""

    CLAIMED = "claimed"
    SONG_FETCHED = "song_fetched"
    SONG_DECODED = "song_decoded"
    SONG_SEPARATED = "song_separated"
    STEM_STORED = "stem_stored"
    MANIFEST_STORED = "manifest_stored"
    RESULT_UPLOADED = "result_uploaded"
    FINISHED = "finished"
    WEBHOOK_DELIVERED = "webhook_delivered"


class OnStep(Protocol):
    """Called after each step."""

    def __call__(self, step: Step, *, job_id: str) -> None: ...


def ignore_step(step: Step, *, job_id: str) -> None:
    """Hook of a worker that nothing observes."""


class Attempt(Protocol):
    """One attempt at a song.

    All methods but `check` and `publish_fragment` are for the thread that separates.
    """

    #: Whether fragments are wanted at all.
    publishes: bool

    def set_model(self, *, model: str, requested: str, device: str) -> None:
        """Tell which model runs, and which was requested."""

    def report_progress(self, share: float | None = None) -> None:
        """Report that the work goes on, and its share that is done (0 to 1). Raises `LeaseLost`."""

    def check(self) -> None:
        """Raise `LeaseLost` if it is known that the work is not wanted any more. Sends nothing."""

    def verify(self) -> None:
        """Return once it is certain that the work is still wanted. Raises `LeaseLost`."""

    def set_duration(self, duration_s: float) -> None:
        """Tell the length of the song."""

    def pause_watchdog(self) -> AbstractContextManager[None]:
        """Allow silence during work that has its own time limit."""

    def publish_fragment(
        self, stems: Mapping[str, bytes], *, until_s: float, peaks: Mapping[str, bytes] = {}
    ) -> None:
        """Store the next fragment of each stem; they end `until_s` seconds into the song.

        `peaks` are those of each stem up to there.

        Any error ends them.
        """

    def clean_up(self, discard: Callable[[], None]) -> None:
        """Call `discard`, which deletes what was stored, if the work was cancelled.

        If another worker goes on with it, its results have the same names.
        """

    def reach(self, step: Step) -> None:
        """Mark a step as done."""


class UnattendedAttempt:
    """Implements `Attempt` for work without a queue: nothing is reported, nothing is lost."""

    publishes = False

    def set_model(self, *, model: str, requested: str, device: str) -> None:
        pass

    def report_progress(self, share: float | None = None) -> None:
        pass

    def check(self) -> None:
        pass

    def verify(self) -> None:
        pass

    def set_duration(self, duration_s: float) -> None:
        pass

    def pause_watchdog(self) -> AbstractContextManager[None]:
        return nullcontext()

    def publish_fragment(
        self, stems: Mapping[str, bytes], *, until_s: float, peaks: Mapping[str, bytes] = {}
    ) -> None:
        pass

    def clean_up(self, discard: Callable[[], None]) -> None:
        pass

    def reach(self, step: Step) -> None:
        pass
