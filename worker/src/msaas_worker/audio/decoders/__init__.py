"""Decoders of the decoder process: each yields blocks of float samples with their rate."""

from collections.abc import Iterator

from msaas_worker.audio.decoded import Audio

#: A sample rate in Hz, and stereo samples `[2, n]`. The rate may change within a song.
Blocks = Iterator[tuple[int, Audio]]


class TooLongError(Exception):
    """The song is longer than allowed."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"The song is longer than {limit_s:g} s.")
