"""OpenStack Swift of Debian, as an S3 server."""

import contextlib
import getpass
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.servers.base import absent, free_port
from tests.servers.s3 import SECRET_KEY, S3Server


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
    proxy = _SWIFT_PROXY.format(port=server.port, folder=folder, user=user, secret=SECRET_KEY)
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
