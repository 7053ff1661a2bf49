"""`python -m msaas_logs` prints the list `logging` line by line until SIGTERM."""

import sys
import tempfile
from pathlib import Path

from msaas.bootstrap import redis_address
from msaas.lifecycle import stop_on_signals
from msaas.logs import configure_logging
from msaas.settings import load_or_exit
from msaas_logs.redis_lines import lines
from msaas_logs.settings import LogsSettings

#: Its age tells the probes of a pod that the printer lives.
_HEARTBEAT = Path(tempfile.gettempdir()) / "msaas-logs-heartbeat"


def main() -> None:
    settings = load_or_exit(
        LogsSettings, program="msaas_logs", description="Prints the log lines of all services."
    )
    stopping = stop_on_signals()
    # Without the Redis handler: the service would print its own lines.
    configure_logging(service="logs", level=settings.log_level)
    for line in lines(
        redis_address(settings), key=settings.redis_log_key, stopping=stopping, heartbeat=_HEARTBEAT.touch
    ):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
