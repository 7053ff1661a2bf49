"""Send the songs of data/ to the service (env REST, host:port) as its clients do, and read the queue."""

import base64
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import jsonpickle
import requests

REST = os.environ.get("REST") or "localhost:5000"
SONGS = sorted((Path(__file__).parent / "data").glob("*.mp3"))
#: The service posts `data` to it when the stems of a song are stored.
CALLBACK_URL = "http://localhost:5000"
_TIMEOUT_S = 60


def main() -> int:
    """Return 0 when every reply was a 200."""
    ArgumentParser(description=__doc__).parse_args()
    replies = [_separate(song) for song in SONGS]
    return 0 if all([*replies, _queue()]) else 1


def _separate(song: Path) -> bool:
    request = {
        "mp3": base64.b64encode(song.read_bytes()).decode("ascii"),
        "callback": {"url": CALLBACK_URL, "data": {"mp3": song.name, "data": "to be returned"}},
    }
    return _call("post", "apiv1/separate", request)


def _queue() -> bool:
    return _call("get", "apiv1/queue", None)


def _call(method: str, path: str, data: Any) -> bool:
    """Print the reply; return whether its status code is 200."""
    try:
        response = requests.request(
            method,
            f"http://{REST}/{path}",
            data=jsonpickle.encode(data, keys=True),
            headers={"Content-Type": "application/json"},
            timeout=_TIMEOUT_S,
        )
    except requests.RequestException as error:
        sys.stderr.write(f"{method} {path} failed: no reply from {REST} ({type(error).__name__})\n")
        return False
    if response.status_code == 200:
        sys.stdout.write(f"{method} {path}: {response.text.strip()}\n")
        return True
    sys.stderr.write(f"{method} {path} failed: {response.status_code} {response.text.strip()}\n")
    return False


if __name__ == "__main__":
    sys.exit(main())
