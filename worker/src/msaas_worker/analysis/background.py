"""Analysis in a thread beside the separation."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from msaas.logs import get_logger
from msaas_worker.analysis.analyser import SongAnalyser
from msaas_worker.audio.decoded import Audio, DecodedSong

T = TypeVar("T")

log = get_logger()


class BackgroundAnalysis:
    """Analyses a song while it is separated. An error ends the analysis, never the job.

    The separation waits if it is more than one region ahead, so that memory does not grow with the song.
    """

    def __init__(self, analyser: SongAnalyser, *, is_active: bool = True) -> None:
        self._analyser = analyser
        self._is_active = is_active
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="analysis")
        self._pending: Future[None] | None = None

    def watch(self, regions: Iterator[Audio], song: DecodedSong) -> Iterator[Audio]:
        """Yield the regions `[stems, 2, n]`, and analyse them. The stems are those of the analyser."""
        start = 0
        for region in regions:
            stop = start + region.shape[-1]
            self._feed(region, song, start, stop)
            yield region
            start = stop

    def finish(self) -> bytes | None:
        """Return the analysis as JSON, None if it failed."""
        self._wait()
        if not self._is_active:
            return None
        return self._pool.submit(self._guard, self._analyser.encode).result()

    def close(self) -> None:
        """End the thread after the region that it analyses."""
        self._pool.shutdown(cancel_futures=True)

    def _feed(self, region: Audio, song: DecodedSong, start: int, stop: int) -> None:
        def feed() -> None:
            self._analyser.feed(region, song.read(start, stop))

        self._wait()
        if self._is_active:
            self._pending = self._pool.submit(self._guard, feed)

    def _wait(self) -> None:
        if self._pending:
            self._pending.result()

    def _guard(self, step: Callable[[], T]) -> T | None:
        """Return `step()`, or None once a step has failed."""
        try:
            return step()
        except Exception:
            log.exception("analysis_failed")
            self._is_active = False
            return None
