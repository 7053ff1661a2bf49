"""The live workers, for replies that are useful without them."""

from msaas.errors import QueueUnavailable
from msaas.queue.abilities import Fleet
from msaas.queue.protocol import JobQueue


def find_fleet(queue: JobQueue) -> Fleet | None:
    """Return the live workers, None while the queue does not answer."""
    try:
        return queue.fleet()
    except QueueUnavailable:
        return None
