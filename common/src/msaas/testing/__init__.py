"""In-memory twins of the queue, the outbox and the store: the same behaviour, no server."""

from msaas.testing.consumer import InMemoryConsumer
from msaas.testing.outbox import InMemoryOutbox
from msaas.testing.queue import InMemoryQueue
from msaas.testing.store import InMemoryStore

__all__ = ["InMemoryConsumer", "InMemoryOutbox", "InMemoryQueue", "InMemoryStore"]
