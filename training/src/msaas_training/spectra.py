"""Spectra of songs, with a cache of the lower quarter: it has nearly all of the energy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from demucs.spec import spectro
from numpy.typing import NDArray

from msaas_training.generate import FULL_SCALE

#: Window and hop of HTDemucs in samples.
WINDOW, HOP = 4096, 1024
#: HTDemucs drops the highest bin.
BINS = WINDOW // 2
#: Up to 5.5 kHz.
LOW_BINS = BINS // 4


def transform(wave: NDArray[np.int16]) -> torch.Tensor:
    """Transform `[..., samples]` to complex `[..., BINS, samples // HOP]`.

    Frames start half a hop earlier than in HTDemucs.
    """
    scaled = torch.from_numpy(np.asarray(wave, np.float32) / FULL_SCALE)
    spectrum: torch.Tensor = spectro(scaled, WINDOW, HOP)  # type: ignore[no-untyped-call]
    return spectrum[..., :BINS, : wave.shape[-1] // HOP]


def cache_low_spectrum(song: Path) -> Path:
    """Write the low spectrum of a song if it is missing or older than the song, and return its path.

    The array is `[tracks, 2, LOW_BINS, frames, 2]` in half precision. The last axis is (real, imaginary).
    """
    cached = song.parent / f"low-{LOW_BINS}" / song.name
    if not cached.exists() or cached.stat().st_mtime < song.stat().st_mtime:
        cached.parent.mkdir(exist_ok=True)
        spectrum = torch.view_as_real(transform(np.load(song))[..., :LOW_BINS, :])
        partial = cached.with_suffix(f".{os.getpid()}.part")
        with partial.open("wb") as file:
            np.save(file, spectrum.half().numpy())
        partial.replace(cached)
    return cached
