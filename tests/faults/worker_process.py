"""A real worker with a quick engine that may meet a fate at an exact step.

`FATES` in its environment holds, separated by commas, `FATE:EVENT:NUMBER:JOB`: `kill`, `stop` or `hang` when
the worker tells the event for the NUMBER-th time, of JOB alone if there is one. With `FATES_MET`, a folder,
each fate is met by one worker only. `ENGINE=real` runs the real engines.
"""

import logging
import os
import signal
import sys
import time
from pathlib import Path

if os.environ.get("ENGINE") != "real":
    from tests.faults import quick_engine

    sys.modules["msaas_worker.separators.library"] = quick_engine

from msaas_worker.__main__ import main


class Fate(logging.Filter):
    """Log lines are told between the steps, in the thread that does the job: there the fate waits."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._fate, self._event, number, *job = text.split(":")
        self._left, self._job = int(number), "".join(job)

    def filter(self, record: logging.LogRecord) -> bool:
        fields = getattr(record, "fields", {})
        if record.getMessage() == self._event and self._job in ("", fields.get("job")):
            self._left -= 1
            if self._left == 0 and self._is_mine():
                self._meet()
        return True

    def _is_mine(self) -> bool:
        met = os.environ.get("FATES_MET")
        if not met:
            return True
        try:
            (Path(met) / self._text).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _meet(self) -> None:
        if self._fate == "hang":
            time.sleep(3600)
        os.kill(os.getpid(), signal.SIGKILL if self._fate == "kill" else signal.SIGSTOP)
        # A stop takes effect a little later, in which this thread must not go on.
        time.sleep(0.5)


if __name__ == "__main__":
    for fate in filter(None, os.environ.get("FATES", "").split(",")):
        logging.getLogger("msaas").addFilter(Fate(fate))
    main()
