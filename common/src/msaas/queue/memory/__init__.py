"""In-memory twins of the queue and the outbox: same behaviour, no server."""

from msaas.queue.memory.consumer import InMemoryConsumer
from msaas.queue.memory.jobs import InMemoryQueue
from msaas.queue.memory.outbox import InMemoryOutbox

__all__ = ["InMemoryConsumer", "InMemoryOutbox", "InMemoryQueue"]
