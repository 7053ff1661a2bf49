"""What is encoded of the stems is laid into the store piece by piece, so that it can be heard at once."""

import secrets
import threading
from collections.abc import Iterator, Sequence

from msaas import log_info
from msaas.errors import LeaseLost
from msaas.pieces import Pieces
from msaas.tracks import Tracks
from msaas_worker.decoded import SAMPLERATE
from msaas_worker.encoder import BYTES_PER_S, FRAME_SAMPLES, StemEncoder
from msaas_worker.lease import Lease

#: At 320 kbit/s and 44.1 kHz so many frames, and no fewer, have a whole number of bytes. Each piece begins
#: with a frame, and lies where the pieces of any other attempt lie.
_UNIT_FRAMES = 49
_UNIT_BYTES = _UNIT_FRAMES * FRAME_SAMPLES * BYTES_PER_S // SAMPLERATE
#: 5.12 s: less than one segment of the model, so that the first one can be heard.
_SHORTEST_UNITS = 4
#: 51.2 s, which are 2 MB.
_LONGEST_UNITS = 40
#: A piece is this part of what came before it: long songs have few pieces, and whoever plays has time.
_GROWTH = 10


def spans() -> Iterator[tuple[int, int]]:
    """Yield where in every stem its pieces begin and end, in bytes."""
    first = 0
    while True:
        units = min(max(first // _GROWTH, _SHORTEST_UNITS), _LONGEST_UNITS)
        yield first * _UNIT_BYTES, (first + units) * _UNIT_BYTES
        first += units


class Publisher:
    """Implements `Audience`, in a thread of its own: what goes wrong ends the publication, never the job."""

    def __init__(self, tracks: Tracks, lease: Lease) -> None:
        self._tracks = tracks
        self._lease = lease
        self._is_listening = True
        self._news, self._closed = threading.Event(), threading.Event()

    def attend(self, stems: Sequence[StemEncoder]) -> None:
        threading.Thread(target=self._run, args=(stems,), name="publish", daemon=True).start()

    def listens(self) -> bool:
        return self._is_listening

    def notice(self) -> None:
        self._news.set()

    def close(self) -> None:
        """Publish nothing more. What is being stored this moment is not waited for."""
        self._closed.set()
        self._news.set()

    def _run(self, stems: Sequence[StemEncoder]) -> None:
        job_id = self._lease.claim.job.songhash
        try:
            self._publish_all(stems, Pieces(job_id, secrets.token_hex(6), tuple(each.stem for each in stems)))
        except Exception as error:
            if not self._closed.is_set():
                log_info("publishing_stopped", job=job_id, reason=f"{type(error).__name__}: {error}")
        finally:
            self._is_listening = False

    def _publish_all(self, stems: Sequence[StemEncoder], pieces: Pieces) -> None:
        self._lease.show(pieces)
        for start, end in spans():
            if not self._wait_until_encoded(stems, end):
                return
            mp3s = [each.read(start, end) for each in stems]
            if not all(mp3s):
                return
            pieces = self._publish(pieces, mp3s, start)

    def _wait_until_encoded(self, stems: Sequence[StemEncoder], end: int) -> bool:
        """Wait until every stem reaches there or is whole; False when nobody needs it any more."""
        while not self._closed.is_set():
            self._news.clear()
            if all(each.is_whole or each.encoded_bytes >= end for each in stems):
                return True
            self._news.wait()
        return False

    def _publish(self, pieces: Pieces, mp3s: Sequence[bytes], start: int) -> Pieces:
        number = pieces.count + 1
        for stem, mp3 in zip(pieces.stems, mp3s, strict=True):
            self._tracks.put_piece(pieces, stem, number=number, mp3=mp3)
        more = pieces.with_next(until_s=round((start + min(map(len, mp3s))) / BYTES_PER_S, 3))
        try:
            self._lease.show(more)
        except LeaseLost:
            # The attempt is over, and whoever deletes its pieces may have been here before this one.
            self._tracks.delete_piece(pieces, number=number)
            raise
        return more
