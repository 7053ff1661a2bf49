"""The contract between the services: names, messages, the queue, the stores, logs and settings."""

from msaas.logs import log_debug, log_info

__all__ = ["log_debug", "log_info"]
