"""Stems encoded by this package and by demucs."""

from pathlib import Path

import torch
from demucs.audio import save_audio

from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.encoders.mp3_layout import Mp3Layout
from msaas_worker.audio.encoding import StemObserver, open_encoders
from msaas_worker.audio.stem_format import StemFormat
from msaas_worker.audio.tags import Tags

#: The length of a region, which is not a multiple of that of a frame.
_BLOCK = 30_011


def mp3_of(audio: Audio) -> StemFormat:
    """Return the default format for stems as long as this audio."""
    return StemFormat(name="mp3", samples=audio.shape[-1], bit_rate=320, clip="rescale")


def layout_of(audio: Audio) -> Mp3Layout:
    """Return the layout of the same format."""
    return Mp3Layout(samples=audio.shape[-1], rate_hz=SAMPLERATE, bit_rate=320)


def encode_stem(
    audio: Audio,
    folder: Path,
    *,
    form: StemFormat | None = None,
    block: int = _BLOCK,
    tags: Tags = Tags(),
) -> bytes:
    """Encode `[2, samples]` in blocks."""
    return encode_file(audio, folder, form=form or mp3_of(audio), block=block, tags=tags).read_bytes()


def encode_file(
    audio: Audio, folder: Path, *, form: StemFormat, block: int = _BLOCK, tags: Tags = Tags()
) -> Path:
    """Do the same and return the file."""
    with open_encoders(folder, ("stem",), form, tags=tags) as (encoder,):
        for start in range(0, audio.shape[-1], block):
            encoder.write(audio[:, start : start + block])
        encoder.finish().result()
        return encoder.path


def encode_stems(
    song: Audio,
    stems: tuple[str, ...],
    folder: Path,
    *,
    observer: StemObserver,
    region: int = 10 * SAMPLERATE,
    tags: Tags = Tags(),
) -> dict[str, bytes]:
    """Encode the song as each of the stems, observed."""
    folder.mkdir(exist_ok=True)
    with open_encoders(folder, stems, mp3_of(song), tags=tags, observer=observer) as encoders:
        for start in range(0, song.shape[-1], region):
            for encoder in encoders:
                encoder.write(song[:, start : start + region])
        for ending in [encoder.finish() for encoder in encoders]:
            ending.result()
    return {encoder.stem: encoder.path.read_bytes() for encoder in encoders}


def as_demucs_encodes(audio: Audio, folder: Path) -> bytes:
    """Return our Info frame, and the bytes that `demucs --mp3` writes for this stem."""
    path = folder / "reference.mp3"
    save_audio(torch.from_numpy(audio.copy()), path, SAMPLERATE)
    return layout_of(audio).info_frame() + path.read_bytes()
