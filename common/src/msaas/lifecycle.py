"""Start and end of a process."""

import logging
import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import NoReturn


def stop_on_signals() -> threading.Event:
    """Return an event that the first SIGTERM or SIGINT sets. Call it in the main thread."""
    stopping = threading.Event()
    # A handler runs inside the main thread, also while it holds the lock of an event in `wait`: there
    # `stopping.set` would wait for itself. `SimpleQueue.put` alone may interrupt itself.
    arrived: SimpleQueue[None] = SimpleQueue()

    def await_signal() -> None:
        arrived.get()
        stopping.set()

    threading.Thread(target=await_signal, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: arrived.put(None))
    return stopping


def end_process(exit_code: int) -> NoReturn:
    """End at once, without waiting for threads. The last log lines are written."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(exit_code)
