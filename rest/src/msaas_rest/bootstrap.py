"""Dependencies of the REST service: real adapters, or those a test brings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from msaas.bootstrap import (
    open_idempotency,
    open_outbox,
    open_public_store,
    open_queue,
    open_song_queue,
    open_song_registry,
    open_song_store,
)
from msaas.errors import Unavailable
from msaas.logs import get_logger
from msaas.queue.idempotency import Idempotency
from msaas.queue.outbox import Outbox
from msaas.queue.protocol import JobQueue
from msaas.queue.song_registry import SongRegistry
from msaas.queue.songs import SongQueue
from msaas.storage.protocol import PublicStore
from msaas.storage.song_store import SongStore
from msaas_rest.catalogue_gate import CatalogueGate
from msaas_rest.http.disk_budget import DiskBudget
from msaas_rest.http.rate_limit import Limiter, open_storage
from msaas_rest.job_events import JobEvents
from msaas_rest.settings import RestSettings

if TYPE_CHECKING:
    from msaas_catalogue import Catalogue

#: An API call has 2 s to report that the store is unavailable.
_ANSWER_S = 1.0

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """The adapters and limits of the service.

    `song_store` answers soon or fails. `uploads` is the same store with the time that a whole song takes.
    """

    settings: RestSettings
    queue: JobQueue
    registry: SongRegistry
    outbox: Outbox
    song_store: SongStore
    uploads: SongStore
    #: None if clients get stems from this service alone.
    public_store: PublicStore | None
    disk_budget: DiskBudget
    events: JobEvents
    idempotency: Idempotency
    catalogue: CatalogueGate
    limiter: Limiter
    #: The queue of songs in a broker, None if songs are jobs of `queue` as well.
    song_queue: SongQueue | None


def bootstrap(
    settings: RestSettings,
    *,
    queue: JobQueue | None = None,
    registry: SongRegistry | None = None,
    outbox: Outbox | None = None,
    song_store: SongStore | None = None,
    idempotency: Idempotency | None = None,
    catalogue: "Catalogue | None" = None,
    limiter: Limiter | None = None,
    song_queue: SongQueue | None = None,
) -> Dependencies:
    """Return the dependencies. Nothing is sent before their first use, but a broker is connected at once."""
    queue = queue or open_queue(settings)
    gate = CatalogueGate(catalogue) if catalogue else _open_gate(settings)
    return Dependencies(
        settings=settings,
        queue=queue,
        registry=registry or open_song_registry(settings, find_private=_private_songs_of(gate)),
        events=JobEvents(queue),
        outbox=outbox or open_outbox(settings),
        song_store=_noting(song_store or open_song_store(settings, read_timeout_s=_ANSWER_S), gate),
        uploads=_noting(song_store or open_song_store(settings), gate),
        public_store=_public_store(settings),
        disk_budget=DiskBudget(settings.max_in_flight_bytes),
        idempotency=idempotency or open_idempotency(settings),
        catalogue=gate,
        limiter=limiter or Limiter(open_storage(settings)),
        song_queue=song_queue or _song_queue(settings),
    )


def _private_songs_of(gate: CatalogueGate) -> Callable[[], set[str]] | None:
    """Return a function that reads the private songs, None without a database."""
    return (lambda: gate.open().songs.all_private_songs()) if gate.exists else None


def _open_gate(settings: RestSettings) -> CatalogueGate:
    if settings.database_url is None:
        return CatalogueGate(None)
    # SQLAlchemy takes a third of the start of a service: one without a database does without it.
    from msaas_catalogue import open_catalogue, prepare

    url = settings.database_url.get_secret_value()
    return CatalogueGate(open_catalogue(url), prepare=partial(prepare, url))


def _noting(song_store: SongStore, gate: CatalogueGate) -> SongStore:
    """Return the store, whose changes of results reach the notes of the catalogue."""
    return replace(song_store, on_change=partial(_forget_outcome, gate)) if gate.exists else song_store


def _forget_outcome(gate: CatalogueGate, job_id: str) -> None:
    """Without the database the note stays until the song is shown: the result has changed already."""
    try:
        gate.open().outcomes.forget([job_id])
    except Unavailable as error:
        log.warning("outcome_not_forgotten", job_id=job_id, reason=str(error))


def _song_queue(settings: RestSettings) -> SongQueue | None:
    if settings.queue != "rabbitmq":
        return None
    return open_song_queue(settings, max_message_bytes=settings.broker_max_message_bytes)


def _public_store(settings: RestSettings) -> PublicStore | None:
    """A directory store has no URLs of its own."""
    if settings.public_s3_url is None or settings.store_dir:
        return None
    return open_public_store(settings, url=settings.public_s3_url, region=settings.public_s3_region)
