"""The runner of songs on the in-memory queue: which endings settle a delivery, and how."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import soundfile
from structlog.typing import EventDict
from worker.tests.songs import noise

from msaas.errors import (
    BackendUnavailable,
    LeaseLost,
    ModelUnavailable,
    MsaasError,
    ResultRefused,
    SongDamaged,
    SongDeleted,
    SongTooLong,
    UndecodableSong,
)
from msaas.queue.memory.songs import InMemorySongQueue
from msaas.queue.songs import SongMessage
from msaas.songs import song_hash
from msaas_worker.analysis.analyser import SongAnalyser
from msaas_worker.attempt import Attempt
from msaas_worker.scratch import Scratch
from msaas_worker.sources.attempt import DeliveryAttempt
from msaas_worker.sources.backend import Backend as Client
from msaas_worker.sources.handler import SongHandler
from msaas_worker.sources.policy import SourcePolicy
from msaas_worker.sources.runner import Handle, SongRunner
from msaas_worker.supervision.shutdown import wind_down
from tests.backend import TOKEN, Backend
from tests.faults.quick_engine import QuickSeparator, QuickSeparators
from tests.faults.songs import song
from tests.servers import wait_until
from tests.unattended import separate_in_memory, stems_of

BODY = b"a song"
HASH = song_hash(BODY)
POLICY = SourcePolicy(
    take_s=0.02,
    queue_retry_s=0.01,
    model_delay_s=0.02,
    look_s=0.02,
    hold_retry_s=0.02,
    max_upload_delay_s=0.05,
    unwind_s=1.0,
)


@dataclass
class Worker:
    """Runs in a thread. `handled` are the messages it worked on."""

    queue: InMemorySongQueue
    handle: Handle
    separators: Any = field(default_factory=QuickSeparators)
    policy: SourcePolicy = POLICY
    handled: list[SongMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runner = SongRunner(
            consumer=self.queue.consumer(),
            handle=self._handle,
            separators=self.separators,
            model="htdemucs",
            max_attempts=3,
            stopping=threading.Event(),
            policy=self.policy,
        )
        self.thread = threading.Thread(target=self.runner.run, daemon=True)

    def _handle(self, message: SongMessage, attempt: Attempt) -> None:
        self.handled.append(message)
        self.handle(message, attempt)

    def stop(self, *, drain_s: float = 0.0) -> None:
        self.runner.stopping.set()
        wind_down(self.runner, self.thread, drain_s=drain_s)
        self.thread.join(5)
        assert not self.thread.is_alive()


@contextmanager
def running(queue: InMemorySongQueue, handle: Handle, **fields: Any) -> Iterator[Worker]:
    worker = Worker(queue, handle, **fields)
    worker.thread.start()
    try:
        yield worker
    finally:
        worker.stop()


def do_nothing(message: SongMessage, attempt: Attempt) -> None:
    pass


def fail_with(error: Exception) -> Handle:
    def handle(message: SongMessage, attempt: Attempt) -> None:
        raise error

    return handle


def until_lost(message: SongMessage, attempt: Attempt) -> None:
    """Work until the song is lost."""
    while True:
        attempt.report_progress(0.1)
        time.sleep(0.005)


@pytest.fixture
def queue() -> InMemorySongQueue:
    queue = InMemorySongQueue()
    queue.publish(HASH, BODY)
    return queue


def is_settled(queue: InMemorySongQueue) -> Callable[[], bool]:
    return lambda: not queue.waiting() and not queue._taken


# Endings


def test_song_is_done_once(queue: InMemorySongQueue, log_lines: list[EventDict]) -> None:
    with running(queue, do_nothing) as worker:
        wait_until(is_settled(queue))
    assert [each.message_id for each in worker.handled] == [HASH]
    assert queue.dead == []
    assert {"job_claimed", "job_finished"} <= {line["event"] for line in log_lines}


@pytest.mark.parametrize(
    "error", [SongDamaged("d"), UndecodableSong("d"), SongTooLong("d"), ResultRefused("d")]
)
def test_final_error_dead_letters_the_song_at_once(queue: InMemorySongQueue, error: MsaasError) -> None:
    with running(queue, fail_with(error)) as worker:
        wait_until(lambda: queue.dead)
    assert [(each.reason, each.message.body) for each in queue.dead] == [(f"{error.code}: d", BODY)]
    assert len(worker.handled) == 1


def test_deleted_song_leaves_the_queue(queue: InMemorySongQueue, log_lines: list[EventDict]) -> None:
    with running(queue, fail_with(SongDeleted("d"))) as worker:
        wait_until(is_settled(queue))
    assert (len(worker.handled), queue.dead) == (1, [])
    assert "job_cancelled" in {line["event"] for line in log_lines}


def test_unexpected_error_is_tried_three_times(queue: InMemorySongQueue, log_lines: list[EventDict]) -> None:
    with running(queue, fail_with(ZeroDivisionError())) as worker:
        wait_until(lambda: queue.dead)
    assert len(worker.handled) == 3
    [dead] = queue.dead
    assert dead.reason.startswith("separation_failed: The separation failed (ZeroDivisionError)")
    events = [line["event"] for line in log_lines if line.get("exc_info")]
    assert events == ["attempt_failed", "attempt_failed", "job_failed"]


def test_song_goes_round_while_the_backend_is_away(queue: InMemorySongQueue) -> None:
    errors = [BackendUnavailable("away")] * 5

    def handle(message: SongMessage, attempt: Attempt) -> None:
        if errors:
            raise errors.pop()

    with running(queue, handle) as worker:
        wait_until(is_settled(queue))
    assert len(worker.handled) == 6
    assert queue.dead == []
    assert worker.handled[-1].attempts == 0


def test_deaths_of_workers_are_counted(queue: InMemorySongQueue) -> None:
    """Each worker loses its connection at the song, as if it were killed."""
    for _ in range(3):
        worker = Worker(queue, until_lost)
        worker.thread.start()
        wait_until(lambda worker=worker: worker.handled)
        queue.lose_deliveries()
        worker.stop()
    with running(queue, do_nothing) as last:
        wait_until(lambda: queue.dead)
    assert last.handled == []
    [dead] = queue.dead
    assert dead.reason.startswith("attempts_exhausted: Stopped after 3 attempts")
    assert dead.message.body == BODY


def test_lost_delivery_ends_the_work_and_nothing_is_settled(
    queue: InMemorySongQueue, log_lines: list[EventDict]
) -> None:
    worker = Worker(queue, until_lost)
    worker.thread.start()
    wait_until(lambda: worker.handled)
    worker.runner.stopping.set()
    queue.lose_deliveries()
    worker.thread.join(5)
    assert not worker.thread.is_alive()
    assert [each.message_id for each in queue.waiting()] == [HASH]
    assert "lease_lost" in {line["event"] for line in log_lines}


def test_delivery_is_held_during_long_work() -> None:
    queue = InMemorySongQueue(hold_every_s=0.05)
    queue.publish(HASH, BODY)
    held = threading.Event()

    def handle(message: SongMessage, attempt: Attempt) -> None:
        until = time.monotonic() + 5
        while not queue._taken[0].is_held and time.monotonic() < until:
            time.sleep(0.01)
        held.set()

    with running(queue, handle):
        assert held.wait(6)
        wait_until(is_settled(queue))
    assert queue.dead == []


def test_outage_of_the_queue_during_the_work_loses_nothing(queue: InMemorySongQueue) -> None:
    def handle(message: SongMessage, attempt: Attempt) -> None:
        queue.away = True
        threading.Timer(0.2, lambda: setattr(queue, "away", False)).start()
        attempt.verify()

    with running(queue, handle) as worker:
        wait_until(is_settled(queue))
    assert len(worker.handled) == 1


def test_no_song_is_taken_without_a_model(queue: InMemorySongQueue, log_lines: list[EventDict]) -> None:
    class Absent(QuickSeparators):
        def get(self, model: str) -> QuickSeparator:
            if absent:
                raise ModelUnavailable("There is no model.")
            return super().get(model)

    absent = [True]
    with running(queue, do_nothing, separators=Absent()) as worker:
        time.sleep(0.1)
        assert (worker.handled, len(queue.waiting())) == ([], 1)
        absent.clear()
        wait_until(is_settled(queue))
    assert [line["event"] for line in log_lines].count("model_awaited") == 1


def test_hanging_separation_ends_the_process(queue: InMemorySongQueue) -> None:
    stalled: list[dict[str, object]] = []
    delivery = queue.consumer().take(timeout_s=1)
    assert delivery
    policy = SourcePolicy(look_s=0.01, stall_s=0.05)
    with DeliveryAttempt(delivery, policy=policy, on_stall=lambda **facts: stalled.append(facts)):
        wait_until(lambda: stalled)
    assert stalled[0]["job_id"] == HASH


# Stops


def test_stop_gives_the_song_back_without_an_attempt(queue: InMemorySongQueue) -> None:
    worker = Worker(queue, until_lost)
    worker.thread.start()
    wait_until(lambda: worker.handled)
    worker.stop()
    [message] = queue.waiting()
    assert (message.body, message.attempts, message.releases) == (BODY, 0, 1)


def test_stop_waits_for_a_song_that_is_almost_done(queue: InMemorySongQueue) -> None:
    def handle(message: SongMessage, attempt: Attempt) -> None:
        for step in range(20):
            attempt.report_progress(0.9 + step / 200)
            time.sleep(0.02)

    worker = Worker(queue, handle)
    worker.thread.start()
    wait_until(lambda: worker.runner.attempt and worker.runner.attempt.eta_s() < 5)
    worker.stop(drain_s=10)
    assert is_settled(queue)()


def test_song_that_was_given_back_too_often_is_finished() -> None:
    queue = InMemorySongQueue()
    queue.put(SongMessage(message_id=HASH, body=BODY, releases=5))

    def handle(message: SongMessage, attempt: Attempt) -> None:
        for _ in range(20):
            attempt.report_progress(0.01)
            time.sleep(0.02)

    worker = Worker(queue, handle)
    worker.thread.start()
    wait_until(lambda: worker.handled)
    worker.stop()
    assert is_settled(queue)()


# The work


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


def handler(backend: Backend, folder: Path) -> SongHandler:
    return SongHandler(
        separators=QuickSeparators(),
        scratch=Scratch(folder),
        model="htdemucs",
        max_duration_s=60,
        backend=Client.at(backend.url, token=TOKEN, policy=POLICY),
    )


@pytest.mark.process
def test_stems_of_a_song_are_uploaded(backend: Backend, tmp_path: Path) -> None:
    queue, mp3 = InMemorySongQueue(), song()
    queue.publish(song_hash(mp3), mp3)
    with running(queue, handler(backend, tmp_path).handle):
        wait_until(is_settled(queue))
    (tmp_path / "reference").mkdir()
    assert dict(backend.songs) == {song_hash(mp3): [stems_of(mp3, tmp_path / "reference")]}


def separate(song: bytes, extras: tuple[str, ...], backend: Backend, folder: Path) -> dict[str, bytes]:
    """Separate a song whose message names these extras; return the further files that the backend got."""
    queue = InMemorySongQueue()
    queue.publish(song_hash(song), song, extras=extras)
    with running(queue, handler(backend, folder).handle):
        wait_until(is_settled(queue))
    assert queue.dead == []
    [found] = backend.extras
    return found


@pytest.mark.process
@pytest.mark.parametrize("samples", [1, 511, 512, 513, 1152, 51_199, 51_200, 51_201, 441_000])
@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_peaks_and_analysis_are_those_of_a_job(
    backend: Backend, tmp_path: Path, samples: int, rate_hz: int
) -> None:
    """The backend accepts peaks of exactly the length that the frames of a stem tell."""
    file = io.BytesIO()
    soundfile.write(file, noise(samples).T, rate_hz, format="WAV")
    wav = file.getvalue()
    found = separate(wav, ("peaks", "analysis"), backend, tmp_path)
    (tmp_path / "reference").mkdir()
    reference = separate_in_memory(wav, tmp_path / "reference")
    peaks = {f"{stem}.peaks": each for stem, each in reference.peaks.items()}
    assert found == peaks | {"analysis.json": reference.analysis}
    assert json.loads(reference.analysis)["duration_s"] == round(samples / rate_hz, 3)
    assert backend.songs[song_hash(wav)] == [reference.stems]


@pytest.mark.process
@pytest.mark.parametrize(
    ("extras", "names"),
    [
        ((), set()),
        (("chords",), set()),
        (("peaks",), {"bass.peaks", "drums.peaks", "other.peaks", "vocals.peaks"}),
        (("chords", "analysis"), {"analysis.json"}),
    ],
)
def test_only_files_that_the_message_names_are_sent(
    backend: Backend, tmp_path: Path, extras: tuple[str, ...], names: set[str]
) -> None:
    assert set(separate(song(), extras, backend, tmp_path)) == names


@pytest.mark.process
def test_song_whose_analysis_fails_has_its_peaks(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: SongAnalyser) -> bytes:
        raise ValueError("a defect")

    monkeypatch.setattr(SongAnalyser, "encode", fail)
    found = separate(song(), ("peaks", "analysis"), backend, tmp_path)
    assert set(found) == {"bass.peaks", "drums.peaks", "other.peaks", "vocals.peaks"}


@pytest.mark.process
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (SongMessage(message_id=HASH, body=b"other bytes"), "song_damaged: "),
        (SongMessage(message_id="", body=BODY), "invalid_id: "),
        (SongMessage(message_id="../../etc", body=BODY), "invalid_id: "),
        (SongMessage(message_id="0" * 56, body=BODY), "invalid_id: "),
        (SongMessage(message_id=HASH, body=BODY), "undecodable_song: "),
        (SongMessage(message_id=song_hash(b""), body=b""), "undecodable_song: "),
    ],
    ids=["other-hash", "no-id", "path", "no-sha256", "no-sound", "empty"],
)
def test_bad_song_is_dead_lettered_at_once(
    backend: Backend, tmp_path: Path, message: SongMessage, reason: str
) -> None:
    queue = InMemorySongQueue()
    queue.put(message)
    with running(queue, handler(backend, tmp_path).handle):
        wait_until(lambda: queue.dead)
    [dead] = queue.dead
    assert dead.reason.startswith(reason)
    assert dead.message.body == message.body
    assert backend.uploads == []


@pytest.mark.process
def test_song_that_is_lost_during_the_separation_is_not_uploaded(backend: Backend, tmp_path: Path) -> None:
    queue, mp3 = InMemorySongQueue(), song()
    queue.publish(song_hash(mp3), mp3)
    delivery = queue.consumer().take(timeout_s=1)
    assert delivery
    attempt = DeliveryAttempt(
        delivery, on_step=lambda step, *, job_id: queue.lose_deliveries() if step == "song_decoded" else None
    )
    with attempt, pytest.raises(LeaseLost):
        handler(backend, tmp_path).handle(delivery.message, attempt)
    assert backend.uploads == []
