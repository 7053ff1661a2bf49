"""Speech from the free engines of Debian: espeak-ng, flite and Festival."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.io import wavfile

from msaas_training.notes import SAMPLE_RATE_HZ

#: One channel, `[samples]`.
Mono = NDArray[np.float32]

_CONSONANTS = (
    "b",
    "d",
    "f",
    "g",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "sh",
    "ch",
    "st",
    "tr",
    "",
)
_VOWELS = ("a", "e", "i", "o", "u", "a", "o", "ai", "ee", "oo")
_ENGINE_LIMIT_S = 20


@dataclass(frozen=True)
class Voice:
    """A voice of an engine (`espeak`, `flite` or `festival`), under the engine's own name."""

    engine: str
    name: str


def babble(rng: np.random.Generator, *, syllables: int) -> str:
    """Draw nonsense words that every engine can pronounce."""
    words, word = [], ""
    for _ in range(syllables):
        word += str(rng.choice(_CONSONANTS)) + str(rng.choice(_VOWELS))
        if rng.random() < 0.5:
            words.append(word)
            word = ""
    return " ".join([*words, word]).strip() or "la"


def speak(text: str, *, voice: Voice, rng: np.random.Generator) -> Mono:
    """Synthesise speech as `[samples]` at `SAMPLE_RATE_HZ`, without silence at the ends.

    Raises:
        FileNotFoundError: the engine is not installed.
        subprocess.CalledProcessError: the engine failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command, stdin = _build_command(text, voice=voice, path=path, rng=rng)
        subprocess.run(command, input=stdin, check=True, capture_output=True, timeout=_ENGINE_LIMIT_S)
        rate, samples = wavfile.read(path)
    return _trim_silence(signal.resample_poly(samples / 32768.0, *_resampling_ratio(rate)).astype(np.float32))


def _build_command(
    text: str, *, voice: Voice, path: Path, rng: np.random.Generator
) -> tuple[list[str], bytes | None]:
    if voice.engine == "espeak":
        pitch, speed = str(int(rng.integers(15, 85))), str(int(rng.integers(110, 190)))
        return ["espeak-ng", "-v", voice.name, "-p", pitch, "-s", speed, "-w", str(path), text], None
    if voice.engine == "flite":
        stretch = f"duration_stretch={rng.uniform(0.8, 1.3):.2f}"
        return ["flite", "-voice", voice.name, "--setf", stretch, "-t", text, "-o", str(path)], None
    scheme = f'(voice_{voice.name})(utt.save.wave (SynthText "{text}") "{path}")'
    return ["festival", "--pipe"], scheme.encode()


def _resampling_ratio(rate_hz: int) -> tuple[int, int]:
    common = int(np.gcd(SAMPLE_RATE_HZ, rate_hz))
    return SAMPLE_RATE_HZ // common, rate_hz // common


def _trim_silence(samples: Mono) -> Mono:
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples
