"""Decoding with libsndfile: WAV, AIFF, FLAC, Ogg Vorbis, Opus and relatives."""

import os
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from msaas.chains import has_flac_frames
from msaas.flac import SEARCH_BYTES as FLAC_SEARCH_BYTES
from msaas_worker.audio.decoders import Blocks
from msaas_worker.audio.decoders.layouts import read_layout
from msaas_worker.audio.downmix import downmix

#: Samples of each channel in a block.
BLOCK_SAMPLES = 1 << 18
#: The number of samples of a FLAC that does not declare it.
_UNKNOWN = (1 << 63) - 1


def decode_sndfile(song: BinaryIO, *, on_damage: Callable[[], None] = lambda: None) -> Blocks:
    """Yield the song as stereo to its end, or to damage that ends its decoding, which `on_damage` is told.

    The library gets the descriptor: callbacks into Python would need memory that is writable and executable.

    Raises:
        ValueError: the format is unknown.
    """
    samples = 0
    with _open(song) as file:
        layout = read_layout(song, file)
        while len(block := _read(file, min(BLOCK_SAMPLES, file.frames - samples), on_damage=on_damage)):
            samples += len(block)
            yield file.samplerate, downmix(np.ascontiguousarray(block.T), layout=layout)
        is_cut = samples < file.frames != _UNKNOWN
        if is_cut or (file.format == "FLAC" and _has_further_frames(song)):
            on_damage()


def _has_further_frames(song: BinaryIO) -> bool:
    """Return whether frames follow the part that was read: the header of a FLAC may tell too few samples."""
    position = os.lseek(song.fileno(), 0, os.SEEK_CUR)
    return has_flac_frames(os.pread(song.fileno(), FLAC_SEARCH_BYTES, position), 0)


def _open(song: BinaryIO) -> soundfile.SoundFile:
    try:
        file = soundfile.SoundFile(song.fileno(), closefd=False)
        # Otherwise it seeks behind each block, which fails at the end of a FLAC of unknown length.
        file.seekable = lambda: False
        return file
    except soundfile.LibsndfileError as error:
        raise ValueError(error.error_string) from None


def _read(file: soundfile.SoundFile, samples: int, *, on_damage: Callable[[], None]) -> NDArray[np.float32]:
    """Return the next samples. At damage the library does not tell how many it has written."""
    block = np.full((samples, file.channels), np.nan, np.float32)
    try:
        read: NDArray[np.float32] = file.read(samples, dtype="float32", always_2d=True, out=block)
        return read
    except soundfile.LibsndfileError:
        on_damage()
        written = np.flatnonzero(~np.isnan(block[:, 0]))
        return block[: written[-1] + 1] if len(written) else block[:0]
