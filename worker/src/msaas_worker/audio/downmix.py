"""Downmix to stereo as in ITU-R BS.775: centre and surround at -3 dB, without the low-frequency channel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from msaas_worker.audio.decoded import Audio

#: The speaker of each channel.
Layout = Sequence[str]

_MINUS_3_DB = 0.5**0.5
_LEFT, _RIGHT, _BOTH = (_MINUS_3_DB, 0.0), (0.0, _MINUS_3_DB), (0.5, 0.5)
#: The gain of each speaker in the left and the right channel, in the order of the bits of a mask of
#: WAVEFORMATEXTENSIBLE. Speakers above the listener are mixed like surrounds.
_GAINS: dict[str, tuple[float, float]] = {
    **{"L": (1, 0), "R": (0, 1), "C": (_MINUS_3_DB, _MINUS_3_DB), "LFE": (0, 0)},
    **{"BL": _LEFT, "BR": _RIGHT, "LC": (1, 0), "RC": (0, 1), "BC": _BOTH, "SL": _LEFT, "SR": _RIGHT},
    **{"TC": _BOTH, "TFL": _LEFT, "TFC": _BOTH, "TFR": _RIGHT, "TBL": _LEFT, "TBC": _BOTH, "TBR": _RIGHT},
}
_MASK_SPEAKERS = tuple(_GAINS)
#: Speakers by their number, where a file does not tell them.
WAVE_ORDER: dict[int, Layout] = {
    3: ("L", "R", "C"),
    4: ("L", "R", "BL", "BR"),
    5: ("L", "R", "C", "BL", "BR"),
    6: ("L", "R", "C", "LFE", "BL", "BR"),
    7: ("L", "R", "C", "LFE", "BC", "SL", "SR"),
    8: ("L", "R", "C", "LFE", "BL", "BR", "SL", "SR"),
}
#: The order of Vorbis I, section 4.3.9, which Opus shares.
VORBIS_ORDER: dict[int, Layout] = {
    3: ("L", "C", "R"),
    4: ("L", "R", "BL", "BR"),
    5: ("L", "C", "R", "BL", "BR"),
    6: ("L", "C", "R", "BL", "BR", "LFE"),
    7: ("L", "C", "R", "SL", "SR", "BC", "LFE"),
    8: ("L", "C", "R", "SL", "SR", "BL", "BR", "LFE"),
}


def find_speakers(mask: int, *, channels: int) -> Layout | None:
    """Return the speakers of a channel mask, None if it has an unknown one or another number of them."""
    layout = [speaker for bit, speaker in enumerate(_MASK_SPEAKERS) if mask >> bit & 1]
    return layout if mask.bit_count() == len(layout) == channels else None


def is_mixable(layout: Layout) -> bool:
    """Return whether all speakers are known."""
    return _GAINS.keys() >= set(layout)


def downmix(block: Audio, *, layout: Layout | None = None) -> Audio:
    """Return `[2, n]` of `[channels, n]`. Mono is on both sides, two channels are left and right.

    Without a layout it follows from the number of channels. Of more than 8 channels two are kept then.
    """
    channels = block.shape[0]
    if channels <= 2:
        return np.broadcast_to(block, (2, block.shape[-1]))
    speakers = layout or WAVE_ORDER.get(channels)
    return _matrix(speakers) @ block if speakers else block[:2]


def _matrix(speakers: Layout) -> NDArray[np.float32]:
    return np.array([_GAINS[speaker] for speaker in speakers], np.float32).T
