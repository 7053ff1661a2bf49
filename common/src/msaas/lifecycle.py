"""Start and end of a process."""

import logging
import os
import signal
import sys
import threading
from typing import NoReturn


def stop_on_signals() -> threading.Event:
    """Return an event that the first SIGTERM or SIGINT sets. Call it in the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def end_process(exit_code: int) -> NoReturn:
    """End at once, without waiting for threads. The last log lines are written."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(exit_code)
