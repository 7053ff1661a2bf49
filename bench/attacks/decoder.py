"""An MP3 that takes over the decoder: a library of the decoder is replaced by one that tries to escape."""

import json
import re
from pathlib import Path

from bench.attacks.release import Release
from bench.attacks.target import Check

from tests.faults.songs import song
from tests.processes import ROOT

_SECRET = "store-secret-of-the-worker"  # noqa: S105 - read by the attack
#: Runs in place of the interpreter of the decoder, with its arguments: `-I -m MODULE ...`.
_INTERPRETER = """#!{python} -I
import runpy, sys, types
sys.path.insert(0, {root!r})
from pathlib import Path
from worker.tests import escapes

def take_over(*_, **__):
    found = escapes.attempt_all(Path({folder!r}))
    try:
        environment = Path("/proc/" + str(escapes._PARENT) + "/environ").read_bytes()
    except OSError:
        environment = b""
    works = "".join("0" if error else "1" for error in found.values())
    raise ValueError("attempts:" + works + ("S" if {secret!r}.encode() in environment else ""))

class LibsndfileError(Exception):
    pass

for name, attribute in (("sphn", "FileReader"), ("soundfile", "SoundFile")):
    stub = types.ModuleType(name)
    setattr(stub, attribute, take_over)
    stub.LibsndfileError = LibsndfileError
    sys.modules[name] = stub
sys.argv = sys.argv[3:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
#: Runs the decoder as the worker does, but without ffmpeg, which decodes what a decoder does not.
_WORKER = """
import sys
from pathlib import Path
sys.executable = sys.argv[1]
try:
    from msaas_worker.audio import decoding
except ImportError:
    from msaas_worker import decoding
decoding.find_ffmpeg = lambda: None
song = Path(sys.argv[2])
try:
    decoding.decode(song, song.with_suffix(".f32"), max_duration_s=60)
except Exception as error:
    print(error)
"""
_NAMED = {
    "network": ("connect by IPv4", "send a datagram"),
    "fork": ("fork",),
    "environment of the worker": ("read the environment of the parent",),
    "another file": ("read another file of the user",),
    "write a file": ("create a file", "write another file"),
}


def take_over_the_decoder(release: Release, folder: Path) -> str:
    works, has_secret = _attempt(release, folder)
    named = [name for name, attempts in _NAMED.items() if any(works[each] for each in attempts)]
    secret = ", and the secret of the store is read" if has_secret else ""
    return f"{sum(works.values())} of {len(works)} attempts work: {', '.join(named) or 'none'}{secret}"


def _attempt(release: Release, folder: Path) -> tuple[dict[str, bool], bool]:
    """Return whether each attempt works in the decoder, and whether it reads a secret of the worker."""
    names = json.loads(
        release.run(
            f"import sys, json; sys.path.insert(0, {str(ROOT)!r})\n"
            "from pathlib import Path\nfrom worker.tests.escapes import escapes\n"
            "print(json.dumps(list(escapes(Path()))))"
        )
    )
    (folder / "other").write_text("x")
    (folder / "deletable").touch()
    (folder / "song.mp3").write_bytes(song(1, seconds=1))
    interpreter = folder / "interpreter"
    interpreter.write_text(
        _INTERPRETER.format(python=release.python, root=str(ROOT), folder=str(folder), secret=_SECRET)
    )
    interpreter.chmod(0o700)
    found = release.run(_WORKER, str(interpreter), str(folder / "song.mp3"), MINIO_SECRET_KEY=_SECRET)
    match = re.search(r"attempts:([01]+)(S?)", found)
    if match is None:
        raise RuntimeError(f"The decoder was not taken over: {found[:200]}")
    return {name: each == "1" for name, each in zip(names, match[1], strict=True)}, bool(match[2])


CHECKS = (Check(row=13, damage="attempts of a decoder that an MP3 took over", run=take_over_the_decoder),)
