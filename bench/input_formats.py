"""The table of docs/formats.md: each kind of input by ffmpeg, by mpg123 and by the worker.

    python -m bench.input_formats [NAME ...]

Needs ffmpeg, mpg123 and lame. Lengths are samples at 44.1 kHz. Lag and SNR are those of the worker against
each reference, over their common part. The next columns compare with the clean parts of a joined, tagged or
damaged song, one behind the other: their length, and the share of blocks of 1152 samples that are right.

The last columns compare the sum of the stems of the starter with the clean parts. Without clean parts they
compare it with the song of ffmpeg, or of mpg123 if ffmpeg plays nothing. The first of them has WAV stems in
floats without a limit, the second one `exact_sum` with 24 bits. "exact" means equal integers.
"""

import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from worker.tests.input_kinds import FFMPEG_KINDS, JOINED_KINDS, SNDFILE_KINDS, make, make_joined
from worker.tests.mpeg_kinds import MPEG_FILES, MpegFile
from worker.tests.references import compare, decode_by_ffmpeg, decode_by_mpg123, right_share

from msaas.logs import configure_logging
from msaas.recipe import Recipe
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.audio.decoded import Audio
from msaas_worker.audio.decoding import decode
from msaas_worker.audio.quantisation import quantise
from msaas_worker.separation import separate_song
from msaas_worker.separators import Separator
from msaas_worker.separators.library import open_model
from tests.processes import ROOT
from tests.unattended import MemorySink

_SECONDS = 4.0
_MAX_S = 600
#: With less SNR the two have no common time: the reference lost some.
_ALIGNED_DB = 10
_BITS = 24
#: The generator of files after public bug reports, beside the checkout.
_CASES = ROOT.parent / "shared" / "cases" / "cases.py"
_HEAD = (
    "| input | ours | ffmpeg | lag | SNR dB | mpg123 | lag | SNR dB | right length | right blocks "
    "| sum of stems, SNR dB | exact_sum, SNR dB |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)


def rows(names: list[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in (*SNDFILE_KINDS, *FFMPEG_KINDS):
            if not names or kind.name in names:
                yield _row(kind.name, make(kind, folder, seconds=_SECONDS))
        for joined in JOINED_KINDS:
            if not names or joined in names:
                path, parts = make_joined(joined, folder, seconds=_SECONDS / 2)
                yield _row(joined, path, parts=parts)
        for mpeg, made in MPEG_FILES.items():
            if not names or mpeg in names:
                yield _mpeg_row(mpeg, made(), folder)
        for path in _cases(folder):
            if not names or path.stem in names:
                yield _row(path.stem, path, is_mpeg=True)


def _cases(folder: Path) -> list[Path]:
    if not _CASES.exists():
        return []
    (folder / "cases").mkdir()
    subprocess.run([sys.executable, str(_CASES), str(folder / "cases")], check=True, capture_output=True)
    return sorted((folder / "cases").glob("*.mp3"))


def _mpeg_row(name: str, made: MpegFile, folder: Path) -> str:
    path = folder / "song.mp3"
    path.write_bytes(made.content)
    parts = [folder / f"part-{number}.mp3" for number in range(len(made.clean))]
    for part, content in zip(parts, made.clean, strict=True):
        part.write_bytes(content)
    return _row(name, path, parts=parts, is_mpeg=True)


def _row(name: str, path: Path, *, parts: list[Path] | None = None, is_mpeg: bool = False) -> str:
    song = decode(path, path.with_suffix(".f32"), max_duration_s=_MAX_S)
    ours = song.read(0, song.samples)
    by_ffmpeg = decode_by_ffmpeg(path)
    by_mpg123 = decode_by_mpg123(path) if is_mpeg else None
    clean = np.concatenate([decode_by_ffmpeg(part) for part in parts], axis=-1) if parts else None
    reference = by_ffmpeg if by_ffmpeg.shape[-1] or by_mpg123 is None else by_mpg123
    cells: list[object] = [
        ours.shape[-1],
        *_against(ours, by_ffmpeg),
        *(["", "", ""] if by_mpg123 is None else _against(ours, by_mpg123)),
        *(["", ""] if clean is None else _against_clean(ours, clean)),
        *_sums(path, reference if clean is None else clean),
    ]
    return f"| {name} | {' | '.join(map(str, cells))} |"


def _against(ours: Audio, reference: Audio) -> list[object]:
    if not reference.shape[-1]:
        return [0, "", ""]
    found = compare(reference[:2], ours)
    if found.snr_db < _ALIGNED_DB:
        return [reference.shape[-1], "–", "–"]
    return [reference.shape[-1], found.lag, "equal" if np.isinf(found.snr_db) else f"{found.snr_db:.0f}"]


def _against_clean(ours: Audio, clean: Audio) -> list[object]:
    return [clean.shape[-1], f"{100 * right_share(clean, ours):.0f} %"]


# The sum of stems


def _sums(path: Path, reference: Audio) -> list[str]:
    in_float = _sum_of_stems(path, format="wav", bits="float", clip="none")
    exact = _sum_of_stems(path, format="wav", bits=str(_BITS), exact_sum=True)
    if np.array_equal(quantise(exact, _BITS), quantise(reference[:2], _BITS)):
        return [_snr(in_float, reference), "exact"]
    return [_snr(in_float, reference), _snr(exact, reference)]


def _snr(audio: Audio, reference: Audio) -> str:
    found = compare(reference[:2], audio)
    return "–" if found.snr_db < _ALIGNED_DB else f"{found.snr_db:.0f}"


def _sum_of_stems(path: Path, **options: object) -> Audio:
    sink = MemorySink()
    sink.takes_analysis = False
    recipe = Recipe.parse({"model": "starter", **options})
    separate_song(path, recipe, _starter(), sink, UnattendedAttempt(), max_duration_s=_MAX_S)
    stems = [soundfile.read(io.BytesIO(stem), dtype="float64")[0] for stem in sink.stems.values()]
    return np.sum(stems, axis=0).T.astype(np.float32)


@cache
def _starter() -> Separator:
    return open_model("starter", repo=None, device="cpu", precision="auto")


def main() -> None:
    configure_logging(service="bench", level="error", stream=sys.stderr)
    sys.stdout.write(_HEAD)
    for row in rows(sys.argv[1:]):
        sys.stdout.write(row + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
