"""The lower quarter of a song's spectrum, kept on disk: nearly all of its energy, a quarter of the work."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from demucs.spec import spectro
from numpy.typing import NDArray

from msaas_training.generate import FULL_SCALE

#: HTDemucs' own window and hop, in samples.
WINDOW, HOP = 4096, 1024
#: All but the highest, which HTDemucs leaves out as well.
BINS = WINDOW // 2
#: Up to 5.5 kHz.
LOW_BINS = BINS // 4


def transformed(wave: NDArray[np.int16]) -> torch.Tensor:
    """`[..., samples]` to complex `[..., BINS, samples // HOP]`, as HTDemucs but half a hop earlier."""
    scaled = torch.from_numpy(np.asarray(wave, np.float32) / FULL_SCALE)
    return spectro(scaled, WINDOW, HOP)[..., :BINS, : wave.shape[-1] // HOP]


def keep_low(song: Path) -> Path:
    """Write `[tracks, 2, LOW_BINS, frames, 2]`, real and imaginary, unless it is there and no older."""
    kept = song.parent / f"low-{LOW_BINS}" / song.name
    if not kept.exists() or kept.stat().st_mtime < song.stat().st_mtime:
        kept.parent.mkdir(exist_ok=True)
        spectrum = torch.view_as_real(transformed(np.load(song))[..., :LOW_BINS, :])
        part = kept.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, spectrum.half().numpy())
        part.replace(kept)
    return kept
