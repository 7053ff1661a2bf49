"""The parts that the REST service is made of: real ones here, a test may bring its own."""

from dataclasses import dataclass

from msaas.queue import JobQueue, Outbox
from msaas.redis_outbox import RedisOutbox
from msaas.redis_queue import RedisQueue
from msaas.tracks import Tracks
from msaas_rest.budget import Budget
from msaas_rest.settings import RestSettings

#: An API call has 2 s to say that the store is away.
_ANSWER_S = 1.0


@dataclass(frozen=True)
class Parts:
    settings: RestSettings
    queue: JobQueue
    outbox: Outbox
    #: Answers soon or not at all.
    tracks: Tracks
    #: The same store, given the time that a whole song takes.
    uploads: Tracks
    budget: Budget


def bootstrap(settings: RestSettings) -> Parts:
    """Return the real parts; nothing is sent before their first use."""
    return Parts(
        settings,
        queue=RedisQueue(settings.redis_address, keys=settings.keys, policy=settings.policy),
        outbox=RedisOutbox(settings.redis_address, keys=settings.keys, policy=settings.policy),
        tracks=settings.tracks(read_timeout_s=_ANSWER_S),
        uploads=settings.tracks(),
        budget=Budget(settings.max_in_flight_bytes),
    )
