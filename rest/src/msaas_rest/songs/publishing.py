"""Songs for the workers of a broker: the message is the song itself, with no room for options."""

import threading
from contextlib import suppress
from dataclasses import dataclass, field

from msaas.errors import InvalidOption, TooBusy, Unavailable
from msaas.logs import bind_log, get_logger
from msaas.queue.song_registry import SongRegistry
from msaas.queue.songs import SongQueue
from msaas.stem_tar import EXTRAS
from msaas.storage.song_store import SongStore
from msaas_rest.api.separate.submission import Checked, Submission, Submitter, log_song
from msaas_rest.songs.worker_results import is_split

#: A song waits this long for those before it.
_PATIENCE_S = 30.0

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Implements `Sender` with a broker. `submitter` checks and stores the songs."""

    submitter: Submitter
    registry: SongRegistry
    song_store: SongStore
    song_queue: SongQueue
    #: Held while a song is in memory and on its way: one connection takes one song at a time.
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def default_model(self) -> str:
        return self.submitter.default_model

    def check_room(self) -> None:
        self.song_queue.ping()

    def check(self, submission: Submission) -> Checked:
        if options := submission.recipe.options():
            raise InvalidOption(
                f"The workers of this service accept no options. Leave out {', '.join(options)}."
            )
        self.song_queue.check_size(submission.size_bytes)
        return self.submitter.check_song(submission)

    def send(self, submission: Submission, checked: Checked) -> None:
        song_hash = checked.song_hash
        bind_log(job_id=song_hash)
        log_song(submission, checked)
        self.submitter.request(song_hash, submission)
        if is_split(song_hash, song_store=self.song_store):
            log.info("song_already_separated")
            return
        self.submitter.store(song_hash, submission, checked.song.container)
        if self.registry.is_published(song_hash):
            log.info("song_already_published")
        else:
            self._publish(song_hash, submission)

    def _publish(self, song_hash: str, submission: Submission) -> None:
        if not self._turn.acquire(timeout=_PATIENCE_S):
            raise TooBusy("Too many songs are being published. Try again in 5 s.")
        try:
            submission.song.seek(0)
            self.song_queue.publish(song_hash, submission.song.read(), extras=EXTRAS)
        finally:
            self._turn.release()
        # Without the note the same song may be separated twice, with one result.
        with suppress(Unavailable):
            self.registry.note_publication(song_hash)
        log.info("song_published")
