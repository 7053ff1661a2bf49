"""`python -m msaas_worker` takes jobs until SIGTERM."""

import os
import secrets
import socket
import threading
from contextlib import suppress
from functools import partial

from msaas.background import Tasks, spawn
from msaas.bootstrap import (
    open_outbox,
    open_queue,
    open_song_consumer,
    open_song_store,
    queue_policy,
    start_logging,
    start_metrics,
)
from msaas.errors import (
    DeviceUnavailable,
    ModelUnavailable,
    ObjectNotFound,
    QueueUnavailable,
    StoreUnavailable,
)
from msaas.heartbeat import Heartbeat
from msaas.lifecycle import end_process, stop_on_signals
from msaas.logs import get_logger
from msaas.queue.abilities import FFMPEG, Abilities
from msaas.queue.consumer import Consumer
from msaas.queue.outbox import Outbox
from msaas.queue.protocol import JobQueue
from msaas.queue.songs import SongConsumer
from msaas.settings import load_or_exit
from msaas.storage.song_store import SongStore
from msaas.webhooks.dispatcher import Dispatcher, Send
from msaas.webhooks.sender import post
from msaas_worker.allocator import keep_freed_memory
from msaas_worker.attempt import OnStep, Step, ignore_step
from msaas_worker.audio.ffmpeg import find_ffmpeg
from msaas_worker.confinement.check import find_missing_protections, hide_memory
from msaas_worker.job.handler import JobHandler
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.job.runner import JobRunner
from msaas_worker.scratch import Scratch
from msaas_worker.separators import ModelPending, Separators
from msaas_worker.separators.library import Library, open_library
from msaas_worker.settings import (
    BrokerWorkerSettings,
    SeparationSettings,
    WorkerSettings,
    settings_kind,
)
from msaas_worker.sources.backend import Backend
from msaas_worker.sources.handler import SongHandler
from msaas_worker.sources.policy import SourcePolicy
from msaas_worker.sources.runner import SongRunner
from msaas_worker.supervision.shutdown import wind_down

#: The end of each job wakes the dispatcher. The keeper delivers everything else.
_WEBHOOKS_EVERY_S = 60.0
#: The abilities are announced again in case the queue lost its data.
_ANNOUNCE_EVERY_S = 60.0

Runner = JobRunner | SongRunner

log = get_logger()


def main(
    *,
    separators: Separators | None = None,
    policy: WorkerPolicy = WorkerPolicy(),
    source_policy: SourcePolicy = SourcePolicy(),
    on_step: OnStep = ignore_step,
) -> None:
    """Run a worker; tests bring their own separators and policies, and observe its steps."""
    # Before any thread starts: a thread keeps its malloc arena.
    keep_freed_memory()
    settings = load_or_exit(
        settings_kind(), program="msaas_worker", description="Separates the songs of the queue."
    )
    stopping, name = stop_on_signals(), incarnation()
    start_logging(settings, service="worker", worker=name)
    start_metrics(settings, service="worker")
    _check_confinement()
    scratch = Scratch()
    runner: Runner
    if isinstance(settings, BrokerWorkerSettings):
        runner = bootstrap_source(
            settings,
            scratch,
            stopping,
            name=name,
            separators=separators,
            policy=source_policy,
            on_step=on_step,
        )
    else:
        runner = bootstrap(
            settings, scratch, stopping, name=name, separators=separators, policy=policy, on_step=on_step
        )
    thread = spawn(run, runner, name="runner")
    stopping.wait()
    wind_down(runner, thread, drain_s=settings.drain_seconds)
    scratch.remove()
    log.info("worker_stopped")
    end_process(runner.exit_code)


def bootstrap(
    settings: WorkerSettings,
    scratch: Scratch,
    stopping: threading.Event,
    *,
    name: str,
    queue: JobQueue | None = None,
    outbox: Outbox | None = None,
    song_store: SongStore | None = None,
    separators: Separators | None = None,
    send: Send | None = None,
    policy: WorkerPolicy = WorkerPolicy(),
    on_step: OnStep = ignore_step,
) -> JobRunner:
    """Build a worker on real adapters, or on those given. Exits when the device is absent."""
    tasks = Tasks(stopping)
    consumer = (queue or open_queue(settings)).consumer(name)
    song_store = song_store or open_song_store(settings)
    separators = separators or _open_separators(settings, tasks, retry_s=policy.model_retry_s)
    _load(separators, settings.demucs_model)
    if isinstance(separators, Library):
        _start_announcing(separators, consumer, tasks)
    _prepare(song_store)
    handler = JobHandler(
        song_store=song_store,
        separators=separators,
        scratch=scratch,
        default_model=settings.demucs_model,
        max_duration_s=settings.max_duration_s,
    )
    runner = JobRunner(
        consumer=consumer,
        song_store=song_store,
        handle=handler.handle,
        queue_policy=queue_policy(settings),
        stopping=stopping,
        policy=policy,
        heartbeat=tasks.guard(Heartbeat(scratch.heartbeat)),
        on_step=on_step,
    )
    dispatcher = Dispatcher(
        outbox=outbox or open_outbox(settings),
        send=send or partial(post, private=settings.callback_allow_private),
        secret=settings.signing_secret,
        first_attempts_only=True,
        on_delivered=lambda job_id: on_step(Step.WEBHOOK_DELIVERED, job_id=job_id),
    )
    tasks.every(_WEBHOOKS_EVERY_S, dispatcher.deliver_all, name="webhooks", wake=runner.job_ended)
    log.info("worker_started")
    return runner


def bootstrap_source(
    settings: BrokerWorkerSettings,
    scratch: Scratch,
    stopping: threading.Event,
    *,
    name: str,
    consumer: SongConsumer | None = None,
    backend: Backend | None = None,
    separators: Separators | None = None,
    policy: SourcePolicy = SourcePolicy(),
    on_step: OnStep = ignore_step,
) -> SongRunner:
    """Build a worker without Redis and without a store. Exits when the device is absent."""
    tasks = Tasks(stopping)
    separators = separators or _open_separators(settings, tasks, retry_s=policy.model_retry_s)
    _load(separators, settings.demucs_model)
    token = settings.worker_token.get_secret_value() if settings.worker_token else None
    handler = SongHandler(
        separators=separators,
        scratch=scratch,
        model=settings.demucs_model,
        max_duration_s=settings.max_duration_s,
        backend=backend or Backend.at(settings.backend_addr.get_secret_value(), token=token, policy=policy),
    )
    runner = SongRunner(
        consumer=consumer
        or open_song_consumer(settings, worker=name, hold_every_s=settings.broker_hold_seconds),
        handle=handler.handle,
        separators=separators,
        model=settings.demucs_model,
        max_attempts=settings.max_attempts,
        stopping=stopping,
        policy=policy,
        heartbeat=tasks.guard(Heartbeat(scratch.heartbeat)),
        on_step=on_step,
    )
    log.info("worker_started")
    return runner


def incarnation() -> str:
    """Return a name that no other process ever has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _check_confinement() -> None:
    """Warn if this machine lacks a protection of the decoder, and hide the secrets in memory from it then."""
    if missing := find_missing_protections():
        log.warning("decoder_not_confined", missing=missing)
        hide_memory()


def _open_separators(settings: SeparationSettings, tasks: Tasks, *, retry_s: float) -> Library:
    try:
        return open_library(
            default=settings.demucs_model,
            repo=settings.model_repo,
            fallback=settings.model_fallback,
            device=settings.device,
            precision=settings.precision,
            tasks=tasks,
            model_retry_s=retry_s,
        )
    except DeviceUnavailable as error:
        log.error("worker_not_started", reason=str(error))
        raise SystemExit(str(error)) from None


def _start_announcing(library: Library, consumer: Consumer, tasks: Tasks) -> None:
    """Announce the abilities now, before the API counts this worker, and whenever the models change."""
    programs = frozenset({FFMPEG} if find_ffmpeg() else ())

    def announce() -> None:
        consumer.announce(Abilities(library.runs(), programs))

    with suppress(QueueUnavailable):
        announce()
    tasks.every(_ANNOUNCE_EVERY_S, announce, name="announcement", wake=library.has_changed)


def _load(separators: Separators, model: str) -> None:
    """Load the default model. Without it the worker still runs, and each job says why it failed."""
    try:
        separators.get(model)
    except ModelPending as error:
        log.info("model_pending", model=model, reason=error.detail)
    except ModelUnavailable as error:
        log.warning("model_unavailable", model=model, reason=str(error))


def _prepare(song_store: SongStore) -> None:
    """Create the buckets; `rest` does the same when the store is back."""
    try:
        song_store.prepare()
    except (StoreUnavailable, ObjectNotFound) as error:
        log.warning("store_unavailable", reason=str(error))


def run(runner: Runner) -> None:
    """Run the loop. If it breaks, the whole worker ends and is restarted."""
    try:
        runner.run()
    except BaseException:
        log.exception("worker_crashed")
        runner.exit_code = 1
    finally:
        runner.stopping.set()


if __name__ == "__main__":
    main()
