"""Comparison of texts that cross a wire with files in `golden/`, which only a person changes."""

import json
import os
import re
from pathlib import Path

import requests

_FOLDER = Path(__file__).parent / "golden"
#: Words for texts that differ from call to call.
_VOLATILE = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z"), "<time>"),
    (re.compile(r"msg_[0-9a-f]{24}"), "<delivery>"),
    (re.compile(r'(?<="request_id": ")[0-9a-f]{16}'), "<request>"),
]
_SHOWN_HEADERS = ("Content-Type", "Retry-After", "Content-Disposition", "Allow")


def assert_golden(name: str, text: str) -> None:
    """Compare `text` with the file `name`. `GOLDEN=write` writes the file before."""
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    text = text.rstrip("\n") + "\n"
    file = _FOLDER / name
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def describe(answer: requests.Response) -> str:
    """Return the status, the headers that clients read, and the body."""
    lines = [str(answer.status_code)]
    for name in _SHOWN_HEADERS:
        if name in answer.headers:
            lines.append(f"{name}: {', '.join(sorted(answer.headers[name].split(', ')))}")
    return "\n".join([*lines, "", json.dumps(answer.json(), indent=1, ensure_ascii=False)])
