"""`python -m msaas_logs` prints the list `logging` line by line until SIGTERM."""

import sys
import tempfile
from pathlib import Path

from msaas.lifecycle import stop_on_signals
from msaas.redis_log import start_logging
from msaas.settings import load_or_exit
from msaas_logs.redis_lines import lines
from msaas_logs.settings import LogsSettings


def main() -> None:
    settings = load_or_exit(LogsSettings)
    stopping = stop_on_signals()
    # Not onto the list: it would print itself.
    start_logging(service="logs", level=settings.log_level, address=None)
    # Its age tells the probes of a pod whether the printer lives.
    heartbeat = Path(tempfile.gettempdir()) / "msaas-logs-heartbeat"
    address, key = settings.redis_address, settings.redis_log_key
    for line in lines(address, key=key, stopping=stopping, beat=heartbeat.touch):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
