"""Stems encoded by this package and by demucs."""

from pathlib import Path

import torch
from demucs.audio import save_audio

from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.encoder import StemObserver, open_encoders

#: The length of a region, which is not a multiple of that of a frame.
_BLOCK = 30_011


def encode_stem(audio: Audio, folder: Path, *, block: int = _BLOCK) -> bytes:
    """Encode `[2, samples]` in blocks."""
    with open_encoders(folder, ("stem",)) as (encoder,):
        for start in range(0, audio.shape[-1], block):
            encoder.write(audio[:, start : start + block])
        encoder.finish().result()
        return encoder.path.read_bytes()


def encode_stems(
    song: Audio,
    stems: tuple[str, ...],
    folder: Path,
    *,
    observer: StemObserver,
    region: int = 10 * SAMPLERATE,
) -> dict[str, bytes]:
    """Encode the song as each of the stems, observed."""
    folder.mkdir(exist_ok=True)
    with open_encoders(folder, stems, observer=observer) as encoders:
        for start in range(0, song.shape[-1], region):
            for encoder in encoders:
                encoder.write(song[:, start : start + region])
        for ending in [encoder.finish() for encoder in encoders]:
            ending.result()
    return {encoder.stem: encoder.path.read_bytes() for encoder in encoders}


def as_demucs_encodes(audio: Audio, folder: Path) -> bytes:
    """Return the bytes that `demucs --mp3` writes for this stem."""
    path = folder / "reference.mp3"
    save_audio(torch.from_numpy(audio.copy()), path, SAMPLERATE)
    return path.read_bytes()
