"""The table of docs/formats.md: each kind of input by ffmpeg, by mpg123 and by the worker.

    python -m bench.input_formats [NAME ...]

Needs ffmpeg, mpg123 and lame. Lengths are samples at 44.1 kHz. Lag and SNR are those of the worker against
each reference, over their common part. The last columns compare with the clean parts of a joined, tagged or
damaged song, one behind the other: their length, and the share of blocks of 1152 samples that are right.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from worker.tests.input_kinds import FFMPEG_KINDS, SNDFILE_KINDS, make
from worker.tests.mpeg_kinds import MPEG_FILES, MpegFile
from worker.tests.references import compare, decode_by_ffmpeg, decode_by_mpg123, right_share

from msaas_worker.audio.decoded import Audio
from msaas_worker.audio.decoding import decode

_SECONDS = 4.0
#: With less SNR the two have no common time: the reference lost some.
_ALIGNED_DB = 10
_HEAD = (
    "| input | ours | ffmpeg | lag | SNR dB | mpg123 | lag | SNR dB | right length | right blocks |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)


def rows(names: list[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for kind in (*SNDFILE_KINDS, *FFMPEG_KINDS):
            if not names or kind.name in names:
                path = make(kind, Path(folder), seconds=_SECONDS)
                yield _row(kind.name, [_decode(path), *_against(_decode(path), decode_by_ffmpeg(path))])
        for name, made in MPEG_FILES.items():
            if not names or name in names:
                yield _mpeg_row(name, made(), Path(folder) / "song.mp3")


def _mpeg_row(name: str, made: MpegFile, path: Path) -> str:
    path.write_bytes(made.content)
    ours = _decode(path)
    cells: list[object] = [
        ours,
        *_against(ours, decode_by_ffmpeg(path)),
        *_against(ours, decode_by_mpg123(path)),
    ]
    return _row(name, cells + _against_clean(ours, made, path.with_name("clean.mp3")))


def _decode(path: Path) -> Audio:
    song = decode(path, path.with_suffix(".f32"), max_duration_s=600)
    return song.read(0, song.samples)


def _against(ours: Audio, reference: Audio) -> list[object]:
    if not reference.shape[-1]:
        return [0, "", ""]
    found = compare(reference[:2], ours)
    if found.snr_db < _ALIGNED_DB:
        return [reference.shape[-1], "–", "–"]
    return [reference.shape[-1], found.lag, "equal" if np.isinf(found.snr_db) else f"{found.snr_db:.0f}"]


def _against_clean(ours: Audio, made: MpegFile, path: Path) -> list[object]:
    if not made.clean:
        return []
    parts = []
    for part in made.clean:
        path.write_bytes(part)
        parts.append(decode_by_ffmpeg(path))
    whole = np.concatenate(parts, axis=-1)
    return [whole.shape[-1], f"{100 * right_share(whole, ours):.0f} %"]


def _row(name: str, cells: list[object]) -> str:
    texts = [str(cell.shape[-1] if isinstance(cell, np.ndarray) else cell) for cell in cells]
    return f"| {name} | {' | '.join([*texts, *[''] * (9 - len(texts))])} |"


def main() -> None:
    sys.stdout.write(_HEAD)
    for row in rows(sys.argv[1:]):
        sys.stdout.write(row + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
