"""Log lines of the engine: errors only, on stderr, because stdout has the results."""

import logging
import sys

from msaas.logs import configure_logging


def print_errors() -> None:
    """Set up the logs of this process."""
    configure_logging(service="msaas", level="error")
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)
