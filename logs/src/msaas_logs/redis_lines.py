"""The list `logging` as a stream of lines, oldest first; it outlives the Redis it comes from."""

import logging
import threading
from collections.abc import Callable, Iterator

from msaas.errors import QueueUnavailable
from msaas.redis_clients import BLOCK_S, RedisAddress, connect_blocking, our_errors

_RETRY_S = 1.0

_logger = logging.getLogger("msaas")


def lines(
    address: RedisAddress, *, key: str, stopping: threading.Event, beat: Callable[[], None]
) -> Iterator[str]:
    """Yield each line once, until `stopping` is set; `beat` is called every few seconds at least."""
    client, away = connect_blocking(address), False
    while not stopping.is_set():
        beat()
        try:
            with our_errors():
                entry = client.brpop([key], timeout=BLOCK_S)
        except QueueUnavailable as error:
            if not away:
                _logger.warning("redis_away", extra={"fields": {"detail": error.detail}})
            away = True
            stopping.wait(_RETRY_S)
            continue
        if away:
            _logger.warning("redis_back")
        away = False
        if entry:
            yield entry[1].decode(errors="replace")
