"""Write the lock of each image and of `make setup`: the packages of constraints.txt with their SHA-256.

`make lock` runs it with uv, which asks the package index. A lock has the wheels of all platforms.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[1]
FOLDER = TOP / "locks"
#: Images, which install their own part and `common`.
IMAGES = ("rest", "worker", "keeper", "logs")
PARTS = ("common", "catalogue", *IMAGES, "local", "client")
TOOLS = ("uv", "pip-audit", "cyclonedx-bom")
#: The index of torch for processors. PyPI's torch for Linux needs the libraries of CUDA.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_CUDA = re.compile(r"cuda-|nvidia-|triton$")
_TORCH = re.compile(rf"torch$|{_CUDA.pattern}")
_ENTRY = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")


def requirements_of(part: str, extras: str = "") -> Iterator[str]:
    """Yield the requirements of a part and of the parts it needs."""
    pyproject = tomllib.loads((TOP / part / "pyproject.toml").read_text())
    yield from pyproject["build-system"]["requires"]
    optional = pyproject["project"].get("optional-dependencies", {})
    for each in [*pyproject["project"]["dependencies"], *optional.get(extras, [])]:
        if match := re.fullmatch(r"msaas(?:-(\w+))?(?:\[(\w+)\])?", each):
            yield from requirements_of(match[1] or "common", match[2] or "")
        else:
            yield each


def requirements() -> dict[str, list[str]]:
    """Return the requirements of each lock. torch and its libraries of CUDA have locks of their own."""
    developers = (TOP / "requirements-dev.txt").read_text().splitlines()
    everything = [each for part in PARTS for each in requirements_of(part)]
    return {
        **{image: list(requirements_of(image)) for image in IMAGES},
        "dev": [*everything, *(line for line in developers if not line.startswith("#"))],
        "training": list(requirements_of("training")),
        "tools": list(TOOLS),
        "torch-cuda": ["torch"],
    }


def compile_lock(wanted: list[str], *options: str) -> list[str]:
    """Return one entry for each package: its name and version, and its hashes on further lines."""
    resolved = subprocess.run(
        [
            *("uv", "pip", "compile", "-", "--quiet", "--universal", "--python-version", "3.11"),
            *("--generate-hashes", "--no-annotate", "--no-header", "--constraints", "constraints.txt"),
            *("--overrides", "locks/overrides.txt", *options),
        ],
        cwd=TOP,
        input="\n".join(sorted(set(wanted))),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return re.findall(r"^\S.*(?:\n .*)*", resolved.stdout, flags=re.MULTILINE)


def name_of(entry: str) -> str:
    match = _ENTRY.match(entry)
    assert match, entry
    return match[1]


def cpu_builds_of(torch: str) -> str:
    """Return the builds without CUDA of the version in the entry, which are listed with the suffix `+cpu`.

    Without a connection to the index, the entry in the lock is kept while its version is the same.
    """
    version = torch.split()[0]
    try:
        (found,) = compile_lock([f"{version}+cpu"], "--no-deps", "--default-index", CPU_INDEX)
    except subprocess.CalledProcessError:
        old = (FOLDER / "torch-cpu.txt").read_text()
        if f"\n{version} " not in old:
            sys.exit(f"locks: {version} of {CPU_INDEX} was not found.")
        print(f"locks: {CPU_INDEX} cannot be reached. The hashes of {version} stay.", file=sys.stderr)
        return old[old.index(version) :].rstrip()
    return found.replace("+cpu", "", 1)


def write(name: str, entries: list[str]) -> None:
    text = "# Written by `make lock` from constraints.txt and the pyproject.toml files.\n"
    (FOLDER / f"{name}.txt").write_text(text + "".join(f"{entry}\n" for entry in entries))


def main() -> None:
    for name, wanted in requirements().items():
        entries = compile_lock(wanted)
        if name == "torch-cuda":
            (torch,) = (each for each in entries if name_of(each) == "torch")
            write("torch-cpu", [cpu_builds_of(torch)])
            write(name, [torch, *(each for each in entries if _CUDA.match(name_of(each)))])
        else:
            write(name, [each for each in entries if not _TORCH.match(name_of(each))])


if __name__ == "__main__":
    main()
