"""The contract between the services: names, messages, the queue, the stores, logs and settings."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msaas.logs import log_debug, log_info

__all__ = ["log_debug", "log_info"]


def __getattr__(name: str) -> Any:
    """Import the log functions at their first use: most modules of this package need no logs."""
    if name in __all__:
        from msaas import logs

        return getattr(logs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
