"""Where an uploaded song goes: to the queue of jobs, or to a broker."""

from dataclasses import dataclass
from typing import Protocol

from msaas_rest.api.separate.submission import Checked, Submission, Submitter, check_room


class Sender(Protocol):
    @property
    def default_model(self) -> str: ...

    def check_room(self) -> None:
        """Refuse a song that could not be sent, before its upload. Raises `Unavailable`."""

    def check(self, submission: Submission) -> Checked:
        """Raise the errors that the song and its recipe cause. Nothing is stored.

        Raises:
            NotAudio, SongTooLong, SongTooLarge, DecoderMissing, FormatUnavailable, InvalidOption: the song is
                refused.
            Unavailable: a dependency does not answer.
        """

    def send(self, submission: Submission, checked: Checked) -> None:
        """Store the song and let it be separated, unless its result is there. Raises `Unavailable`."""


@dataclass(frozen=True, kw_only=True)
class JobSender:
    """Implements `Sender` with the queue of jobs."""

    submitter: Submitter

    @property
    def default_model(self) -> str:
        return self.submitter.default_model

    def check_room(self) -> None:
        check_room(self.submitter.queue, max_queued=self.submitter.max_queued)

    def check(self, submission: Submission) -> Checked:
        return self.submitter.check(submission)

    def send(self, submission: Submission, checked: Checked) -> None:
        self.submitter.accept(submission, checked)
