"""Fragment publisher: stores encoded parts of the stems while the job runs, so that clients can play them."""

import threading
from collections.abc import Iterator, Sequence

from msaas.background import spawn
from msaas.errors import LeaseLost, Unavailable
from msaas.logs import get_logger
from msaas_worker.attempt import Attempt
from msaas_worker.audio.encoders.mp3_layout import Mp3Layout
from msaas_worker.audio.encoding import StemEncoder

# Fragments are measured in units of 49 frames, 1.28 s at 44.1 kHz: each begins with a frame, and at the
# same byte of the sound in every attempt.
#: 5.12 s: less than one segment of the model, so that the first segment can be played.
_MIN_UNITS = 4
#: 51.2 s, which are 2 MB at 320 kbit/s.
_MAX_UNITS = 40
#: A fragment is at most this part of the stem before it: long songs have few, and players have time.
_GROWTH = 10

log = get_logger()


def spans(unit_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the first byte and the end of each fragment, the same for the sound of every stem."""
    first = 0
    while True:
        units = min(max(first // _GROWTH, _MIN_UNITS), _MAX_UNITS)
        yield first * unit_bytes, (first + units) * unit_bytes
        first += units


class FragmentPublisher:
    """Implements `StemObserver`, in a thread of its own: an error ends the publication, never the job.

    The first fragment has the head of the stem in front of its sound. Without a layout there are none.
    """

    def __init__(self, attempt: Attempt, layout: Mp3Layout | None) -> None:
        self._attempt, self._layout = attempt, layout
        self._is_active = attempt.publishes and layout is not None
        self._has_news, self._is_closed = threading.Event(), threading.Event()

    def start_observing(self, stems: Sequence[StemEncoder]) -> None:
        if self._is_active and self._layout:
            spawn(self._run, stems, self._layout, name="fragments")

    def is_active(self) -> bool:
        return self._is_active

    def on_bytes(self) -> None:
        self._has_news.set()

    def close(self) -> None:
        """Publish nothing more, without waiting for a fragment that is being stored."""
        self._is_closed.set()
        self._has_news.set()

    def _run(self, stems: Sequence[StemEncoder], layout: Mp3Layout) -> None:
        try:
            self._publish_all(stems, layout)
        except Exception as error:
            # After the end of the job its folder is gone, and so may be its lease.
            if not self._is_closed.is_set():
                _report(error)
        finally:
            self._is_active = False

    def _publish_all(self, stems: Sequence[StemEncoder], layout: Mp3Layout) -> None:
        for start, end in spans(layout.unit_bytes):
            if not self._wait_until_encoded(stems, end):
                return
            until = min(end, *(each.sound_bytes for each in stems))
            if until <= start:
                return
            fragments = {each.stem: each.read(start, end) for each in stems}
            until_s = round(layout.until_s(until), 3)
            peaks = {each.stem: each.peaks(until_s=until_s) for each in stems}
            self._attempt.publish_fragment(fragments, until_s=until_s, peaks=peaks)

    def _wait_until_encoded(self, stems: Sequence[StemEncoder], end: int) -> bool:
        """Wait until every stem has `end` bytes of sound or is whole; return False once closed."""
        while not self._is_closed.is_set():
            self._has_news.clear()
            if all(each.is_whole or each.sound_bytes >= end for each in stems):
                return True
            self._has_news.wait()
        return False


def _report(error: Exception) -> None:
    """Warn that no further fragments follow. An unexpected error has its traceback."""
    if isinstance(error, LeaseLost | Unavailable):
        log.warning("fragments_stopped", reason=str(error))
    else:
        log.warning("fragments_stopped", reason=f"{type(error).__name__}: {error}", exc_info=error)
