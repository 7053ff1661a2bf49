"""Writes the demo songs of `data/`: two short songs as MP3, their stems and checksums."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import lameenc
import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ
from msaas_training.palettes import DEMO
from msaas_training.songs import STEMS, make_song

DURATION_S = 18.0
MIXTURE_KBIT = 256
STEM_KBIT = 160
#: File name, style and seed. No other set uses these seeds.
SONGS = (("northern-lights", "pop", (2026, 11)), ("engine-room", "house", (2026, 12)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data"))
    folder = parser.parse_args().folder
    written = [
        path for name, style, seed in SONGS for path in write_song(folder, name=name, style=style, seed=seed)
    ]
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}"
        for path in sorted(written)
    ]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")


def write_song(folder: Path, *, name: str, style: str, seed: tuple[int, int]) -> list[Path]:
    """Write the mixture and stems of a song. One encoder makes all files, so all have the same delay."""
    song = make_song(seed=seed, palette=DEMO, duration_s=DURATION_S, style=style)
    tracks = {folder / f"{name}.mp3": (song.stems.sum(0), MIXTURE_KBIT)}
    tracks |= {folder / "stems" / name / f"{s}.mp3": (song.stems[i], STEM_KBIT) for i, s in enumerate(STEMS)}
    for path, (audio, kbit) in tracks.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_mp3(audio, kbit=kbit))
        print(path, path.stat().st_size, "bytes", flush=True)
    return list(tracks)


def encode_mp3(audio: NDArray[np.float32], *, kbit: int) -> bytes:
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(kbit)
    encoder.set_in_sample_rate(SAMPLE_RATE_HZ)
    encoder.set_channels(2)
    encoder.set_quality(2)
    encoder.silence()
    samples = (audio.clip(-1, 1) * 32767).round().astype(np.int16)
    return bytes(encoder.encode(np.ascontiguousarray(samples.T).tobytes()) + encoder.flush())


if __name__ == "__main__":
    main()
