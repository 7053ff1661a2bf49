"""In-memory twins of the queue, the outbox, the song registry and the history: same behaviour, no server."""

from msaas.queue.memory.consumer import InMemoryConsumer
from msaas.queue.memory.history import InMemoryHistory
from msaas.queue.memory.jobs import InMemoryQueue
from msaas.queue.memory.outbox import InMemoryOutbox
from msaas.queue.memory.song_registry import InMemorySongRegistry

__all__ = ["InMemoryConsumer", "InMemoryHistory", "InMemoryOutbox", "InMemoryQueue", "InMemorySongRegistry"]
