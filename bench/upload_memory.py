"""Memory of `rest` during the upload of a large WAV: the largest resident set, before and during each upload.

    python -m bench.upload_memory [--mb 5 500] [--bodies raw form JSON]

The service runs as it is served, with a directory store and Redis. Each song is sent as a raw body, as a
form and as base64 in JSON, by a client that streams it.
"""

import argparse
import base64
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests
from bench.upload_rate import running_service
from rest.tests.test_upload_memory import peak_bytes, reset_peak

_CHUNK_BYTES = 3 * 2**18
_RATE_HZ, _CHANNELS, _SAMPLE_BYTES = 44_100, 2, 3
_FORM = "multipart/form-data; boundary=b"


def wav(megabytes: int, *, seed: int) -> Iterator[bytes]:
    """Yield a WAV of 24 bits. Each seed makes another song."""
    size = megabytes * 10**6 // _CHUNK_BYTES * _CHUNK_BYTES
    frame_bytes = _CHANNELS * _SAMPLE_BYTES
    fmt = struct.pack(
        "<HHIIHH", 1, _CHANNELS, _RATE_HZ, _RATE_HZ * frame_bytes, frame_bytes, 8 * _SAMPLE_BYTES
    )
    # 48 bytes, so that base64 may be written in pieces.
    head = b"RIFF" + struct.pack("<I", size + 40) + b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt
    yield (head + b"data" + struct.pack("<I", size)).ljust(48, b"\0")
    samples = struct.pack("<I", seed) * (_CHUNK_BYTES // 4)
    for _ in range(size // _CHUNK_BYTES):
        yield samples


def form(song: Iterator[bytes]) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="song.wav"\r\n\r\n'
    yield from song
    yield b"\r\n--b--\r\n"


def as_json(song: Iterator[bytes]) -> Iterator[bytes]:
    yield b'{"mp3": "'
    yield from map(base64.b64encode, song)
    yield b'"}'


_BODIES: dict[str, tuple[str, Callable[[Iterator[bytes]], Iterator[bytes]]]] = {
    "raw": ("audio/wav", lambda song: song),
    "form": (_FORM, form),
    "JSON": ("application/json", as_json),
}


def rows(sizes_mb: list[int], bodies: list[str], folder: Path) -> Iterator[str]:
    with running_service(folder, MAX_UPLOAD_MB="600") as (port, process):
        url = f"http://127.0.0.1:{port}/apiv1/separate"
        for kind in bodies:
            media_type, body = _BODIES[kind]
            for number, megabytes in enumerate(sizes_mb):
                reset_peak(process)
                before, began = peak_bytes(process), time.monotonic()
                song = wav(megabytes, seed=hash((kind, number)) & 0xFFFF)
                answer = requests.post(
                    url, data=body(song), headers={"Content-Type": media_type}, timeout=600
                )
                assert answer.status_code == 200, answer.text
                took_s = time.monotonic() - began
                peak = peak_bytes(process)
                yield (
                    f"| {kind} | {megabytes} MB | {before / 2**20:.0f} MiB | {peak / 2**20:.0f} MiB "
                    f"| {(peak - before) / 2**20:.1f} MiB | {took_s:.1f} s |"
                )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mb", type=int, nargs="+", default=[5, 500])
    parser.add_argument("--bodies", nargs="+", choices=list(_BODIES), default=list(_BODIES))
    options = parser.parse_args()
    print("| body | song | before | peak | more | time |\n|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(options.mb, options.bodies, Path(folder)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
