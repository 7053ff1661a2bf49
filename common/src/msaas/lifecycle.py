"""SIGTERM and SIGINT ask a process to end; it finishes what it must and exits 0."""

import signal
import threading


def stop_on_signals() -> threading.Event:
    """Return an event that the first SIGTERM or SIGINT sets. Call it in the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
