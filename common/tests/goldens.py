"""Golden files: the bytes of every wire format."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "golden"


def golden(name: str) -> str:
    return (_FOLDER / name).read_text().removesuffix("\n")
