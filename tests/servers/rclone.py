"""rclone from a wheel, as an S3 server."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Access, S3Server
from tests.tcp_proxy import TcpProxy


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
        keys = ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
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
