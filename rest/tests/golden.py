"""What crosses a wire is compared with a file that only a person changes."""

import os
import re
from pathlib import Path

_FOLDER = Path(__file__).parent / "golden"
#: What differs from call to call, by its look.
_VOLATILE = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "<time>"),
    (re.compile(r"msg_[0-9a-f]{24}"), "<delivery>"),
]


def assert_golden(name: str, text: str) -> None:
    """`GOLDEN=write` writes the file instead."""
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    file = _FOLDER / name
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text.rstrip("\n") + "\n")
    assert text.rstrip("\n") + "\n" == file.read_text()
