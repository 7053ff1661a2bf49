"""The list `logging` as a stream of lines, oldest first. The stream survives an outage of Redis."""

import threading
from collections.abc import Callable, Iterator

from msaas.errors import QueueUnavailable
from msaas.logs import get_logger
from msaas.printable import printable
from msaas.queue.redis.clients import BLOCK_S, RedisAddress, connect_blocking, our_errors

_RETRY_S = 1.0
#: A line of our services is shorter.
_MAX_LINE_CHARS = 4200

log = get_logger()


def lines(
    address: RedisAddress, *, key: str, stopping: threading.Event, heartbeat: Callable[[], None]
) -> Iterator[str]:
    """Yield each line once, until `stopping` is set. `heartbeat` is called every few seconds."""
    client, away = connect_blocking(address), False
    while not stopping.is_set():
        heartbeat()
        try:
            with our_errors():
                entry = client.brpop([key], timeout=BLOCK_S)
        except QueueUnavailable as error:
            if not away:
                log.warning("queue_unavailable", reason=error.detail)
            away = True
            stopping.wait(_RETRY_S)
            continue
        if away:
            log.info("queue_available")
        away = False
        if entry:
            # Any client of Redis may push an entry.
            yield printable(entry[1].decode(errors="replace"), max_chars=_MAX_LINE_CHARS)
