"""Uploads that take memory, hold the budget of others or pass the limit of the queue."""

import time
from collections import Counter
from contextlib import ExitStack, suppress

import requests
from bench.attacks.target import FRAME, JSON, MIB, MPEG, SONG, Attack, Target, head_of, status_of


def send_large_json(target: Target) -> str:
    target.reset_peaks()
    before = target.peak_bytes()
    body = b'{"mp3": "' + b"QUJD" * (50 * MIB // 4) + "\U0001f600".encode()
    answer = requests.post(
        f"{target.url}/apiv1/separate", data=body, headers={"Content-Type": "application/json"}, timeout=120
    )
    return f"{answer.status_code}, +{(target.peak_bytes() - before) / MIB:.0f} MiB"


def hold_the_budget(target: Target) -> str:
    """One client stops in the middle of six uploads. Another one, at another address, sends a song."""
    part = b'{"mp3": "' + b"QUJD" * (5 * MIB // 8)
    head = head_of("/apiv1/separate", method="POST", headers=f"{JSON}Content-Length: {len(part) + 1000}\r\n")
    song = FRAME * (3 * MIB // 2 // len(FRAME))
    with ExitStack() as stack:
        for _ in range(6):
            client = stack.enter_context(target.connect())
            client.settimeout(1)
            # The service may stop to read, or refuse the upload.
            with suppress(OSError):
                client.sendall(head.encode() + part)
            time.sleep(0.3)
        with target.connect(address="127.0.0.2") as other:
            length = f"{MPEG}Content-Length: {len(song)}\r\nConnection: close\r\n"
            with suppress(OSError):
                other.sendall(head_of("/apiv1/separate", method="POST", headers=length).encode() + song)
            answer = other.recv(4096)
    return f"a song of 1.5 MiB is {status_of(answer)}"


def begin_uploads(target: Target) -> str:
    length = f"{MPEG}Content-Length: {len(SONG) + 8}\r\nConnection: close\r\n"
    head = head_of("/apiv1/separate", method="POST", headers=length).encode()
    with ExitStack() as stack:
        clients = [stack.enter_context(target.connect()) for _ in range(40)]
        for client in clients:
            client.sendall(head + SONG)
        time.sleep(1)
        for number, client in enumerate(clients):
            client.sendall(bytes([number]) * 8)
        statuses = Counter(status_of(client.recv(4096)) for client in clients)
    return f"{dict(statuses)}"


ATTACKS = (
    Attack(row=4, damage="JSON of 50 MiB that ends with an emoji", run=send_large_json),
    Attack(
        row=5,
        damage="6 uploads of one client stop half-way, a budget of 16 MiB",
        run=hold_the_budget,
        environment={"MAX_UPLOAD_MB": "2", "MAX_IN_FLIGHT_MB": "16"},
    ),
    Attack(
        row=8, damage="40 begun uploads, `MAX_QUEUED=3`", run=begin_uploads, environment={"MAX_QUEUED": "3"}
    ),
)
