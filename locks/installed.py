"""Print what an image installs: the entries of its locks that its platform needs."""

import re
import sys
from pathlib import Path

from packaging.markers import Marker

#: The images run Python 3.11 on Linux.
PLATFORM = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "python_version": "3.11",
    "python_full_version": "3.11.14",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
LOCKS = {"worker": ("torch-cpu", "worker"), "worker-gpu": ("torch-cuda", "worker")}
#: The images remove it after their build.
_BUILD_TOOLS = {"setuptools"}
_ENTRY = re.compile(r"^(?P<name>[\w.-]+)==\S+(?: ; (?P<marker>.+?))?(?: \\)?$(?:\n .*)*", flags=re.MULTILINE)


def entries_of(image: str) -> list[str]:
    """Return the entries of the locks of an image, with their hashes."""
    folder = Path(__file__).parent
    text = "".join((folder / f"{lock}.txt").read_text() for lock in LOCKS.get(image, (image,)))
    return [
        entry[0]
        for entry in _ENTRY.finditer(text)
        if entry["name"] not in _BUILD_TOOLS
        and (not entry["marker"] or Marker(entry["marker"]).evaluate(PLATFORM))
    ]


if __name__ == "__main__":
    print("\n".join(entries_of(sys.argv[1])))
