"""Interruption of long work: the decoder, layers of networks and uploads check whether it is wanted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _go_on() -> None:
    pass


_check: ContextVar[Callable[[], None]] = ContextVar("check", default=_go_on)


@contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Let `check_interruption` call `check` inside this context, in the same thread."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def check_interruption() -> None:
    """Raise the error of work that is not wanted any more."""
    _check.get()()
