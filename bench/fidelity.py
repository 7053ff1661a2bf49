"""The error of the service's stems against those of demucs, before and after the MP3 encoder."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from demucs.api import Separator
from worker.tests.references import find_lag

from msaas.models import MODELS
from msaas_worker.audio.decoded import Audio
from msaas_worker.audio.decoding import decode
from msaas_worker.separators import Precision
from msaas_worker.separators.families import LoadOptions, load_model

_MODEL = "htdemucs"
STEMS = MODELS[_MODEL].stems
_HOUR_S = 3600
_ATTEMPTS = 5
_HEADROOM = 1.01

Stems = Mapping[str, Audio]


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Signal-to-noise ratios of the worst stem in dB, against demucs. The last one is between MP3s."""

    arithmetic: str
    snr_db: float
    mp3_snr_db: float
    reference_mp3_snr_db: float
    mp3_to_mp3_snr_db: float

    @property
    def lost_db(self) -> float:
        """Loss of the MP3s, compared with those of demucs."""
        return self.reference_mp3_snr_db - self.mp3_snr_db


def fidelity(
    song: Path, *, repo: Path, arithmetic: str, reference_mp3s: Mapping[str, Path], mp3s: Mapping[str, bytes]
) -> Fidelity:
    """Compare `mp3s`, which the worker computed in `arithmetic`, with the MP3s and the samples of demucs."""
    reference = _rescale(_run_demucs(song, repo=repo))
    ours = run_worker(song, _load_same(repo, arithmetic=arithmetic))
    theirs = _align(reference, _decode_files(reference_mp3s))
    coded = _align(reference, _decode_bytes(mp3s))
    return Fidelity(
        arithmetic=arithmetic,
        snr_db=_worst_snr_db(reference, _rescale(ours)),
        mp3_snr_db=_worst_snr_db(reference, coded),
        reference_mp3_snr_db=_worst_snr_db(reference, theirs),
        mp3_to_mp3_snr_db=_worst_snr_db(theirs, coded),
    )


def _run_demucs(song: Path, *, repo: Path) -> Stems:
    separator = Separator(model=_MODEL, repo=repo, shifts=0, device="cpu")
    _, stems = separator.separate_audio_file(song)
    return {stem: stems[stem].numpy() for stem in STEMS}


def load_separator(repo: Path, *, precision: Precision) -> Any:
    """Load the model as in the worker."""
    return load_model(_MODEL, LoadOptions(precision=precision, repo=repo))


def _load_same(repo: Path, *, arithmetic: str) -> Any:
    """Load the model in this arithmetic. On a busy machine another may be chosen: try again."""
    precision: Precision = "exact" if arithmetic == "float32" else "auto"
    for _ in range(_ATTEMPTS):
        separator = load_separator(repo, precision=precision)
        if separator.arithmetic == arithmetic:
            return separator
    raise RuntimeError(f"The worker computes in {arithmetic}, but this process in {separator.arithmetic}.")


def run_worker(song: Path, separator: Any) -> Stems:
    """Return the input of the worker's encoders."""
    with tempfile.TemporaryDirectory() as folder:
        decoded = decode(song, Path(folder) / "song.f32", max_duration_s=_HOUR_S)
        regions = separator.separate(decoded, stems=STEMS, on_progress=lambda done: None)
        samples = np.concatenate(list(regions), axis=-1)
    return dict(zip(STEMS, samples, strict=True))


def _rescale(stems: Stems) -> Stems:
    """Scale down stems that would clip, as both do before they encode."""
    return {stem: audio / max(_HEADROOM * np.abs(audio).max(), 1) for stem, audio in stems.items()}


def _decode_files(mp3s: Mapping[str, Path]) -> Stems:
    return {stem: soundfile.read(path, dtype="float32")[0].T for stem, path in mp3s.items()}


def _decode_bytes(mp3s: Mapping[str, bytes]) -> Stems:
    with tempfile.TemporaryDirectory() as folder:
        paths = {stem: Path(folder) / f"{stem}.mp3" for stem in mp3s}
        for stem, path in paths.items():
            path.write_bytes(mp3s[stem])
        return _decode_files(paths)


def _align(reference: Stems, decoded: Stems) -> Stems:
    """Remove the samples that an encoder without an Info frame adds before and after the song."""
    lags = {stem: find_lag(reference[stem], audio) for stem, audio in decoded.items()}
    return {
        stem: audio[:, lags[stem] : lags[stem] + reference[stem].shape[-1]] for stem, audio in decoded.items()
    }


def _worst_snr_db(reference: Stems, other: Stems) -> float:
    return min(_snr_db(reference[stem], other[stem]) for stem in reference)


def _snr_db(reference: Audio, other: Audio) -> float:
    signal = reference.astype(np.float64)
    noise = np.square(signal - other).sum()
    return float(10 * np.log10(np.square(signal).sum() / noise)) if noise else float("inf")
