"""rclone's S3 server on the ports, with the credentials, the users and the health paths of MinIO.

A user has all rights: rclone knows no policies.
"""

import asyncio
import io
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from minio.crypto import decrypt

_PORT, _CONSOLE, _RCLONE = (int(port) for port in os.environ.get("STAND_IN_PORTS", "9000 9001 9100").split())
_DATA = Path(os.environ.get("STAND_IN_DATA", "/data"))
#: In the root of the data, which holds buckets only, a file is not served.
_USERS = _DATA / ".users.json"
_ROOT = os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"]
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_HEALTH, _ADMIN = b"GET /minio/health/", b"PUT /minio/admin/v3/"
_CHUNK_BYTES = 256 * 1024


class Body(io.BytesIO):
    """The body of a request, for a library that reads it as an answer."""

    def release_conn(self) -> None:
        """Do nothing."""


class Rclone:
    """The server. A new user restarts it: its users are arguments."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopping = False

    async def run(self) -> None:
        while not self._is_stopping:
            self._process = await asyncio.create_subprocess_exec(*_command())
            await self._process.wait()

    def stop(self) -> None:
        self._is_stopping = True
        self._end()

    async def restart(self) -> None:
        before = self._process
        self._end()
        while self._process is before or not await _listens():
            await asyncio.sleep(0.02)

    def _end(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.terminate()


async def _listens() -> bool:
    try:
        _, sink = await asyncio.open_connection("127.0.0.1", _RCLONE)
    except OSError:
        return False
    sink.close()
    return True


def _users() -> dict[str, str]:
    return json.loads(_USERS.read_text()) if _USERS.exists() else {}


def _command() -> list[str]:
    fresh = ["--dir-cache-time", "1ms", "--vfs-cache-mode", "off"]
    keys = [("--auth-key", f"{access},{secret}") for access, secret in (_ROOT, *_users().items())]
    rclone = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", "--addr", f"127.0.0.1:{_RCLONE}"]
    return [*rclone, *(word for pair in keys for word in pair), *fresh, "--config", os.devnull, str(_DATA)]


async def main() -> None:
    rclone = Rclone()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, rclone.stop)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(reader, writer, rclone)

    await asyncio.start_server(serve, "0.0.0.0", _PORT)
    await asyncio.start_server(_console, "0.0.0.0", _CONSOLE)
    await rclone.run()


async def _console(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _answer(writer)


async def _answer(writer: asyncio.StreamWriter) -> None:
    writer.write(_OK)
    await writer.drain()
    writer.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rclone: Rclone) -> None:
    first = await reader.read(_CHUNK_BYTES)
    if first.startswith(_HEALTH):
        # Without rclone it is not ready.
        return await _answer(writer) if await _listens() else writer.close()
    if first.startswith(_ADMIN):
        await _administer(first, reader, rclone)
        return await _answer(writer)
    try:
        source, sink = await asyncio.open_connection("127.0.0.1", _RCLONE)
    except OSError:
        return writer.close()
    sink.write(first)
    await asyncio.gather(_pass(reader, sink), _pass(source, writer, reply=True), return_exceptions=True)


async def _administer(first: bytes, reader: asyncio.StreamReader, rclone: Rclone) -> None:
    """Add a user. All other calls, those of policies, do nothing."""
    while b"\r\n\r\n" not in first:
        first += await reader.read(_CHUNK_BYTES)
    head, body = first.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    body += await reader.readexactly(int(length[1]) - len(body) if length else 0)
    url = urlsplit(head.split()[1].decode())
    if not url.path.endswith("/add-user"):
        return
    (access_key,) = parse_qs(url.query)["accessKey"]
    body_to_read: Any = Body(body)
    user = json.loads(decrypt(body_to_read, _ROOT[1]))
    users = {**_users(), access_key: user["secretKey"]}
    if users != _users():
        _USERS.write_text(json.dumps(users))
        await rclone.restart()


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, reply: bool = False) -> None:
    try:
        while chunk := await source.read(_CHUNK_BYTES):
            # rclone sends its errors as `text/xml`, which the `minio` client rejects.
            sink.write(
                chunk.replace(b"Content-Type: text/xml", b"Content-Type: application/xml") if reply else chunk
            )
            await sink.drain()
    finally:
        sink.close()


if __name__ == "__main__":
    asyncio.run(main())
