"""One-shot samples of drums, from kits with licences that leave their output free."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import sphn
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ
from msaas_training.styles import (
    CLAP,
    CLOSED_HAT,
    CONGA_HIGH,
    CONGA_LOW,
    COWBELL,
    CRASH,
    HIGH_TOM,
    KICK,
    LOW_TOM,
    MID_TOM,
    OPEN_HAT,
    PEDAL_HAT,
    RIDE,
    SIDE_STICK,
    SNARE,
    SPLASH,
)

_HYDROGEN = Path("/usr/share/hydrogen/data/drumkits")
KITS = tuple(
    _HYDROGEN / kit for kit in ("ColomboAcousticDrumkit", "ElectricEmpireKit", "HardElectro1", "VariBreaks")
)
SONIC_PI = Path("/usr/share/sonic-pi/samples")
#: Regular expressions for file names, tried in this order, and the drum keys of a match.
_KEYS_BY_NAME: tuple[tuple[str, tuple[int, ...]], ...] = (
    # Sonic Pi. Its other samples are not drums.
    (r"^(bd_|drum_bass|drum_heavy_kick|elec_(soft|hollow)_kick)", (KICK,)),
    (r"^(sn_|drum_snare|elec_.*snare)", (SNARE,)),
    (r"^drum_cymbal_(closed|pedal)|^elec_cymbal", (CLOSED_HAT, PEDAL_HAT)),
    (r"^drum_cymbal_open", (OPEN_HAT,)),
    (r"^drum_(cymbal|splash)", (CRASH, RIDE, SPLASH)),
    (r"^drum_tom_lo|^elec_fuzz_tom", (LOW_TOM,)),
    (r"^drum_tom_mid", (MID_TOM,)),
    (r"^drum_tom_hi", (HIGH_TOM,)),
    (r"^drum_cowbell", (COWBELL,)),
    (r"^tabla_(ghe|ke|dhec)", (CONGA_LOW,)),
    (r"^tabla_", (CONGA_HIGH,)),
    (r"^(ambi|bass|glitch|guit|loop|mehackit|misc|perc|vinyl|elec|drum)_", ()),
    # Hydrogen.
    (r"ride|crash", (CRASH, RIDE)),
    (r"kick|bassdrum|_k_|_bd_", (KICK,)),
    (r"stick|click", (SIDE_STICK,)),
    (r"snare|_sn_", (SNARE,)),
    (r"clap", (CLAP,)),
    (r"hat.*op|hihat-(semi-)?open|ohh", (OPEN_HAT,)),
    (r"hat|chh|_hh_", (CLOSED_HAT, PEDAL_HAT)),
    (r"tom", (LOW_TOM, MID_TOM, HIGH_TOM)),
    (r"conga", (CONGA_LOW, CONGA_HIGH)),
)
_LONGEST_S = 2.0


@cache
def find_recordings(kits: tuple[Path, ...] = KITS) -> dict[int, tuple[Path, ...]]:
    """Find the files for each drum key in all kits.

    Raises:
        FileNotFoundError: the kits are not installed.
    """
    found: dict[int, list[Path]] = {}
    for file in sorted(each for kit in kits for each in kit.glob("*.flac")):
        for key in next((keys for kind, keys in _KEYS_BY_NAME if re.search(kind, file.name.lower())), ()):
            found.setdefault(key, []).append(file)
    if not found:
        raise FileNotFoundError(kits[0])
    return {key: tuple(files) for key, files in found.items()}


def draw_recording(
    key: int, *, rng: np.random.Generator, kits: tuple[Path, ...] = KITS
) -> NDArray[np.float64] | None:
    """Draw a recording of a key, randomly resampled (0.75 to 1.3), as `[samples]`.

    Returns None if no kit has that key.
    """
    files = find_recordings(kits).get(key)
    if files is None:
        return None
    hit = _read(files[rng.integers(len(files))])
    positions = np.arange(0, hit.size - 1, rng.uniform(0.75, 1.3))
    return np.asarray(np.interp(positions, np.arange(hit.size), hit))


@cache
def _read(file: Path) -> NDArray[np.float64]:
    """Read up to 2 s as mono with a peak of 1 and a short fade-out."""
    samples, rate_hz = sphn.read(file, duration_sec=_LONGEST_S)
    mono = sphn.resample(samples, rate_hz, SAMPLE_RATE_HZ).mean(0, dtype=np.float64)
    fade = np.clip(np.arange(mono.size, 0, -1) / (0.02 * SAMPLE_RATE_HZ), 0, 1)
    return np.asarray(mono * fade / (np.abs(mono).max() + 1e-9))
