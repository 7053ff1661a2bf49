"""Cancellation of a job in each of its states: the time until its worker is free, and what stays stored.

The queue, the store and the worker are real. `CANCEL_RUNS` is the number of runs in each state.
"""

import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import soundfile
from bench.random_htdemucs import PUBLISHED, write_repository
from bench.songs import write_song

from msaas.background import Tasks, spawn
from msaas.jobs import Job, JobState
from msaas.models import FOUR_STEMS, STARTER
from msaas.queue.protocol import Cancellation, QueuePolicy, Request
from msaas.queue.redis.jobs import RedisQueue
from msaas.recipe import Recipe
from msaas.songs import song_hash_of
from msaas.storage.directory import DirectoryStore
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import Step
from msaas_worker.job.handler import JobHandler
from msaas_worker.job.runner import JobRunner
from msaas_worker.scratch import Scratch
from msaas_worker.separators import Separator
from msaas_worker.separators.library import open_library
from tests.faults.quick_engine import QuickSeparator
from tests.servers import RedisServer, wait_until

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(3600)]

RUNS = int(os.environ.get("CANCEL_RUNS", "1"))
#: From the call to the end of the work.
MAX_S = 2.0
#: A slow network: 8 MiB/s.
_CHUNK_BYTES, _PAUSE_S = 256 * 1024, 0.03
_OWNER = Request(id="r1", owner="ann")


class SlowStore(DirectoryStore):
    """A directory store behind a slow network. Songs come slowly, or stems go slowly."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.is_slow = False
        self.before_put: Callable[[str], None] = lambda key: None

    def get(self, bucket: str, key: str, **span: Any) -> Iterator[bytes]:
        for chunk in super().get(bucket, key, **span):
            for start in range(0, len(chunk), _CHUNK_BYTES):
                self._wait()
                yield chunk[start : start + _CHUNK_BYTES]

    def put(self, bucket: str, key: str, data: BinaryIO, **facts: Any) -> None:
        self.before_put(key)
        super().put(bucket, key, _SlowReader(data, self._wait), **facts)  # type: ignore[arg-type]

    def _wait(self) -> None:
        if self.is_slow:
            time.sleep(_PAUSE_S)


@dataclass
class _SlowReader:
    file: BinaryIO
    wait: Callable[[], None]

    def read(self, size: int = -1) -> bytes:
        self.wait()
        return self.file.read(min(size, _CHUNK_BYTES) if size > 0 else size)


class LoudSeparator(QuickSeparator):
    """Stems that clip: each is encoded a second time, scaled down."""

    def separate(self, song: Any, **options: Any) -> Iterator[Any]:
        for region in super().separate(song, **options):
            yield region * np.float32(8)


@dataclass
class OneSeparator:
    separator: Separator

    def get(self, model: str) -> Separator:
        return self.separator


@dataclass
class Bench:
    """A worker in a thread, on real adapters."""

    folder: Path
    queue: RedisQueue
    steps: list[Step] = field(default_factory=list)
    runner: Any = None

    def __post_init__(self) -> None:
        self.store = SlowStore(self.folder / "store")
        self.songs = SongStore(self.store)
        self.songs.prepare()

    def start(self, separator: Separator) -> None:
        handler = JobHandler(
            song_store=self.songs,
            separators=OneSeparator(separator),
            scratch=Scratch(self.folder),
            default_model=separator.model,
            max_duration_s=7200,
        )
        self.runner = JobRunner(
            consumer=self.queue.consumer("w1"),
            song_store=self.songs,
            handle=handler.handle,
            queue_policy=QueuePolicy(),
            stopping=threading.Event(),
            on_step=lambda step, *, job_id: self.steps.append(step),
        )
        self.thread = spawn(self.runner.run, name="worker")

    def stop(self) -> None:
        self.runner.stopping.set()
        self.thread.join(30)

    def send(self, song: Path, recipe: Recipe = Recipe()) -> str:
        self.steps.clear()
        with open(song, "rb") as file:
            song_hash = song_hash_of(file)
            file.seek(0)
            self.songs.put_song(song_hash, file, size_bytes=song.stat().st_size)
        job_id = recipe.job_id(song_hash)
        self.queue.enqueue(Job.of(job_id, recipe), request=_OWNER)
        return job_id

    def cancel(self, job_id: str) -> float:
        """Cancel the job, and return the seconds until its worker is free."""
        cancelled_at = time.monotonic()
        assert self.queue.cancel(job_id, Cancellation(owner=_OWNER.owner)) == 0
        wait_until(lambda: self.runner.attempt is None, every_s=0.01, timeout_s=60)
        return time.monotonic() - cancelled_at

    def assert_nothing_is_stored(self, job_id: str) -> None:
        status = self.queue.status(job_id)
        assert status
        assert status.state is JobState.CANCELLED
        for fragments in self.queue.stale_fragments():
            self.songs.fragments.delete_all(fragments)
        assert [each.key for each in self.songs.results()] == []


@pytest.fixture
def bench(redis_server: RedisServer, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, RedisQueue(redis_server.address))
    yield bench
    if bench.runner:
        bench.stop()


@pytest.fixture(scope="module")
def half_hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    minute = write_song(tmp_path_factory.mktemp("songs"), seconds=60)
    path = minute.with_name("half-hour.mp3")
    path.write_bytes(30 * minute.read_bytes())
    return path


@pytest.fixture
def wave(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Noise in 32 bits, a minute by default: 20 MiB, and as much for each stem."""
    path = tmp_path / "noise.wav"
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (getattr(request, "param", 60) * 44100, 2))
    soundfile.write(path, samples, 44100, subtype="FLOAT")
    return path


def measure(
    bench: Bench,
    song: Path,
    is_there: Callable[[], bool],
    *,
    figure: Callable[[str], None],
    recipe: Recipe = Recipe(),
    spread_s: float = 0.5,
) -> None:
    """Cancel `RUNS` jobs, each within `spread_s` after it has reached its state."""
    random_ = random.Random(1)
    found = []
    for _ in range(RUNS):
        job_id = bench.send(song, recipe)
        wait_until(is_there, every_s=0.01, timeout_s=120)
        time.sleep(random_.uniform(0, spread_s))
        found.append(bench.cancel(job_id))
        bench.assert_nothing_is_stored(job_id)
    text = f"{RUNS} runs: median {statistics.median(found):.2f} s, at most {max(found):.2f} s"
    figure(text)
    print(text)
    assert max(found) <= MAX_S


Figure = Callable[[str], None]


def test_waiting_job_ends_at_once(bench: Bench, wave: Path, figure: Figure) -> None:
    found = []
    for _ in range(RUNS):
        job_id = bench.send(wave)
        called_at = time.monotonic()
        bench.queue.cancel(job_id, Cancellation(owner=_OWNER.owner))
        found.append(time.monotonic() - called_at)
        bench.assert_nothing_is_stored(job_id)
    text = f"{RUNS} runs: median {statistics.median(found):.4f} s, at most {max(found):.4f} s"
    figure(text)
    print(text)
    assert max(found) < 0.5


def test_job_ends_while_its_song_is_fetched(bench: Bench, wave: Path, figure: Figure) -> None:
    bench.start(QuickSeparator(model=STARTER))
    bench.store.is_slow = True
    measure(bench, wave, lambda: Step.CLAIMED in bench.steps, figure=figure)
    assert Step.SONG_FETCHED not in bench.steps


def test_job_ends_while_its_song_is_decoded(bench: Bench, half_hour: Path, figure: Figure) -> None:
    bench.start(QuickSeparator(model=STARTER))
    measure(bench, half_hour, lambda: Step.SONG_FETCHED in bench.steps, figure=figure)
    assert Step.SONG_DECODED not in bench.steps


@pytest.mark.alone
@pytest.mark.parametrize("wave", [180], indirect=True, ids=["3 minutes"])
@pytest.mark.parametrize("model", [STARTER, "htdemucs"])
def test_job_ends_while_the_model_runs(
    bench: Bench, wave: Path, figure: Figure, model: str, tmp_path: Path
) -> None:
    repository = None
    if model != STARTER:
        repository = write_repository(tmp_path / "models", name=model, configuration=PUBLISHED)
    library = open_library(
        default=model,
        repo=repository,
        fallback="",
        device="cpu",
        precision="exact",
        tasks=Tasks(threading.Event()),
    )
    bench.start(library.get(model))
    measure(bench, wave, lambda: Step.SONG_DECODED in bench.steps, figure=figure, spread_s=6.0)
    assert Step.SONG_SEPARATED not in bench.steps


@pytest.mark.parametrize("form", ["mp3", "flac"])
def test_job_ends_while_its_stems_are_encoded(
    bench: Bench, half_hour: Path, figure: Figure, form: str
) -> None:
    bench.start(LoudSeparator(model=STARTER))
    recipe = Recipe.parse({"format": form})
    measure(
        bench, half_hour, lambda: Step.SONG_DECODED in bench.steps, figure=figure, recipe=recipe, spread_s=8.0
    )
    assert Step.SONG_SEPARATED not in bench.steps


def test_job_ends_while_its_stems_are_stored(bench: Bench, wave: Path, figure: Figure) -> None:
    bench.start(QuickSeparator(model=STARTER))
    recipe = Recipe.parse({"format": "wav", "bits": "float"})

    def is_storing() -> bool:
        bench.store.is_slow = Step.SONG_SEPARATED in bench.steps
        return Step.STEM_STORED in bench.steps

    measure(bench, wave, is_storing, figure=figure, recipe=recipe)
    assert Step.MANIFEST_STORED not in bench.steps


@pytest.mark.parametrize("wave", [5], indirect=True, ids=["5 s"])
def test_job_that_is_cancelled_while_its_manifest_is_stored_leaves_nothing(bench: Bench, wave: Path) -> None:
    bench.start(QuickSeparator(model=STARTER))
    cancelled: list[str] = []

    def cancel(key: str) -> None:
        if key.endswith(".json") and not cancelled:
            cancelled.append(key)
            assert bench.queue.cancel(job_id, Cancellation(owner=_OWNER.owner)) == 0

    bench.store.before_put = cancel
    job_id = bench.send(wave)
    wait_until(lambda: cancelled and bench.runner.attempt is None, timeout_s=60)
    bench.assert_nothing_is_stored(job_id)
    # The song can be sent again.
    bench.send(wave)
    wait_until(lambda: Step.FINISHED in bench.steps, timeout_s=60)
    assert set(bench.songs.reuse(job_id, Recipe(), models=[STARTER]).stems) == set(FOUR_STEMS)  # type: ignore[union-attr]
