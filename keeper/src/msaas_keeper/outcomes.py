"""Notes the results of uploads after their jobs have ended. A list of songs then need not read the store."""

from collections.abc import Collection, Sequence
from typing import Protocol

from msaas.errors import Unavailable
from msaas.logs import get_logger
from msaas.outcomes import Outcomes
from msaas.separations import Separation

log = get_logger()


class Songs(Protocol):
    """The uploads in the database. Every method raises `Unavailable`."""

    def find_jobs(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that an upload refers to."""


def note_outcomes(separations: Sequence[Separation], *, songs: Songs, outcomes: Outcomes) -> None:
    """Note the results of jobs that uploads refer to. After an outage the first list of a song notes it."""
    try:
        outcomes.note(songs.find_jobs({each.job_id for each in separations}))
    except Unavailable as error:
        log.warning("outcomes_not_noted", count=len(separations), reason=str(error))
