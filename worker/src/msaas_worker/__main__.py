"""Starts a worker: builds its parts once, runs its loop, and leaves when told."""

import os
import secrets
import socket
import sys
import threading
from functools import partial

from msaas import log_info
from msaas.errors import DeviceUnavailable, ModelUnavailable, StoreUnavailable
from msaas.lifecycle import stop_on_signals
from msaas.redis_log import start_logging
from msaas.redis_outbox import RedisOutbox
from msaas.redis_queue import RedisQueue
from msaas.settings import load_or_exit
from msaas.tracks import Tracks
from msaas_worker.allocator import keep_freed_memory
from msaas_worker.callbacks import Courier
from msaas_worker.consumer import Loop
from msaas_worker.handler import Handler
from msaas_worker.heartbeat import Heartbeat
from msaas_worker.postman import post
from msaas_worker.retention import Retention, start_retention
from msaas_worker.scratch import Scratch
from msaas_worker.separators import Separators
from msaas_worker.separators.library import open_library
from msaas_worker.settings import WorkerSettings
from msaas_worker.shutdown import end_process, wind_down
from msaas_worker.sweeper import start_sweeping
from msaas_worker.tidying import start_tidying


def main() -> None:
    # Before a thread allocates: whichever has an arena of its own keeps it.
    keep_freed_memory()
    settings = load_or_exit(WorkerSettings)
    stopping = stop_on_signals()
    start_logging(
        service="worker",
        level=settings.log_level,
        address=settings.redis_address,
        key=settings.redis_log_key,
    )
    scratch = Scratch()
    loop = bootstrap(settings, scratch, stopping)
    thread = threading.Thread(target=run, args=(loop,), name="consumer", daemon=True)
    thread.start()
    stopping.wait()
    wind_down(loop, thread, drain_s=settings.drain_seconds)
    scratch.remove()
    log_info("worker_stopped")
    end_process(loop.exit_code)


def bootstrap(settings: WorkerSettings, scratch: Scratch, stopping: threading.Event) -> Loop:
    """Build the worker from real parts; exits when the device that was asked for is absent."""
    try:
        library = open_library(
            default=settings.demucs_model,
            repo=settings.model_repo,
            fallback=settings.model_fallback,
            device=settings.device,
            precision=settings.precision,
        )
    except DeviceUnavailable as error:
        log_info("worker_cannot_start", reason=str(error))
        sys.exit(str(error))
    load(library, settings.demucs_model)
    tracks = settings.tracks()
    prepare(tracks)
    queue = RedisQueue(settings.redis_address, keys=settings.keys, policy=settings.policy)
    start_sweeping(queue, every_s=settings.policy.sweep_s, stopping=stopping)
    if settings.retention_hours:
        retention = Retention(tracks, settings.retention_hours * 3600, spared=[queue.open_songs])
        start_retention(retention, queue, stopping=stopping)
    outbox = RedisOutbox(settings.redis_address, keys=settings.keys, policy=settings.policy)
    deliver = partial(post, private=settings.callback_allow_private)
    Courier(outbox, deliver, stopping, settings.signing_secret).start()
    handler = Handler(
        tracks,
        library,
        scratch,
        settings.demucs_model,
        settings.max_duration_s,
        publishes=settings.publish_pieces,
    )
    name, beat = incarnation(), Heartbeat(scratch.heartbeat)
    loop = Loop(queue.consumer(name), handler.handle, settings.policy, stopping, beat)
    start_tidying(queue, tracks, every_s=settings.policy.sweep_s, job_ended=loop.job_ended, stopping=stopping)
    log_info("worker_started", worker=name)
    return loop


def incarnation() -> str:
    """Return a name that no other process ever has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def load(library: Separators, model: str) -> None:
    """Load the default model, which says what runs; without it the worker lives, and each job says why."""
    try:
        library.get(model)
    except ModelUnavailable as error:
        log_info("model_unavailable", model=model, reason=str(error))


def prepare(tracks: Tracks) -> None:
    """Make the buckets; a store that is away now gets them from `rest`."""
    try:
        tracks.prepare()
    except StoreUnavailable as error:
        log_info("store_away", reason=str(error))


def run(loop: Loop) -> None:
    """Run the loop; should it break, the whole worker ends and is started anew."""
    try:
        loop.run()
    except BaseException as error:
        log_info("worker_broke", reason=repr(error))
        loop.exit_code = 1
        raise
    finally:
        loop.stopping.set()


if __name__ == "__main__":
    main()
