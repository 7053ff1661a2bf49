"""Downmix to stereo as in ITU-R BS.775: centre and surround at -3 dB, without the low-frequency channel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from msaas_worker.audio.decoded import Audio

_MINUS_3_DB = 0.5**0.5
#: The gain of each speaker in the left and the right channel.
_GAINS: dict[str, tuple[float, float]] = {
    "L": (1, 0),
    "R": (0, 1),
    "C": (_MINUS_3_DB, _MINUS_3_DB),
    "LFE": (0, 0),
    "BL": (_MINUS_3_DB, 0),
    "BR": (0, _MINUS_3_DB),
    "BC": (0.5, 0.5),
    "SL": (_MINUS_3_DB, 0),
    "SR": (0, _MINUS_3_DB),
}
#: Speakers by their number: the order of WAVE_FORMAT_EXTENSIBLE, which FLAC and ffmpeg share.
WAVE_ORDER: dict[int, Sequence[str]] = {
    3: ("L", "R", "C"),
    4: ("L", "R", "BL", "BR"),
    5: ("L", "R", "C", "BL", "BR"),
    6: ("L", "R", "C", "LFE", "BL", "BR"),
    7: ("L", "R", "C", "LFE", "BC", "SL", "SR"),
    8: ("L", "R", "C", "LFE", "BL", "BR", "SL", "SR"),
}
#: The order of Vorbis I, section 4.3.9, which Opus shares.
VORBIS_ORDER: dict[int, Sequence[str]] = {
    3: ("L", "C", "R"),
    4: ("L", "R", "BL", "BR"),
    5: ("L", "C", "R", "BL", "BR"),
    6: ("L", "C", "R", "BL", "BR", "LFE"),
    7: ("L", "C", "R", "SL", "SR", "BC", "LFE"),
    8: ("L", "C", "R", "SL", "SR", "BL", "BR", "LFE"),
}


def downmix(block: Audio, *, order: dict[int, Sequence[str]] = WAVE_ORDER) -> Audio:
    """Return `[2, n]` of `[channels, n]`. Mono is on both sides. Of more than 8 channels two are kept."""
    channels = block.shape[0]
    if channels == 1:
        return np.broadcast_to(block, (2, block.shape[-1]))
    if channels not in order:
        return block[:2]
    return _matrix(order[channels]) @ block


def _matrix(speakers: Sequence[str]) -> NDArray[np.float32]:
    return np.array([_GAINS[speaker] for speaker in speakers], np.float32).T
