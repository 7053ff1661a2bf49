"""RabbitMQ of Debian."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pika
import pika.exceptions

from msaas.queue.rabbitmq.address import BrokerAddress
from tests.servers.base import Server, absent, free_port


class RabbitServer(Server):
    """RabbitMQ as Debian packages it, unprivileged, with an `epmd` of its own.

    `settings` are lines of `rabbitmq.conf`. The broker looks every `tick_s` for deliveries that timed out.
    """

    _BIN = Path("/usr/lib/rabbitmq/bin")

    def __init__(
        self, folder: Path, *, port: int | None = None, settings: Sequence[str] = (), tick_s: float = 60.0
    ) -> None:
        super().__init__(folder, port=port or free_port())
        self._epmd_port, self._dist_port = free_port(), free_port()
        self._write(settings, tick_s=tick_s)

    @classmethod
    def is_installed(cls) -> bool:
        return (cls._BIN / "rabbitmq-server").exists()

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress(host="127.0.0.1", port=self.port)

    @property
    def addr(self) -> str:
        """The value of BROKER_ADDR."""
        return f"127.0.0.1:{self.port}"

    def client(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port))

    def commands(self) -> list[list[str]]:
        epmd = ["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)]
        return [epmd, ["env", *self._environment(), str(self._BIN / "rabbitmq-server")]]

    def answers(self) -> bool:
        try:
            self.client().close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl`, which takes a second."""
        command = ["env", *self._environment(), str(self._BIN / "rabbitmqctl"), "--quiet", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout

    def ready(self, queue: str) -> int:
        """Return the number of messages that wait, 0 if the queue does not exist."""
        with self.client() as client:
            try:
                found = client.channel().queue_declare(queue, passive=True)
            except pika.exceptions.ChannelClosedByBroker:
                return 0
            return int(found.method.message_count)

    def _environment(self) -> list[str]:
        folder = self.folder.resolve()
        return [
            f"HOME={folder}",
            f"RABBITMQ_NODENAME=rabbit{self.port}@localhost",
            f"RABBITMQ_MNESIA_BASE={folder / 'data'}",
            f"RABBITMQ_LOG_BASE={folder / 'logs'}",
            f"RABBITMQ_CONFIG_FILE={folder / 'rabbitmq.conf'}",
            f"RABBITMQ_ADVANCED_CONFIG_FILE={folder / 'advanced.config'}",
            f"RABBITMQ_ENABLED_PLUGINS_FILE={folder / 'plugins'}",
            f"RABBITMQ_GENERATED_CONFIG_DIR={folder / 'generated'}",
            f"RABBITMQ_DIST_PORT={self._dist_port}",
            "ERL_EPMD_ADDRESS=127.0.0.1",
            f"ERL_EPMD_PORT={self._epmd_port}",
            # Schedulers that spin while they wait would take the cores from the processes under test.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        ]

    def _write(self, settings: Sequence[str], *, tick_s: float) -> None:
        lines = [f"listeners.tcp.1 = 127.0.0.1:{self.port}", "disk_free_limit.absolute = 1MB", *settings]
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        tick = f"[{{rabbit, [{{channel_tick_interval, {int(1000 * tick_s)}}}]}}].\n"
        (self.folder / "advanced.config").write_text(tick)
        (self.folder / "plugins").write_text("[].\n")


@contextlib.contextmanager
def rabbit_running(
    folder: Path, *, settings: Sequence[str] = (), tick_s: float = 60.0
) -> Iterator[RabbitServer]:
    if not RabbitServer.is_installed():
        absent("rabbitmq-server")
    server = RabbitServer(folder, settings=settings, tick_s=tick_s)
    try:
        yield server.start()
    finally:
        server.kill()
