"""MP3 by LAME at a constant bit rate, with the parameters of the demucs CLI."""

from pathlib import Path

import lameenc
import numpy as np

from msaas_worker.audio.decoded import CHANNELS, Audio
from msaas_worker.audio.encoders.id3 import write_id3
from msaas_worker.audio.encoders.mp3_layout import Mp3Layout
from msaas_worker.audio.stem_format import StemFormat
from msaas_worker.audio.tags import Tags

#: LAME's quality; the demucs CLI uses 2, too.
_QUALITY = 2
_FULL_SCALE = np.float32(2**15 - 1)


def mp3_layout(form: StemFormat) -> Mp3Layout:
    return Mp3Layout(samples=form.samples, rate_hz=form.rate_hz, bit_rate=form.bit_rate)


class Mp3Encoder:
    """Implements `Encoder`. Every byte is final and in the file at once, so that it can be read meanwhile."""

    def __init__(self, path: Path, form: StemFormat, tags: Tags) -> None:
        self._lame = _lame(form)
        self.final_bytes = 0
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by `close`
        self._write(write_id3(tags) + mp3_layout(form).info_frame())

    def write(self, frames: Audio) -> None:
        self._write(self._lame.encode((frames * _FULL_SCALE).astype("<i2").tobytes()))

    def finish(self) -> None:
        self._write(self._lame.flush())
        self.close()

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes | bytearray) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.final_bytes += len(data)


def _lame(form: StemFormat) -> lameenc.Encoder:
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(form.bit_rate)
    encoder.set_in_sample_rate(form.rate_hz)
    encoder.set_channels(CHANNELS)
    encoder.set_quality(_QUALITY)
    encoder.silence()
    return encoder
