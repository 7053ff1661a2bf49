"""Structured logs: one JSON object a line on stdout, through structlog and the standard library.

Lines of third-party libraries pass through the same handlers. Every value may come from outside: it is made
printable and cut. A service may add a handler that sends its
lines elsewhere, such as `msaas.queue.redis.log_list.RedisLogHandler`.
"""

import logging
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from msaas.printable import printable

_ROOT = "msaas"
#: Libraries report at this level and above, independent of `LOG_LEVEL`.
_THIRD_PARTY_LEVEL = logging.WARNING

EventDict = MutableMapping[str, Any]


def get_logger() -> structlog.stdlib.BoundLogger:
    """Return the logger of this project. Events are `noun_verb` in the past. Facts are keyword arguments."""
    return structlog.stdlib.get_logger(_ROOT)


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add `fields`, and those of `bind_log` calls inside, to every line of this thread."""
    saved = get_contextvars()
    bind_contextvars(**fields)
    try:
        yield
    finally:
        clear_contextvars()
        bind_contextvars(**saved)


def bind_log(**fields: Any) -> None:
    """Add `fields` to the lines of this thread until the surrounding `log_context` ends."""
    bind_contextvars(**fields)


def clear_log() -> None:
    """Forget the fields of this thread."""
    clear_contextvars()


def log_info(text: str, **fields: Any) -> None:
    """Log a step of a job at level info. Never fails, never blocks."""
    get_logger().info(text, **fields)


def log_debug(text: str, **fields: Any) -> None:
    """Log a detail at level debug. Never fails, never blocks."""
    get_logger().debug(text, **fields)


def configure_logging(
    *,
    service: str,
    level: str,
    handlers: Iterable[logging.Handler] = (),
    stream: TextIO | None = None,
    fields: Mapping[str, Any] = {},
) -> None:
    """Set up the logs of this process: a stream, by default stdout, and the given handlers.

    `fields`, for example the name of the worker, stand in every line.
    """
    shared = [
        _add_context,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_fields({"service": service, **fields}),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # The configuration of a process may change: tests do it.
        cache_logger_on_first_use=False,
    )
    lines = logging.StreamHandler(stream or sys.stdout)
    lines.setFormatter(_formatter(shared, _to_json))
    root = logging.getLogger()
    root.handlers[:] = [lines]
    for handler in handlers:
        handler.setFormatter(_formatter(shared, to_text))
        root.addHandler(handler)
    root.setLevel(_THIRD_PARTY_LEVEL)
    logging.getLogger(_ROOT).setLevel(level.upper())


def _formatter(shared: list[Any], render: Any) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, _name_logger],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _make_printable, render],
    )


def _add_context(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add the fields of the thread by name: context variables have no order."""
    for name, value in sorted(get_contextvars().items()):
        event.setdefault(name, value)
    return event


def _add_fields(fields: dict[str, Any]) -> Any:
    def add(_logger: Any, _method: str, event: EventDict) -> EventDict:
        for name, value in fields.items():
            event.setdefault(name, value)
        return event

    return add


def _name_logger(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add the name of the library that wrote the line."""
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event


def _make_printable(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}


_FIRST = ("time", "level", "service", "event")
_to_json_text = structlog.processors.JSONRenderer(default=str)


def _to_json(logger: Any, method: str, event: EventDict) -> str:
    ordered = {name: event[name] for name in _FIRST if name in event} | dict(
        structlog.processors.format_exc_info(logger, method, event)
    )
    if "exception" in ordered:
        ordered["exception"] = "\n".join(map(printable, str(ordered["exception"]).split("\n")))
    return str(_to_json_text(logger, method, ordered))


def to_text(_logger: Any, _method: str, event: EventDict) -> str:
    """Render `<event> <field>=<value> …` on one line. An exception is named, without its traceback."""
    facts = {
        name: value for name, value in event.items() if name not in ("time", "level", "service", "event")
    }
    error = facts.pop("exc_info", None)
    if error:
        kind, value = sys.exc_info()[:2] if error is True else _kind_and_value(error)
        facts["exception"] = "".join(traceback.format_exception_only(kind, value)).strip()
    if event.get("level") in ("warning", "error", "critical"):
        facts["level"] = event["level"]
    return " ".join([str(event["event"]), *(f"{name}={value}" for name, value in facts.items())])


def _kind_and_value(error: Any) -> tuple[Any, Any]:
    return (type(error), error) if isinstance(error, BaseException) else (error[0], error[1])
