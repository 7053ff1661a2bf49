"""Encoders of stems, one module for each kind of file."""

from typing import Protocol

from msaas_worker.audio.decoded import Audio


class Encoder(Protocol):
    """Writes the samples of one stem into one file, as they come."""

    #: The first bytes of the file that do not change any more. An index or a length may be filled in at the
    #: end: then they are 0.
    final_bytes: int

    def write(self, frames: Audio) -> None:
        """Encode frames `[n, 2]`, which are within full scale unless the format allows more."""

    def finish(self) -> None:
        """Write the rest and close the file. Raises if the file is not whole."""

    def close(self) -> None:
        """Close the file, finished or not."""
