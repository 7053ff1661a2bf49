"""FLAC, WAV and Opus by libsndfile."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from msaas.formats import FLOAT
from msaas_worker.audio.decoded import CHANNELS, Audio
from msaas_worker.audio.encoders.flac_picture import add_cover
from msaas_worker.audio.quantisation import quantise
from msaas_worker.audio.stem_format import StemFormat
from msaas_worker.audio.tags import Tags

#: A WAV header has 32 bits for the size of the file. Its other chunks are smaller than the rest.
_MAX_WAV_BYTES = 2**32 - 2**16
_FLOAT_BITS = 32
#: libsndfile's range of bit rates of Opus, in kbit/s of each channel: from level 1 to level 0.
_LEAST_OPUS_RATE, _MOST_OPUS_RATE = 6, 256
#: `SFC_SET_ADD_PEAK_CHUNK` of libsndfile.
_SET_ADD_PEAK_CHUNK = 0x1050


class SndfileEncoder:
    """Implements `Encoder`."""

    final_bytes = 0

    def __init__(self, path: Path, form: StemFormat, tags: Tags) -> None:
        self._path = path
        self._cover = tags.cover if form.name == "flac" else None
        self._bits = 0 if form.bits in ("", FLOAT) else int(form.bits)
        self._file = soundfile.SoundFile(str(path), "w", form.rate_hz, CHANNELS, **_parameters(form))
        _leave_out_peaks(self._file)
        for name, text in tags.texts.items():
            setattr(self._file, name, text)

    def write(self, frames: Audio) -> None:
        self._file.write(_left_justified(frames, self._bits) if self._bits else frames)

    def finish(self) -> None:
        self.close()
        if self._cover:
            add_cover(self._path, self._cover)

    def close(self) -> None:
        self._file.close()


def _parameters(form: StemFormat) -> dict[str, Any]:
    if form.name == "opus":
        return {"format": "OGG", "subtype": "OPUS", "compression_level": _opus_level(form.bit_rate)}
    subtype = "FLOAT" if form.bits == FLOAT else f"PCM_{form.bits}"
    if form.name == "flac":
        return {"format": "FLAC", "subtype": subtype}
    frame_bytes = CHANNELS * (_FLOAT_BITS if form.bits == FLOAT else int(form.bits)) // 8
    is_large = form.samples * frame_bytes > _MAX_WAV_BYTES
    return {"format": "RF64" if is_large else "WAV", "subtype": subtype}


def _opus_level(bit_rate: int) -> float:
    """Return the compression level at which libsndfile chooses this bit rate in kbit/s."""
    return (_MOST_OPUS_RATE - bit_rate / CHANNELS) / (_MOST_OPUS_RATE - _LEAST_OPUS_RATE)


def _left_justified(frames: Audio, bits: int) -> NDArray[np.int32]:
    """Return integers whose upper bits are the samples: libsndfile writes these bits as they are."""
    return quantise(frames, bits).astype(np.int32) << (32 - bits)


def _leave_out_peaks(file: soundfile.SoundFile) -> None:
    """Leave out the chunk with the peaks of a float WAV: it has the time of day in it."""
    soundfile._snd.sf_command(file._file, _SET_ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
