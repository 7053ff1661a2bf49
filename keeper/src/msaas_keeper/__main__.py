"""`python -m msaas_keeper` runs the housekeeping tasks until SIGTERM."""

import tempfile
import threading
from functools import partial
from pathlib import Path

from msaas.background import Tasks
from msaas.bootstrap import (
    open_history_queue,
    open_outbox,
    open_queue,
    open_song_registry,
    open_song_store,
    queue_policy,
    start_logging,
    start_metrics,
)
from msaas.heartbeat import Beat, Heartbeat
from msaas.lifecycle import end_process, stop_on_signals
from msaas.logs import get_logger
from msaas.outcomes import Outcomes
from msaas.queue.history import HistoryQueue
from msaas.queue.outbox import Outbox
from msaas.queue.protocol import JobQueue
from msaas.queue.song_registry import SongRegistry
from msaas.removal import Removal
from msaas.settings import load_or_exit
from msaas.storage.song_store import SongStore
from msaas.webhooks.dispatcher import Dispatcher, Send
from msaas.webhooks.sender import post
from msaas_catalogue.catalogue import Catalogue, open_catalogue
from msaas_keeper.fragments import collect_fragments
from msaas_keeper.history import move_history
from msaas_keeper.outcomes import note_outcomes
from msaas_keeper.reaper import reap
from msaas_keeper.retention import Retention, sweep_if_due
from msaas_keeper.settings import KeeperSettings
from msaas_keeper.uploads import remove_interrupted_uploads, remove_old_uploads

#: A dead receiver holds one of these threads for 15 s at most.
_WEBHOOK_THREADS = 4
_WEBHOOKS_EVERY_S = 1.0
#: In the folder for temporary files. Its age tells the probe of a pod that the keeper lives.
_HEARTBEAT_FILE = "msaas-keeper-heartbeat"
_HEARTBEAT_EVERY_S = 5.0
_HISTORY_EVERY_S = 2.0
_SESSIONS_EVERY_S = 3600.0
_PRIVATE_MARKS_EVERY_S = 2.0
_REMOVALS_EVERY_S = 30.0
_UPLOADS_EVERY_S = 600.0

log = get_logger()


def main() -> None:
    settings = load_or_exit(KeeperSettings, program="msaas_keeper", description="Housekeeping of MSaaS.")
    stopping = stop_on_signals()
    start_logging(settings, service="keeper")
    start_metrics(settings, service="keeper")
    tasks = bootstrap(settings, stopping)
    log.info("keeper_started")
    heartbeat = Heartbeat(Path(tempfile.gettempdir()) / _HEARTBEAT_FILE, every_s=0)
    # A task that keeps failing lets the file grow old: the probe restarts the pod.
    keep_beating(tasks.guard(heartbeat), stopping)
    log.info("keeper_stopped")
    # A delivery in flight is not waited for: its visibility timeout returns it.
    end_process(0)


def bootstrap(
    settings: KeeperSettings,
    stopping: threading.Event,
    *,
    queue: JobQueue | None = None,
    registry: SongRegistry | None = None,
    history: HistoryQueue | None = None,
    outbox: Outbox | None = None,
    song_store: SongStore | None = None,
    send: Send | None = None,
    catalogue: Catalogue | None = None,
) -> Tasks:
    """Start the tasks on real adapters, or on those given.

    Without a database the history stays in the queue.
    """
    queue = queue or open_queue(settings)
    history = history or open_history_queue(settings)
    outbox = outbox or open_outbox(settings)
    song_store = song_store or open_song_store(settings)
    if catalogue is None and settings.database_url:
        catalogue = open_catalogue(settings.database_url.get_secret_value())
    find_private = catalogue.songs.all_private_songs if catalogue else None
    registry = registry or open_song_registry(settings, find_private=find_private)
    sweep_s = queue_policy(settings).sweep_s
    dispatcher = Dispatcher(
        outbox=outbox,
        send=send or partial(post, private=settings.callback_allow_private),
        secret=settings.signing_secret,
    )
    tasks = Tasks(stopping)
    tasks.every(sweep_s, partial(reap, queue), name="reaper")
    tasks.every(sweep_s, partial(collect_fragments, queue, song_store), name="fragments")
    for number in range(_WEBHOOK_THREADS):
        tasks.every(_WEBHOOKS_EVERY_S, dispatcher.deliver_all, name=f"webhooks-{number}")
    if catalogue:
        noted = catalogue.outcomes
        note = partial(
            note_outcomes,
            songs=catalogue.songs,
            outcomes=Outcomes(song_store=song_store, notes=lambda: noted),
        )
        move = partial(move_history, history, catalogue.history, on_moved=note)
        tasks.every(_HISTORY_EVERY_S, move, name="history")
        tasks.every(_SESSIONS_EVERY_S, catalogue.sessions.remove_expired, name="sessions")
        tasks.every(_PRIVATE_MARKS_EVERY_S, registry.ensure_private_marks, name="private_songs")
        removal = Removal(
            queue=queue,
            registry=registry,
            song_store=song_store,
            is_referenced=catalogue.songs.is_referenced,
        )
        tasks.every(_REMOVALS_EVERY_S, removal.repeat, name="removals")
        uploads = partial(remove_interrupted_uploads, catalogue.songs, queue=queue, song_store=song_store)
        tasks.every(_UPLOADS_EVERY_S, uploads, name="uploads")
    if settings.retention_hours:
        retention = Retention(
            queue=queue,
            registry=registry,
            song_store=song_store,
            age_s=settings.retention_hours * 3600,
            spared=[queue.referenced_songs, *([catalogue.songs.referenced_songs] if catalogue else [])],
        )
        if catalogue:
            remove = partial(remove_old_uploads, catalogue.songs, queue=queue, age_s=retention.age_s)
            tasks.every(min(retention.every_s, _UPLOADS_EVERY_S), remove, name="old_uploads")
        # Often enough to take over from another keeper that stopped: the lock keeps the interval.
        tasks.every(min(retention.every_s, 60.0), partial(sweep_if_due, retention, queue), name="retention")
    return tasks


def keep_beating(beat: Beat, stopping: threading.Event, *, every_s: float = _HEARTBEAT_EVERY_S) -> None:
    """Beat until `stopping` is set."""
    while not stopping.is_set():
        beat()
        stopping.wait(every_s)


if __name__ == "__main__":
    main()
