"""`separate_song` runs without a queue and without a store, and with a lease."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker.tests.running_attempt import RunningAttempt
from worker.tests.songs import song_mp3

from msaas.errors import LeaseLost, SongTooLong, UndecodableSong
from msaas.models import FOUR_STEMS
from msaas.recipe import Recipe
from msaas_worker.attempt import Attempt, Step, UnattendedAttempt
from msaas_worker.audio.decoded import Audio, DecodedSong
from msaas_worker.audio.mixing import Mixdown
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.separation import SeparatedSong, separate_song
from msaas_worker.separators.library import open_library
from tests.faults.quick_engine import QuickSeparator
from tests.servers import wait_until
from tests.unattended import MemorySink

pytestmark = pytest.mark.process

#: Duration in s.
SECONDS = 2


class NotedAttempt(UnattendedAttempt):
    """Notes the steps and the progress."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.shares: list[float] = []

    def report_progress(self, share: float | None = None) -> None:
        if share is not None:
            self.shares.append(share)

    def reach(self, step: Step) -> None:
        self.steps.append(step)


def separate(
    mp3: bytes, folder: Path, sink: MemorySink, attempt: Attempt, *, max_duration_s: int = 60
) -> SeparatedSong:
    song = folder / "song.mp3"
    song.write_bytes(mp3)
    separator = QuickSeparator(model="htdemucs")
    return separate_song(song, Recipe(), separator, sink, attempt, max_duration_s=max_duration_s)


def test_song_is_separated_without_queue_and_store(tmp_path: Path) -> None:
    sink, attempt = MemorySink(), NotedAttempt()
    separated = separate(song_mp3(SECONDS), tmp_path, sink, attempt)
    assert (separated.stems, tuple(sink.stems)) == (FOUR_STEMS, FOUR_STEMS)
    assert separated.duration_s == pytest.approx(2, abs=0.1)
    assert attempt.steps == [Step.SONG_DECODED, Step.SONG_SEPARATED, *[Step.STEM_STORED] * 4]
    assert attempt.shares == sorted(attempt.shares)
    assert attempt.shares[-1] == pytest.approx(0.98)


def test_starter_separates_without_queue_and_store(tmp_path: Path) -> None:
    library = open_library(default="starter", repo=None, fallback="", device="cpu", precision="exact")
    song, sink = tmp_path / "song.mp3", MemorySink()
    song.write_bytes(song_mp3(SECONDS))
    separate_song(song, Recipe(), library.get("starter"), sink, UnattendedAttempt(), max_duration_s=60)
    assert set(sink.stems) == set(FOUR_STEMS)
    assert len(set(sink.stems.values())) == 4


def test_lease_and_no_lease_give_the_same_stems(tmp_path: Path) -> None:
    unattended, leased = MemorySink(), MemorySink()
    separate(song_mp3(SECONDS), tmp_path, unattended, UnattendedAttempt())
    with RunningAttempt(tmp_path).attempt as attempt:
        separate(song_mp3(SECONDS), tmp_path, leased, attempt)
    assert leased.stems == unattended.stems


def test_progress_reaches_the_queue(tmp_path: Path) -> None:
    running = RunningAttempt(tmp_path)
    with running.attempt as attempt:
        separate(song_mp3(SECONDS), tmp_path, MemorySink(), attempt)
        attempt.verify()
        status = running.queue.status(running.attempt.job_id)
    assert status
    assert status.progress == pytest.approx(0.98)


def test_mixdown_replaces_that_of_the_recipe(tmp_path: Path) -> None:
    def swap(regions: Iterator[Audio], song: DecodedSong) -> Iterator[Audio]:
        yield from (region[::-1] for region in regions)

    song, recipe, separator = tmp_path / "song.mp3", Recipe(format="wav"), QuickSeparator(model="htdemucs")
    song.write_bytes(song_mp3(SECONDS))
    sinks = plain, swapped = MemorySink(), MemorySink()
    for sink, mixdown in zip(sinks, (None, Mixdown(FOUR_STEMS[:2], ("second", "first"), swap)), strict=True):
        separate_song(song, recipe, separator, sink, UnattendedAttempt(), max_duration_s=60, mixdown=mixdown)
    assert list(swapped.stems) == ["second", "first"]
    assert [swapped.stems[name] for name in ("first", "second")] == [
        plain.stems[stem] for stem in FOUR_STEMS[:2]
    ]


class LosingSink(MemorySink):
    """The job is given back after the first stem."""

    def __init__(self, running: RunningAttempt) -> None:
        super().__init__()
        self._running = running

    def put_stem(self, stem: str, file: Path, *, peaks: bytes) -> None:
        super().put_stem(stem, file, peaks=peaks)
        self._running.consumer.release(self._running.claim)


def test_lost_lease_ends_the_work_before_the_next_stem(tmp_path: Path) -> None:
    running = RunningAttempt(tmp_path)
    sink = LosingSink(running)
    with running.attempt as attempt, pytest.raises(LeaseLost):
        separate(song_mp3(SECONDS), tmp_path, sink, attempt)
    assert tuple(sink.stems) == FOUR_STEMS[:1]


def test_no_stem_is_stored_while_the_lease_cannot_be_verified(tmp_path: Path) -> None:
    running, sink = RunningAttempt(tmp_path, policy=WorkerPolicy(queue_retry_s=0.01)), MemorySink()
    with running.attempt as attempt:
        running.queue.away = True
        thread = threading.Thread(
            target=separate, args=(song_mp3(SECONDS), tmp_path, sink, attempt), daemon=True
        )
        thread.start()
        thread.join(2)
        assert thread.is_alive()
        assert sink.stems == {}
        running.queue.away = False
        thread.join(20)
    assert tuple(sink.stems) == FOUR_STEMS


def test_song_that_cannot_be_separated_is_a_named_error(tmp_path: Path) -> None:
    sink = MemorySink()
    with pytest.raises(UndecodableSong):
        separate(b"not a song", tmp_path, sink, UnattendedAttempt())
    with pytest.raises(SongTooLong):
        separate(song_mp3(SECONDS), tmp_path, sink, UnattendedAttempt(), max_duration_s=1)
    assert sink.stems == {}


def test_fragments_are_published_with_a_lease(tmp_path: Path) -> None:
    running = RunningAttempt(tmp_path)
    with running.attempt as attempt:
        separate(song_mp3(6), tmp_path, MemorySink(), attempt)
        wait_until(lambda: (found := running.published()) and found.count >= 1)
