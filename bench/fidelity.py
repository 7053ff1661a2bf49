"""How true the service's stems are to demucs', before the MP3 encoder and after it."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sphn
from demucs.api import Separator

from msaas.models import MODELS
from msaas_worker.audio.decoded import Audio
from msaas_worker.audio.decoding import decode
from msaas_worker.separators.demucs.hub import Hub
from msaas_worker.separators.demucs.repository import Repository
from msaas_worker.separators.htdemucs.precision import Precision
from msaas_worker.separators.library import load_separator

_MODEL = "htdemucs"
_STEMS = MODELS[_MODEL]
_HOUR_S = 3600
_TRIES = 5
#: Samples that LAME and a decoder put before the song: 576 and 529.
_MP3_DELAY = 1105
_HEADROOM = 1.01

Stems = Mapping[str, Audio]


@dataclass(frozen=True)
class Fidelity:
    """Signal-to-noise ratios in dB, of the worst stem: against demucs' samples; the last one of two MP3s."""

    arithmetic: str
    snr_db: float
    mp3_snr_db: float
    reference_mp3_snr_db: float
    mp3_to_mp3_snr_db: float

    @property
    def lost_db(self) -> float:
        """What a listener to the MP3s loses against demucs'."""
        return self.reference_mp3_snr_db - self.mp3_snr_db


def fidelity(
    song: Path, *, repo: Path, arithmetic: str, reference_mp3s: Mapping[str, Path], mp3s: Mapping[str, bytes]
) -> Fidelity:
    """`arithmetic` is what the worker computed `mp3s` in."""
    reference = _unclipped(_reference(song, repo=repo))
    ours = _ours(song, _engine(repo, arithmetic=arithmetic))
    theirs, coded = _decoded(reference_mp3s), _decoded_bytes(mp3s)
    return Fidelity(
        arithmetic,
        snr_db=_worst(reference, _unclipped(ours)),
        mp3_snr_db=_worst(reference, _in_time(reference, coded)),
        reference_mp3_snr_db=_worst(reference, _in_time(reference, theirs)),
        mp3_to_mp3_snr_db=_worst(theirs, coded),
    )


def _reference(song: Path, *, repo: Path) -> Stems:
    separator = Separator(model=_MODEL, repo=repo, shifts=0, device="cpu")
    _, stems = separator.separate_audio_file(song)
    return {stem: stems[stem].numpy() for stem in _STEMS}


def _engine(repo: Path, *, arithmetic: str) -> Any:
    """Return the worker's engine; which one is the faster is measured, and on a busy machine not for good."""
    precision: Precision = "exact" if arithmetic == "float32" else "auto"
    for _ in range(_TRIES):
        engine: Any = load_separator(_MODEL, Repository(repo, Hub()), device="cpu", precision=precision)
        if engine.arithmetic == arithmetic:
            return engine
    raise RuntimeError(f"The worker computes in {arithmetic}; this process chose {engine.arithmetic}.")


def _ours(song: Path, engine: Any) -> Stems:
    """What the worker hands to its encoders."""
    with tempfile.TemporaryDirectory() as folder:
        decoded = decode(song, Path(folder) / "song.f32", max_duration_s=_HOUR_S)
        regions = engine.separate(decoded, stems=_STEMS, on_progress=lambda done: None)
        samples = np.concatenate(list(regions), axis=-1)
    return dict(zip(_STEMS, samples, strict=True))


def _unclipped(stems: Stems) -> Stems:
    """As both do before they encode: a stem that is too loud is scaled down as a whole."""
    return {stem: audio / max(_HEADROOM * np.abs(audio).max(), 1) for stem, audio in stems.items()}


def _decoded(mp3s: Mapping[str, Path]) -> Stems:
    return {stem: sphn.read(str(path))[0] for stem, path in mp3s.items()}


def _decoded_bytes(mp3s: Mapping[str, bytes]) -> Stems:
    with tempfile.TemporaryDirectory() as folder:
        paths = {stem: Path(folder) / f"{stem}.mp3" for stem in mp3s}
        for stem, path in paths.items():
            path.write_bytes(mp3s[stem])
        return _decoded(paths)


def _in_time(reference: Stems, decoded: Stems) -> Stems:
    """Cut what MP3 put before the samples and after them."""
    ends = {stem: _MP3_DELAY + audio.shape[-1] for stem, audio in reference.items()}
    return {stem: audio[:, _MP3_DELAY : ends[stem]] for stem, audio in decoded.items()}


def _worst(reference: Stems, other: Stems) -> float:
    return min(_snr_db(reference[stem], other[stem]) for stem in reference)


def _snr_db(reference: Audio, other: Audio) -> float:
    signal = reference.astype(np.float64)
    noise = np.square(signal - other).sum()
    return float(10 * np.log10(np.square(signal).sum() / noise)) if noise else float("inf")
