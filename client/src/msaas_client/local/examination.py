"""Checks of the engine: its weights, and its stems and its speed against those of demucs itself."""

import math
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msaas.errors import MsaasError
from msaas.logs import configure_logging
from msaas.models import MODELS, parse_model
from msaas_client.command.exits import ExitCode
from msaas_client.doctor.findings import Finding, Outcome
from msaas_worker.allocator import keep_freed_memory
from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE, Audio, DecodedSong
from msaas_worker.audio.decoding import decode
from msaas_worker.audio.ffmpeg import find_ffmpeg
from msaas_worker.confinement.check import find_missing_protections
from msaas_worker.separators import Separator
from msaas_worker.separators.library import open_model

if TYPE_CHECKING:
    from msaas_worker.separators.demucs.reference import TimedStems

_SECONDS = 10
_RUNS = 2
#: Least ratio of every stem to its error, in dB: gate A in float32, gate B with 16 bits.
_EXACT_DB, _FAST_DB = 90.0, 45.0


def check_engine(name: str, *, repo: Path | None, device: str) -> Iterator[Finding]:
    """Yield the findings about the machine, the weights and the stems."""
    # Standard output has the results.
    configure_logging(service="msaas", level="error", stream=sys.stderr)
    keep_freed_memory()
    yield _check_machine()
    try:
        model = parse_model(name)
        separator = open_model(model, repo=repo, device=device)
    except (MsaasError, OSError) as error:
        code = ExitCode.USAGE if name not in MODELS else ExitCode.FAILED
        yield Finding(name="weights", outcome=Outcome.FAILED, detail=str(error), exit_code=code)
        return
    facts = {"model": model, "sha256": separator.weights_sha256, "engine": separator.engine}
    detail = f"{model} is verified and loaded, SHA-256 {separator.weights_sha256[:12]}…"
    yield Finding(name="weights", outcome=Outcome.OK, detail=detail, facts=facts)
    if MODELS[model].family != "demucs":
        detail = f"demucs does not run {model}. Choose another --model to compare with it."
        yield Finding(name="separation", outcome=Outcome.SKIPPED, detail=detail)
        return
    yield _check_separation(separator, model, repo=repo)


def _check_machine() -> Finding:
    missing = find_missing_protections()
    ffmpeg = find_ffmpeg() is not None
    facts = {"ffmpeg": ffmpeg, "missing_protections": missing}
    has = "ffmpeg is installed" if ffmpeg else "without ffmpeg: no M4A, no video"
    if missing:
        detail = f"{has}. The decoder is not confined: {', '.join(missing)} is missing here."
        return Finding(name="machine", outcome=Outcome.WARNING, detail=detail, facts=facts)
    return Finding(name="machine", outcome=Outcome.OK, detail=f"{has}, the decoder is confined", facts=facts)


def _check_separation(separator: Separator, model: str, *, repo: Path | None) -> Finding:
    from msaas_worker.separators.demucs.reference import separate_by_demucs

    with tempfile.TemporaryDirectory(prefix="msaas-") as folder:
        song = decode(_write_song(Path(folder) / "song.wav"), Path(folder) / "song.f32", max_duration_s=60)
        ours = [_run(separator, song, model) for _ in range(_RUNS)]
        theirs = [
            separate_by_demucs(song, model=model, repo=repo, device=separator.device) for _ in range(_RUNS)
        ]
    ratios = _signal_to_noise_db(theirs[0].stems, ours[0].stems)
    snr_db = dict(zip(MODELS[model].stems, ratios, strict=True))
    seconds, reference_s = (min(run.seconds for run in runs) for runs in (ours, theirs))
    least_db = _EXACT_DB if separator.engine.endswith("float32") else _FAST_DB
    facts = {
        "snr_db": {stem: round(ratio, 1) for stem, ratio in snr_db.items()},
        "seconds": round(seconds, 2),
        "demucs_seconds": round(reference_s, 2),
        "speed_ratio": round(reference_s / seconds, 2),
        "device": separator.device,
        "engine": separator.engine,
        "least_db": least_db,
    }
    is_equal = min(ratios) >= least_db
    detail = (
        f"{_SECONDS} s on {separator.device} by {separator.engine}: {seconds:.2f} s, "
        f"demucs {reference_s:.2f} s, {reference_s / seconds:.2f} × as fast. SNR "
        + ", ".join(f"{stem} {ratio:.1f} dB" for stem, ratio in snr_db.items())
        + ("" if is_equal else f". The least is {least_db:g} dB.")
    )
    outcome = Outcome.OK if is_equal else Outcome.FAILED
    return Finding(name="separation", outcome=outcome, detail=detail, facts=facts)


def _run(separator: Separator, song: DecodedSong, model: str) -> "TimedStems":
    from msaas_worker.separators.demucs.reference import TimedStems

    began = time.perf_counter()
    regions = separator.separate(song, stems=MODELS[model].stems, on_progress=lambda share: None)
    stems = np.concatenate(list(regions), axis=-1)
    return TimedStems(stems, time.perf_counter() - began)


def _signal_to_noise_db(reference: Audio, ours: Audio) -> list[float]:
    signal = np.square(reference, dtype=np.float64).sum(axis=(1, 2))
    noise = np.square(reference - ours, dtype=np.float64).sum(axis=(1, 2))
    return [10 * math.log10(max(s, 1e-30) / max(n, 1e-30)) for s, n in zip(signal, noise, strict=True)]


def _write_song(path: Path) -> Path:
    """Write decaying harmonics and noise, always the same, as 16 bits."""
    seconds = np.arange(_SECONDS * SAMPLERATE) / SAMPLERATE
    harmonics = sum(np.sin(2 * np.pi * 110 * n * seconds) / n for n in range(1, 30))
    noise = np.random.default_rng(0).standard_normal((seconds.size, CHANNELS))
    song = (harmonics * np.exp(-6 * (seconds % 0.5)))[:, None] + 0.1 * noise
    integers = (0.9 * 2**15 / np.abs(song).max() * song).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(CHANNELS)
        file.setsampwidth(integers.itemsize)
        file.setframerate(SAMPLERATE)
        file.writeframes(integers.tobytes())
    return path
