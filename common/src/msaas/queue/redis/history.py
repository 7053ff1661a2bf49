"""The history of ended jobs on Redis, until it is in the database."""

from msaas.queue.history import HistoryBatch
from msaas.queue.redis.clients import RedisAddress, connect, our_errors
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.scripts import Scripts


class RedisHistory:
    """Implements `msaas.queue.history.HistoryQueue`."""

    def __init__(self, address: RedisAddress, *, keys: Keys = Keys()) -> None:
        self._keys = keys
        self._redis = connect(address)
        self._scripts = Scripts(self._redis)

    def read(self, *, limit: int) -> HistoryBatch:
        with our_errors():
            return HistoryBatch(tuple(self._redis.lrange(self._keys.history, 0, limit - 1)))

    def trim(self, batch: HistoryBatch) -> None:
        if not batch.entries:
            return
        with our_errors():
            self._scripts.call(
                "trim_history",
                keys={"history": self._keys.history},
                args={"first": batch.entries[0], "count": len(batch.entries)},
            )
