"""A piece is a part of a stem that is still being made, known by its number; joined, they are the stem."""

import re

from msaas.errors import PieceNotFound
from msaas.pieces import Pieces
from msaas.queue import JobQueue
from msaas.songs import parse_id
from msaas.stems import parse_stem
from msaas.tracks import Tracks

_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


def pieces_of(job_id: str, *, queue: JobQueue) -> Pieces:
    """Return what the attempt that runs has to be heard. Raises `InvalidId` or `PieceNotFound`."""
    status = queue.status(parse_id(job_id))
    if status is None or status.pieces is None or not status.pieces.count:
        raise PieceNotFound(f"Nothing of {job_id} can be heard in pieces: not yet, or no longer.")
    return status.pieces


def piece(job_id: str, part: str, number: str, *, queue: JobQueue, tracks: Tracks) -> bytes:
    """Return the MP3. Raises `InvalidId`, `UnknownStem` or `PieceNotFound`."""
    stem = parse_stem(part)
    pieces = pieces_of(job_id, queue=queue)
    if stem not in pieces.stems or not _NUMBER.fullmatch(number) or int(number) > pieces.count:
        raise PieceNotFound(f"{pieces.job_id} has pieces 1 to {pieces.count} of {', '.join(pieces.stems)}.")
    return tracks.piece(pieces, stem, number=int(number))
