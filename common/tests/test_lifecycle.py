"""A signal sets the event, whatever the main thread does at that moment."""

import subprocess
import sys

import pytest

_TIMEOUT_S = 20

#: The signal arrives while the main thread holds the lock of the event: `Event.wait` holds it for a moment.
_SIGNAL_UNDER_LOCK = """
import os, signal
from msaas.lifecycle import stop_on_signals

stopping = stop_on_signals()
with stopping._cond:
    os.kill(os.getpid(), signal.{name})
    for _ in range(1000):
        pass
assert stopping.wait(10)
"""

_SIGNAL_IN_WAIT = """
import os, signal, threading
from msaas.lifecycle import stop_on_signals

stopping = stop_on_signals()
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.{name})).start()
assert stopping.wait(10)
"""

#: The kernel may deliver a signal of the process to any thread. It does not end the wait of the main thread.
_SIGNAL_IN_ANOTHER_THREAD = """
import signal, threading, time
from msaas.lifecycle import stop_on_signals

stopping = stop_on_signals()

def signal_itself():
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.{name})
    time.sleep(20)

threading.Thread(target=signal_itself, daemon=True).start()
assert stopping.wait(10)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    "program",
    [_SIGNAL_UNDER_LOCK, _SIGNAL_IN_WAIT, _SIGNAL_IN_ANOTHER_THREAD],
    ids=["under-lock", "in-wait", "in-another-thread"],
)
def test_signal_sets_the_event(program: str, name: str) -> None:
    command = [sys.executable, "-c", program.format(name=name)]
    assert subprocess.run(command, timeout=_TIMEOUT_S).returncode == 0
