"""Start and end of a process."""

import logging
import os
import signal
import socket
import sys
import threading
from typing import NoReturn


def stop_on_signals() -> threading.Event:
    """Return an event that the first SIGTERM or SIGINT sets. Call it in the main thread.

    A Python handler runs in the main thread, which has two faults. It may interrupt `Event.wait` while that
    holds the lock which `Event.set` needs. And a signal that the kernel delivers to another thread does not
    end the wait of the main thread: its handler never runs. Python writes the number of a signal to the
    wakeup descriptor in any thread, at once, so a thread of its own reads it from there.
    """
    stopping = threading.Event()
    arrivals, wakeup = socket.socketpair()
    wakeup.setblocking(False)

    def await_signals() -> None:
        with wakeup:  # It stays open as long as the thread runs.
            while arrivals.recv(1):
                stopping.set()

    threading.Thread(target=await_signals, name="signals", daemon=True).start()
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return stopping


def end_process(exit_code: int) -> NoReturn:
    """End at once, without waiting for threads. The last log lines are written."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(exit_code)
