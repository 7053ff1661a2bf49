"""Server-sent events of jobs (WHATWG HTML, section 9.2): one watcher for all streams of the process.

A stream holds no thread. A client that reads slowly gets the latest status, not each one.
"""

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

from msaas.background import spawn
from msaas.errors import QueueUnavailable, TooBusy
from msaas.jobs import JobState, JobStatus
from msaas.logs import get_logger
from msaas.queue.protocol import JobQueue

_ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
#: A client connects again after this time.
_RETRY_MS = 2000

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class EventPolicy:
    """`streams` is the limit of the process, of which one client has half."""

    streams: int = 128
    #: The watcher asks the queue this often.
    poll_s: float = 0.5
    #: Without an event a comment is sent this often: proxies end silent connections.
    comment_s: float = 15.0


@dataclass(frozen=True)
class Event:
    """The status of a job as an event. Equal facts have the same id, in every process."""

    id: str
    data: str
    is_last: bool

    @classmethod
    def of(cls, status: JobStatus) -> "Event":
        facts = status.as_json(now=time.time())
        lasting = json.dumps({**facts, "eta_s": None}, sort_keys=True)
        event_id = hashlib.sha256(lasting.encode()).hexdigest()[:16]
        return cls(event_id, json.dumps(facts), status.state in _ENDED)

    def encode(self) -> bytes:
        return f"id: {self.id}\ndata: {self.data}\n\n".encode()


class EventStream:
    """The events of one job for one client. The bridge iterates it in the event loop, and closes it."""

    def __init__(
        self, first: Event, *, last_id: str, comment_s: float, on_close: Callable[["EventStream"], None]
    ) -> None:
        self._latest = first
        self._sent_id = last_id
        self._comment_s = comment_s
        self._on_close = on_close
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._is_closed = False

    def push(self, event: Event) -> None:
        """Replace the event that is sent next. For the thread of the watcher."""
        if event.id != self._latest.id:
            self._latest = event
            self._wake()

    def end(self) -> None:
        """End the stream without an event. For any thread."""
        self._is_closed = True
        self._wake()

    def close(self) -> None:
        self._on_close(self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._loop = asyncio.get_running_loop()
        yield f"retry: {_RETRY_MS}\n\n".encode()
        while True:
            event = self._latest
            # A stream that is closed at once has its first event all the same.
            if event.id != self._sent_id:
                self._sent_id = event.id
                yield event.encode()
            if event.is_last or self._is_closed:
                return
            if not await self._has_news():
                yield b": \n\n"

    async def _has_news(self) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), self._comment_s)
            self._news.clear()
            return True
        return False

    def _wake(self) -> None:
        if self._loop:
            with suppress(RuntimeError):  # The loop has ended.
                self._loop.call_soon_threadsafe(self._news.set)


class JobEvents:
    """Opens streams, and watches their jobs while there are any."""

    def __init__(self, queue: JobQueue, *, policy: EventPolicy = EventPolicy()) -> None:
        self._queue = queue
        self._policy = policy
        self._streams: defaultdict[str, set[EventStream]] = defaultdict(set)
        self._clients: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._is_watching = False

    @property
    def count(self) -> int:
        """The number of open streams."""
        return self._clients.total()

    def open(self, job_id: str, first: Event, *, client: str, last_id: str = "") -> EventStream:
        """Return a stream that begins with the event `first`, unless `last_id` is its id.

        Raises:
            TooBusy: there are too many streams, of this client or of all.
        """
        with self._lock:
            most = self._policy.streams
            if self.count >= most or self._clients[client] >= max(1, most // 2):
                raise TooBusy("Too many clients follow events. Ask for the job's status every few seconds.")

            def close(stream: EventStream) -> None:
                self._close(stream, job_id=job_id, client=client)

            stream = EventStream(first, last_id=last_id, comment_s=self._policy.comment_s, on_close=close)
            self._streams[job_id].add(stream)
            self._clients[client] += 1
            if not self._is_watching:
                self._is_watching = True
                spawn(self._watch, name="events")
        return stream

    def end_all(self) -> None:
        """End all streams: the process stops. Their clients connect again."""
        with self._lock:
            for streams in self._streams.values():
                for stream in streams:
                    stream.end()

    def _close(self, stream: EventStream, *, job_id: str, client: str) -> None:
        with self._lock:
            self._streams[job_id].discard(stream)
            if not self._streams[job_id]:
                del self._streams[job_id]
            self._clients[client] -= 1
            self._clients += Counter()

    def _watch(self) -> None:
        is_away = False
        while job_ids := self._watched():
            try:
                self._look(job_ids)
                is_away = False
            except QueueUnavailable as error:
                if not is_away:
                    log.warning("event_watch_failed", reason=str(error))
                is_away = True
            except Exception:
                log.exception("event_watch_failed")
            time.sleep(self._policy.poll_s)

    def _watched(self) -> list[str]:
        with self._lock:
            self._is_watching = bool(self._streams)
            return list(self._streams)

    def _look(self, job_ids: list[str]) -> None:
        for job_id, status in zip(job_ids, self._queue.statuses(job_ids), strict=True):
            with self._lock:
                streams = list(self._streams.get(job_id, ()))
            if status is None:
                for stream in streams:
                    stream.end()
            elif streams:
                event = Event.of(status)
                for stream in streams:
                    stream.push(event)
