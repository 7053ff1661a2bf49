"""A connection to the broker in a thread of its own, which serves heartbeats and the calls of other threads.

A connection of pika is for one thread, and the broker ends one that sends no heartbeat. Work of hours
therefore runs elsewhere, and each call of it is handed to this thread.
"""

import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import pika
import pika.exceptions

from msaas.errors import MsaasError, QueueUnavailable
from msaas.logs import get_logger
from msaas.queue.rabbitmq.address import BrokerAddress

#: A side that is silent for twice this time is gone.
HEARTBEAT_S = 30
_CONNECT_S = 5.0
#: Of the handshake: TLS, login, open.
_HANDSHAKE_S = 10.0
#: Interval of the look at the channels without a call or a message.
_LOOK_S = 0.5
_FIRST_RETRY_S, _MAX_RETRY_S = 0.2, 5.0

log = get_logger()


class Session(Protocol):
    """The channels of one connection."""

    def check(self) -> None:
        """Raise an error of pika if a channel that deliveries depend on is closed."""

    def end(self) -> None:
        """Note that the connection is over. Its deliveries are lost."""


S = TypeVar("S", bound=Session)
T = TypeVar("T")


@dataclass(frozen=True)
class _Call(Generic[S]):
    act: Callable[[S], Any]
    result: "Future[Any]" = field(default_factory=Future)


class Link(Generic[S]):
    """Keeps a connection, as long as it is not closed. `on_open` makes the session of each connection."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        name: str,
        on_open: Callable[[pika.BlockingConnection], S],
        blocked_s: float,
        heartbeat_s: int = HEARTBEAT_S,
    ) -> None:
        self._parameters = _parameters(address, name=name, blocked_s=blocked_s, heartbeat_s=heartbeat_s)
        self._address = address
        self._on_open = on_open
        self._calls: queue.SimpleQueue[_Call[S]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._connection: pika.BlockingConnection | None = None
        #: Why there is no connection; empty while there is one, and before the first attempt.
        self._failure = ""
        #: The broker accepts no messages: an alarm of its memory or disk.
        self.is_blocked = False
        # pika logs a failed attempt in several lines of level error. `broker_unavailable` reports it.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        self._thread = threading.Thread(target=self._run, name=f"rabbitmq-{name}", daemon=True)
        self._thread.start()

    def call(self, act: Callable[[S], T], *, timeout_s: float) -> T:
        """Return `act(session)`, which runs in the thread of the connection.

        Raises:
            QueueUnavailable: there is no connection, or no answer within the time. Then `act` may run later
                only if it had begun.
            MsaasError: that of `act`.
        """
        if self._failure:
            raise QueueUnavailable(self._failure)
        call = _Call(act)
        self._calls.put(call)
        self._wake()
        try:
            result: T = call.result.result(timeout_s)
        except FutureTimeout:
            call.result.cancel()
            raise QueueUnavailable(f"{self._subject} did not answer within {timeout_s:g} s.") from None
        return result

    def close(self, *, timeout_s: float = 5.0) -> None:
        """End the connection."""
        self._closing.set()
        self._wake()
        self._thread.join(timeout_s)

    @property
    def _subject(self) -> str:
        return f"RabbitMQ at {self._address}"

    def _wake(self) -> None:
        """End the wait for the broker. Other threads may call `add_callback_threadsafe` only."""
        with self._lock, suppress(pika.exceptions.AMQPError):
            if self._connection:
                self._connection.add_callback_threadsafe(lambda: None)

    # The thread of the connection

    def _run(self) -> None:
        delay_s = _FIRST_RETRY_S
        while not self._closing.is_set():
            began = time.monotonic()
            self._note_failure(self._connect_and_serve())
            self._fail_calls()
            if time.monotonic() - began > _MAX_RETRY_S:
                delay_s = _FIRST_RETRY_S
            self._closing.wait(delay_s)
            delay_s = min(2 * delay_s, _MAX_RETRY_S)

    def _connect_and_serve(self) -> str:
        """Serve calls until the connection ends. Return the reason."""
        try:
            connection = pika.BlockingConnection(self._parameters)
            try:
                return self._serve(connection)
            finally:
                self.is_blocked = False
                with suppress(pika.exceptions.AMQPError, OSError):
                    connection.close()
        except MsaasError as error:
            return error.detail
        except (pika.exceptions.AMQPError, OSError) as error:
            return f"{self._subject}: {explain(error)}"
        except Exception as error:
            # The thread must not end: no further call would have an answer.
            log.exception("broker_link_failed")
            return f"{self._subject}: {type(error).__name__}"

    def _serve(self, connection: pika.BlockingConnection) -> str:
        self._watch_alarms(connection)
        session = self._on_open(connection)
        try:
            self._note_success(connection)
            self._answer_calls(connection, session)
        finally:
            with self._lock:
                self._connection = None
            session.end()
        return "The connection was closed."

    def _watch_alarms(self, connection: pika.BlockingConnection) -> None:
        def note_alarm(*_: object) -> None:
            self.is_blocked = True
            log.warning("broker_blocked", broker=str(self._address))

        def note_end(*_: object) -> None:
            self.is_blocked = False
            log.info("broker_unblocked", broker=str(self._address))

        connection.add_on_connection_blocked_callback(note_alarm)
        connection.add_on_connection_unblocked_callback(note_end)

    def _note_success(self, connection: pika.BlockingConnection) -> None:
        with self._lock:
            self._connection = connection
        if self._failure:
            log.info("broker_available", broker=str(self._address))
        self._failure = ""

    def _note_failure(self, reason: str) -> None:
        if not self._failure and not self._closing.is_set():
            log.warning("broker_unavailable", reason=reason)
        self._failure = reason

    def _answer_calls(self, connection: pika.BlockingConnection, session: S) -> None:
        while not self._closing.is_set():
            connection.process_data_events(time_limit=_LOOK_S)
            session.check()
            with suppress(queue.Empty):
                while True:
                    _answer(self._calls.get_nowait(), session)
                    session.check()

    def _fail_calls(self) -> None:
        with suppress(queue.Empty):
            while True:
                _settle(self._calls.get_nowait().result, error=QueueUnavailable(self._failure))


def _answer(call: _Call[S], session: S) -> None:
    """Run a call. Raises the error of a connection that is broken."""
    if not call.result.set_running_or_notify_cancel():
        return
    try:
        _settle(call.result, value=call.act(session))
    except (pika.exceptions.AMQPError, OSError) as error:
        _settle(call.result, error=QueueUnavailable(f"RabbitMQ: {explain(error)}"))
        raise
    except Exception as error:
        _settle(call.result, error=error)


def _settle(result: "Future[Any]", *, value: Any = None, error: Exception | None = None) -> None:
    """Set the result, which the caller may have given up."""
    with suppress(InvalidStateError):
        if error:
            result.set_exception(error)
        else:
            result.set_result(value)


def explain(error: BaseException) -> str:
    """Return the text of an error of pika for operators: many have an empty one."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    return f"{type(inner).__name__} {inner}"[:300].strip()


def version_of(connection: pika.BlockingConnection) -> tuple[int, ...]:
    """Return the version of the broker, `(3, 10, 8)`, empty if it tells none."""
    told = connection._impl.server_properties.get("version", b"")  # pika has no public name for it
    text = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
    return tuple(int(part) for part in text.split("-")[0].split(".") if part.isdigit())


def _parameters(
    address: BrokerAddress, *, name: str, blocked_s: float, heartbeat_s: int
) -> pika.ConnectionParameters:
    tls = pika.SSLOptions(ssl.create_default_context(), address.host) if address.has_tls else None
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.vhost,
        credentials=pika.PlainCredentials(address.user, address.password),
        ssl_options=tls,
        heartbeat=heartbeat_s,
        socket_timeout=_CONNECT_S,
        stack_timeout=_HANDSHAKE_S,
        blocked_connection_timeout=blocked_s,
        client_properties={"connection_name": name},
    )
