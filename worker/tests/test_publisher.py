"""What is heard piece by piece is the stem, byte for byte; what goes wrong there never harms the job."""

import itertools
import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from worker.tests.audience import Attempt, wait_until_published
from worker.tests.songs import mp3, noise
from worker.tests.test_encoder import as_demucs_encodes, encoded

from msaas.errors import MsaasError, StoreUnavailable
from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.encoder import NullObserver, StemObserver, encoders
from msaas_worker.audio.publisher import Publisher, spans
from tests.servers import wait_until

STEMS = ("drums", "vocals")
#: What a segment of htdemucs makes final.
REGION = int(0.75 * 7.8 * SAMPLERATE)
LOUD, SOFT = 2.0, 0.1


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What was logged."""
    events: list[str] = []
    logger, handler = logging.getLogger("msaas"), logging.Handler()
    handler.emit = lambda record: events.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield events
    logger.removeHandler(handler)


def encode(song: Audio, folder: Path, observer: StemObserver, *, region: int = REGION) -> dict[str, bytes]:
    """Encode the song as each of the stems; return these."""
    folder.mkdir(exist_ok=True)
    with encoders(folder, STEMS, observer=observer) as both:
        for start in range(0, song.shape[-1], region):
            for each in both:
                each.write(song[:, start : start + region])
        for ending in [each.finish() for each in both]:
            ending.result()
    return {each.stem: each.path.read_bytes() for each in both}


@pytest.mark.parametrize("region", [REGION, 100_003], ids=["regions of htdemucs", "small regions"])
@pytest.mark.parametrize("seconds", [0.5, 5.12, 23])
def test_the_pieces_joined_are_the_stem(
    attempt: Attempt, tmp_path: Path, seconds: float, region: int
) -> None:
    song = noise(int(seconds * SAMPLERATE), gain=SOFT)
    with closing(Publisher(attempt.song_store, attempt.lease)) as publisher:
        stems = encode(song, tmp_path / "job", publisher, region=region)
        wait_until_published()
    for stem in STEMS:
        assert attempt.store.joined(stem) == stems[stem]
    shown = attempt.shown()
    assert shown
    assert (shown.stems, shown.count) == (STEMS, len(attempt.store.heard) / 2)
    assert shown.until_s == round(len(stems["drums"]) / 40_000, 3)


def test_a_stem_with_an_audience_has_the_bytes_it_has_without(attempt: Attempt, tmp_path: Path) -> None:
    for gain in (SOFT, LOUD):
        song = noise(7 * SAMPLERATE, gain=gain)
        with closing(Publisher(attempt.song_store, attempt.lease)) as publisher:
            heard = encode(song, tmp_path / "heard", publisher)
        assert set(heard.values()) == {as_demucs_encodes(song, tmp_path)}
        assert heard == encode(song, tmp_path / "unheard", NullObserver())


def test_of_a_stem_that_clips_the_pieces_are_clipped_and_lie_where_the_stem_lies(
    attempt: Attempt, tmp_path: Path
) -> None:
    song = noise(12 * SAMPLERATE, gain=SOFT)
    song[:, -1000:] *= 40
    with closing(Publisher(attempt.song_store, attempt.lease)) as publisher:
        stems = encode(song, tmp_path / "job", publisher)
        wait_until_published()
    joined = attempt.store.joined("vocals")
    assert joined == mp3(np.clip(song, -1, 1), bit_rate=320, quality=2)
    assert stems["vocals"] == as_demucs_encodes(song, tmp_path) != joined
    assert len(joined) == len(stems["vocals"])


def test_nobody_encodes_a_stem_that_clips_twice_for_nobody(tmp_path: Path) -> None:
    with encoders(tmp_path, STEMS) as (each, _):
        each.write(noise(SAMPLERATE, gain=SOFT))
        each.write(noise(SAMPLERATE, gain=LOUD))
        each.finish().result()
        assert each.encoded_bytes < 1.1 * 40_000


def test_the_first_piece_is_heard_while_the_song_is_still_separated(attempt: Attempt, tmp_path: Path) -> None:
    with (
        closing(Publisher(attempt.song_store, attempt.lease)) as publisher,
        encoders(tmp_path, STEMS, observer=publisher) as both,
    ):
        for each in both:
            each.write(noise(REGION, gain=SOFT))
        wait_until(lambda: (shown := attempt.shown()) and shown.count)
    shown = attempt.shown()
    assert shown
    assert (shown.count, shown.until_s) == (1, 5.12)


def test_every_piece_begins_with_a_frame(tmp_path: Path) -> None:
    stem = encoded(noise(60 * SAMPLERATE, gain=SOFT), tmp_path, block=REGION)
    starts = [start for start, _ in itertools.takewhile(lambda span: span[0] < len(stem), spans())]
    assert len(starts) == 12
    assert {stem[start : start + 2] for start in starts} == {b"\xff\xfb"}


def test_pieces_follow_each_other_and_an_hour_has_few() -> None:
    an_hour = list(itertools.takewhile(lambda span: span[0] < 3600 * 40_000, spans()))
    assert all(before[1] == after[0] for before, after in itertools.pairwise(an_hour))
    assert an_hour[0] == (0, 5.12 * 40_000)
    assert len(an_hour) < 100
    assert max(end - start for start, end in an_hour) < 60 * 40_000


# Whatever goes wrong


def test_an_attempt_is_told_of_before_its_first_piece_and_a_piece_before_the_next(
    attempt: Attempt, tmp_path: Path
) -> None:
    """So whoever deletes the pieces of a worker that was killed knows the names of all."""
    counts: list[tuple[int, int]] = []

    def note(key: str) -> None:
        (registered,) = attempt.queue.fragments.values()
        counts.append((int(key.split(".")[-2]), registered.count))

    attempt.store.on_piece = note
    with closing(Publisher(attempt.song_store, attempt.lease)) as publisher:
        encode(noise(12 * SAMPLERATE, gain=SOFT), tmp_path / "job", publisher)
        wait_until_published()
    assert len(counts) == 6
    assert all(number == count + 1 for number, count in counts)


@pytest.mark.parametrize("error", [StoreUnavailable("Turned off."), OSError("No space left"), RuntimeError()])
def test_trouble_with_the_store_ends_the_publication_and_nothing_else(
    attempt: Attempt, tmp_path: Path, told: list[str], error: Exception
) -> None:
    tries: list[str] = []

    def fail(key: str) -> None:
        tries.append(key)
        if ".2." in key:
            raise error

    attempt.store.on_piece = fail
    song = noise(20 * SAMPLERATE, gain=SOFT)
    with closing(Publisher(attempt.song_store, attempt.lease)) as publisher:
        stems = encode(song, tmp_path / "job", publisher)
        wait_until_published()
    assert set(stems.values()) == {as_demucs_encodes(song, tmp_path)}
    assert len(tries) == 3
    assert told == ["publishing_stopped"]
    shown = attempt.shown()
    assert shown
    assert shown.count == 1


def test_a_queue_that_is_away_ends_the_publication_and_nothing_else(
    attempt: Attempt, tmp_path: Path, told: list[str]
) -> None:
    attempt.queue.away = True
    with closing(Publisher(attempt.song_store, attempt.lease)) as publisher:
        encode(noise(6 * SAMPLERATE, gain=SOFT), tmp_path / "job", publisher)
        wait_until_published()
    assert told == ["publishing_stopped"]
    assert attempt.store.heard == {}


def test_nobody_waits_for_a_store_that_hangs(attempt: Attempt, tmp_path: Path) -> None:
    hangs, go_on = threading.Event(), threading.Event()
    attempt.store.on_piece = lambda key: (hangs.set(), go_on.wait())
    song = noise(20 * SAMPLERATE, gain=SOFT)
    with closing(Publisher(attempt.song_store, attempt.lease)) as publisher:
        stems = encode(song, tmp_path / "job", publisher)
    assert hangs.wait(10)
    assert set(stems.values()) == {as_demucs_encodes(song, tmp_path)}
    assert attempt.store.heard == {}
    go_on.set()
    wait_until_published()


def test_a_piece_that_comes_too_late_is_taken_back(attempt: Attempt, tmp_path: Path, told: list[str]) -> None:
    """Its attempt ended while it was being stored, and its pieces may have been deleted already."""

    def end_the_attempt(key: str) -> None:
        attempt.store.on_piece = lambda _: None
        attempt.consumer.release(attempt.claim)
        publisher.close()

    attempt.store.on_piece = end_the_attempt
    with closing(Publisher(attempt.song_store, attempt.lease)) as publisher:
        encode(noise(6 * SAMPLERATE, gain=SOFT), tmp_path / "job", publisher)
        wait_until_published()
    assert attempt.store.heard
    assert list(attempt.song_store.outputs()) == []
    assert told == []


def test_a_job_that_breaks_off_ends_its_publication(attempt: Attempt, tmp_path: Path) -> None:
    def break_off() -> None:
        with (
            closing(Publisher(attempt.song_store, attempt.lease)) as publisher,
            encoders(tmp_path, STEMS, observer=publisher),
        ):
            raise MsaasError("broke off")

    with pytest.raises(MsaasError, match="broke off"):
        break_off()
    wait_until_published()
