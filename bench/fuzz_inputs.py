"""Mutated files of all kinds of input: does MSaaS separate the files that ffmpeg and mpg123 play?

    python -m bench.fuzz_inputs [--files 2000] [--jobs 2] [--keep FOLDER]

Each file is checked as `rest` checks an upload, and then decoded as the worker does. A file falls short if
each reference decodes from 90 to 150 % of the length of the whole file, and MSaaS less than 90 %. The
references of an MP3 are ffmpeg and mpg123, that of another file is ffmpeg. The exit status is 1 if a file
falls short, or if decoding ends otherwise than by a result or the error of a bad song.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random

from worker.tests import mpeg_kinds
from worker.tests.input_kinds import FFMPEG_KINDS, JOINED_KINDS, SNDFILE_KINDS, make, make_joined
from worker.tests.references import decode_by_ffmpeg, decode_by_mpg123

from msaas.errors import NotAudio, UndecodableSong
from msaas_rest.api.separate.song_check import check_song
from msaas_worker.audio.decoder import MEMORY_BYTES
from msaas_worker.audio.decoding import decode

_SECONDS = 3.0
#: More than the whole file is noise: ffmpeg guesses a format for any bytes.
_SHARE, _MOST = 0.9, 1.5
_MPEG = ("constant bit rate", "variable bit rate", "VBRI", "MPEG-2, 22.05 kHz mono", "layer II", "two songs")
_TIME_LIMIT = "did not end"
_MAX_S = 600


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`shares` are the decoded parts of the whole length, of each reference and of the worker."""

    name: str
    shares: tuple[float, ...]
    ours: float
    error: str = ""
    #: `rest` accepted the file.
    is_accepted: bool = True
    took_s: float = 0.0

    @property
    def is_played(self) -> bool:
        return min(self.shares) >= _SHARE and max(self.shares) <= _MOST

    @property
    def is_short(self) -> bool:
        return self.is_played and self.ours < _SHARE


# Mutations


def mutate(content: bytes, random: Random) -> tuple[str, bytes]:
    """Return the name of a mutation, and the mutated file."""
    name = random.choice(list(_MUTATIONS))
    return name, _MUTATIONS[name](content, random)


def _flip(content: bytes, random: Random, *, most: int) -> bytes:
    damaged = bytearray(content)
    for _ in range(random.randint(1, most)):
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def _flip_header(content: bytes, random: Random) -> bytes:
    return _flip(content[:200], random, most=4) + content[200:]


def _cut_end(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content))]


def _cut_start(content: bytes, random: Random) -> bytes:
    return content[random.randrange(len(content) // 4) :]


def _insert(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content))
    return content[:at] + random.randbytes(random.randint(1, 5000)) + content[at:]


def _delete(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content))
    return content[:at] + content[at + random.randint(1, 3000) :]


def _swap(content: bytes, random: Random) -> bytes:
    size = random.randint(1, min(4096, len(content) // 4))
    first, second = sorted(
        (random.randrange(len(content) // 2), random.randrange(len(content) // 2, len(content)))
    )
    if second - first < size:
        return content
    a, b = content[first : first + size], content[second : second + size]
    return content[:first] + b + content[first + size : second] + a + content[second + size :]


def _zero(content: bytes, random: Random) -> bytes:
    at, size = random.randrange(len(content)), random.choice((512, 4096))
    return content[:at] + bytes(min(size, len(content) - at)) + content[at + size :]


_MUTATIONS: dict[str, Callable[[bytes, Random], bytes]] = {
    "few flips": partial(_flip, most=4),
    "many flips": partial(_flip, most=200),
    "flips in the header": _flip_header,
    "cut end": _cut_end,
    "cut start": _cut_start,
    "insertion": _insert,
    "deletion": _delete,
    "swapped blocks": _swap,
    "zeroed block": _zero,
}


# Outcomes


@dataclass(frozen=True)
class Whole:
    """A whole file, and its length by each reference, in samples at 44.1 kHz."""

    name: str
    ending: str
    content: bytes
    lengths: tuple[int, ...]


def whole_files(folder: Path) -> list[Whole]:
    found = []
    for kind in (*SNDFILE_KINDS, *FFMPEG_KINDS):
        path = make(kind, folder, seconds=_SECONDS)
        found.append(Whole(kind.name, kind.ending, path.read_bytes(), _lengths(path, is_mpeg=False)))
    for name in JOINED_KINDS:
        path, _ = make_joined(name, folder, seconds=_SECONDS / 2)
        found.append(Whole(name, "joined", path.read_bytes(), _lengths(path, is_mpeg=False)))
    for name in _MPEG:
        path = folder / "song.mp3"
        path.write_bytes(mpeg_kinds.MPEG_FILES[name]().content)
        found.append(Whole(name, "mp3", path.read_bytes(), _lengths(path, is_mpeg=True)))
    return found


def _lengths(path: Path, *, is_mpeg: bool) -> tuple[int, ...]:
    decoders = (decode_by_ffmpeg, decode_by_mpg123) if is_mpeg else (decode_by_ffmpeg,)
    return tuple(decoder(path).shape[-1] for decoder in decoders)


def try_file(whole: Whole, number: int, keep: Path | None) -> Outcome:
    """Mutate the file by this seed, and decode it."""
    mutation, content = mutate(whole.content, Random(number))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"song.{whole.ending}"
        path.write_bytes(content)
        lengths = _lengths(path, is_mpeg=len(whole.lengths) > 1)
        began = time.monotonic()
        refusal = _check(path)
        samples, error = (0, refusal) if refusal else _decode(path)
    outcome = Outcome(
        name=f"{number} {whole.name}, {mutation}",
        shares=tuple(length / full for length, full in zip(lengths, whole.lengths, strict=True)),
        ours=samples / min(whole.lengths),
        error=error,
        is_accepted=not refusal,
        took_s=time.monotonic() - began,
    )
    if keep and outcome.is_short:
        (keep / f"{number}.{whole.ending}").write_bytes(content)
    return outcome


def _check(path: Path) -> str:
    """Return the reason why `rest` refuses the file, an empty text if it accepts it."""
    if not path.stat().st_size:
        return "The file is empty."
    try:
        with open(path, "rb") as file:
            check_song(file, max_s=_MAX_S)
    except (NotAudio, UndecodableSong) as error:
        return error.detail or error.title
    except Exception as error:
        return f"Error: {error!r}"
    return ""


def _decode(path: Path) -> tuple[int, str]:
    try:
        return decode(path, path.with_suffix(".f32"), max_duration_s=_MAX_S).samples, ""
    except UndecodableSong as error:
        return 0, error.detail or error.title
    except Exception as error:
        return 0, f"{type(error).__name__}: {error}"


# Report


def report(outcomes: Iterable[Outcome]) -> tuple[str, bool]:
    """Return the counts as text, and whether all is well."""
    found = list(outcomes)
    short = [each for each in found if each.is_short]
    strange = [each for each in found if _is_strange(each.error)]
    errors = Counter(each.error for each in found if each.error)
    lines = [
        f"{len(found)} files, {sum(each.is_played for each in found)} of them played by the references",
        f"decoded: {sum(each.ours > 0 for each in found)}, refused: {sum(errors.values())}",
        f"refused by the worker only: {sum(each.is_accepted for each in found if each.error)}",
        f"fell short: {len(short)}, ended in another way: {len(strange)}",
        f"slowest: {max(each.took_s for each in found):.1f} s, largest process: {_peak_mib()} MiB",
        *(f"  short: {each.name}: {_shares(each)} {each.error}" for each in short),
        *(f"  strange: {each.name}: {each.error}" for each in strange),
        *(f"  {number} x {text}" for text, number in errors.most_common()),
    ]
    return "\n".join(lines), not short and not strange


def _is_strange(error: str) -> bool:
    return _TIME_LIMIT in error or "Error:" in error or "more memory or time" in error


def _shares(outcome: Outcome) -> str:
    return f"references {', '.join(f'{share:.2f}' for share in outcome.shares)}, ours {outcome.ours:.2f}"


@cache
def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def run(files: int, *, jobs: int, keep: Path | None = None, first: int = 0) -> tuple[str, bool]:
    """Try this many files. Each number makes the same file in each run."""
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(jobs) as pool:
        wholes = whole_files(Path(folder))
        numbers = range(first, first + files)
        chosen = [wholes[number % len(wholes)] for number in numbers]
        outcomes = list(pool.map(try_file, chosen, numbers, [keep] * files))
    return report(outcomes)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="a folder for the files that fall short")
    options = parser.parse_args()
    text, is_well = run(options.files, jobs=options.jobs, keep=options.keep, first=options.first)
    print(f"{text}\nlimit of memory: {MEMORY_BYTES // 2**20} MiB of address space")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
