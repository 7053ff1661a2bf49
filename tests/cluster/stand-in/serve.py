"""rclone's S3 server on the ports, with the credentials and the health paths of MinIO."""

import asyncio
import os
import signal
import sys
from pathlib import Path

_DATA, _PORT, _CONSOLE, _RCLONE = Path("/data"), 9000, 9001, 9100
_HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_HEALTH = b"GET /minio/health/"
_CHUNK_BYTES = 256 * 1024


async def main() -> None:
    rclone = await asyncio.create_subprocess_exec(*_command())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, rclone.terminate)
    await asyncio.start_server(_serve, "0.0.0.0", _PORT)
    await asyncio.start_server(_console, "0.0.0.0", _CONSOLE)
    await rclone.wait()


def _command() -> list[str]:
    keys = f"{os.environ['MINIO_ROOT_USER']},{os.environ['MINIO_ROOT_PASSWORD']}"
    fresh = ["--dir-cache-time", "1ms", "--vfs-cache-mode", "off"]
    address = f"127.0.0.1:{_RCLONE}"
    rclone = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", "--addr", address]
    return [*rclone, "--auth-key", keys, *fresh, "--config", os.devnull, str(_DATA)]


async def _console(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEALTHY)
    await writer.drain()
    writer.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        first = await reader.read(_CHUNK_BYTES)
        source, sink = await asyncio.open_connection("127.0.0.1", _RCLONE)
    except OSError:
        return writer.close()
    if first.startswith(_HEALTH):
        writer.write(_HEALTHY)
        sink.close()
        return writer.close()
    sink.write(first)
    await asyncio.gather(_pass(reader, sink), _pass(source, writer, reply=True), return_exceptions=True)


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
