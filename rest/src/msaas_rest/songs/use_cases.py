"""The use cases of the songs API on the dependencies of the service."""

from msaas.removal import Removal
from msaas_rest.api.separate.routes import submitter_of
from msaas_rest.bootstrap import Dependencies
from msaas_rest.songs.deletion import Deletions
from msaas_rest.songs.upload import Uploader


def uploader_of(deps: Dependencies) -> Uploader:
    return Uploader(
        submitter=submitter_of(deps),
        songs=lambda: deps.catalogue.open().songs,
        removal=lambda: removal_of(deps),
    )


def deletions_of(deps: Dependencies) -> Deletions:
    return Deletions(catalogue=deps.catalogue.open, queue=deps.queue, removal=lambda: removal_of(deps))


def removal_of(deps: Dependencies) -> Removal:
    """Return the removal of private songs. Raises `DatabaseUnavailable`."""
    songs = deps.catalogue.open().songs
    return Removal(
        queue=deps.queue,
        registry=deps.registry,
        song_store=deps.uploads,
        is_referenced=songs.is_referenced,
    )
