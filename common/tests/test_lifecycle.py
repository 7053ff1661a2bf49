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


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("program", [_SIGNAL_UNDER_LOCK, _SIGNAL_IN_WAIT], ids=["under-lock", "in-wait"])
def test_signal_sets_the_event(program: str, name: str) -> None:
    command = [sys.executable, "-c", program.format(name=name)]
    assert subprocess.run(command, timeout=_TIMEOUT_S).returncode == 0
