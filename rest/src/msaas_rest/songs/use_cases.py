"""The use cases of the songs API on the dependencies of the service."""

from msaas.outcomes import Outcomes
from msaas.removal import Removal
from msaas_rest.api.separate.routes import submitter_of
from msaas_rest.bootstrap import Dependencies
from msaas_rest.songs.deletion import Deletions
from msaas_rest.songs.publishing import Publisher
from msaas_rest.songs.sending import JobSender, Sender
from msaas_rest.songs.upload import Uploader
from msaas_rest.songs.worker_results import ResultReceiver


def uploader_of(deps: Dependencies) -> Uploader:
    return Uploader(
        sender=_sender_of(deps),
        registry=deps.registry,
        songs=lambda: deps.catalogue.open().songs,
        removal=lambda: removal_of(deps),
        max_songs=deps.settings.max_songs_per_uploader,
    )


def _sender_of(deps: Dependencies) -> Sender:
    submitter = submitter_of(deps)
    if deps.song_queue is None:
        return JobSender(submitter=submitter)
    return Publisher(
        submitter=submitter,
        registry=deps.registry,
        song_store=deps.song_store,
        song_queue=deps.song_queue,
    )


def deletions_of(deps: Dependencies) -> Deletions:
    return Deletions(
        catalogue=deps.catalogue.open,
        queue=deps.queue,
        registry=deps.registry,
        removal=lambda: removal_of(deps),
    )


def outcomes_of(deps: Dependencies) -> Outcomes:
    return Outcomes(song_store=deps.song_store, notes=lambda: deps.catalogue.open().outcomes)


def receiver_of(deps: Dependencies) -> ResultReceiver:
    return ResultReceiver(
        catalogue=deps.catalogue.open,
        registry=deps.registry,
        queue=deps.queue,
        song_store=deps.uploads,
        removal=lambda: removal_of(deps),
        limits=deps.settings.result_limits,
    )


def removal_of(deps: Dependencies) -> Removal:
    """Return the removal of private songs. Raises `DatabaseUnavailable`."""
    songs = deps.catalogue.open().songs
    return Removal(
        queue=deps.queue,
        registry=deps.registry,
        song_store=deps.uploads,
        is_referenced=songs.is_referenced,
    )
