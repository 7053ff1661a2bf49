"""Fragments joined are the stem, byte for byte, and no error of their publication harms the job."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from worker.tests.encoding import as_demucs_encodes, encode_stem, encode_stems, layout_of, mp3_of
from worker.tests.running_attempt import RunningAttempt, fragment_number
from worker.tests.songs import mp3, noise

from msaas.errors import MsaasError, StoreUnavailable
from msaas.formats import FORMATS
from msaas.mpeg.headers import read_header
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.encoders.id3 import write_id3
from msaas_worker.audio.encoders.mp3_layout import Mp3Layout
from msaas_worker.audio.encoding import NullObserver, open_encoders
from msaas_worker.audio.publisher import FragmentPublisher, spans
from msaas_worker.audio.stem_format import StemFormat
from msaas_worker.audio.tags import Cover, Tags
from tests.servers import wait_until

pytestmark = pytest.mark.slow
STEMS = ("drums", "vocals")
#: A segment of htdemucs makes this number of samples final.
REGION = int(0.75 * 7.8 * SAMPLERATE)
LOUD, SOFT = 2.0, 0.1
#: Of an MP3 of 320 kbit/s.
BYTES_PER_S = 40_000


@pytest.fixture
def running(tmp_path: Path) -> RunningAttempt:
    return RunningAttempt(tmp_path)


@pytest.fixture
def log_lines() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def publisher_of(running: RunningAttempt, song: Audio) -> closing[FragmentPublisher]:
    return closing(FragmentPublisher(running.attempt, layout_of(song)))


def wait_until_published(publisher: FragmentPublisher) -> None:
    """Return when the thread of the publisher has ended."""
    wait_until(lambda: not publisher.is_active())


def events(lines: list[EventDict]) -> list[str]:
    return [line["event"] for line in lines]


@pytest.mark.parametrize(
    ("seconds", "region"),
    [(0.5, REGION), (5.12, 100_003), (11, REGION), (11, 100_003)],
    ids=["short", "one fragment", "regions of htdemucs", "small regions"],
)
def test_joined_fragments_are_the_stem(
    running: RunningAttempt, tmp_path: Path, seconds: float, region: int
) -> None:
    song = noise(int(seconds * SAMPLERATE), gain=SOFT)
    with publisher_of(running, song) as publisher:
        stems = encode_stems(song, STEMS, tmp_path / "job", observer=publisher, region=region)
        wait_until_published(publisher)
    for stem in STEMS:
        assert running.store.joined(stem) == stems[stem]
    published = running.published()
    assert published
    assert (published.stems, published.count) == (STEMS, len(running.store.fragments) / 2)
    assert published.until_s == round(song.shape[-1] / SAMPLERATE, 3)


def test_publication_does_not_change_the_stems(running: RunningAttempt, tmp_path: Path) -> None:
    song = noise(6 * SAMPLERATE, gain=LOUD)
    with publisher_of(running, song) as publisher:
        published = encode_stems(song, STEMS, tmp_path / "published", observer=publisher)
    assert set(published.values()) == {as_demucs_encodes(song, tmp_path)}
    assert published == encode_stems(song, STEMS, tmp_path / "unpublished", observer=NullObserver())


def test_fragments_of_a_clipping_stem_are_clipped_at_the_same_bytes(
    running: RunningAttempt, tmp_path: Path
) -> None:
    song = noise(6 * SAMPLERATE, gain=SOFT)
    song[:, -1000:] *= 40
    with publisher_of(running, song) as publisher:
        stems = encode_stems(song, STEMS, tmp_path / "job", observer=publisher)
        wait_until_published(publisher)
    joined = running.store.joined("vocals")
    unscaled = mp3(np.clip(song, -1, 1), bit_rate=320, quality=2)
    assert joined == layout_of(song).info_frame() + unscaled
    assert stems["vocals"] == as_demucs_encodes(song, tmp_path) != joined
    assert len(joined) == len(stems["vocals"])


def test_clipping_stem_without_an_observer_is_encoded_once(tmp_path: Path) -> None:
    soft, loud = noise(SAMPLERATE, gain=SOFT), noise(SAMPLERATE, gain=LOUD)
    song = np.concatenate([soft, loud], axis=1)
    with open_encoders(tmp_path, STEMS, mp3_of(song)) as (encoder, _):
        encoder.write(soft)
        encoder.write(loud)
        encoder.finish().result()
        assert encoder.sound_bytes < 0.6 * layout_of(song).sound_bytes
        assert [each.name for each in tmp_path.glob("drums*")] == [encoder.path.name]


def test_first_fragment_is_published_during_the_separation(running: RunningAttempt, tmp_path: Path) -> None:
    song = noise(2 * REGION, gain=SOFT)
    with (
        publisher_of(running, song) as publisher,
        open_encoders(tmp_path, STEMS, mp3_of(song), observer=publisher) as encoders,
    ):
        for encoder in encoders:
            encoder.write(song[:, :REGION])
        wait_until(lambda: (published := running.published()) and published.count)
    published = running.published()
    assert published
    # 4 units of 49 frames, but for the delay of the encoder and the decoder.
    assert (published.count, published.until_s) == (1, round(5.12 - (576 + 529) / SAMPLERATE, 3))


@pytest.mark.parametrize(
    ("publishes", "layout"), [(False, layout_of(noise(1))), (True, None)], ids=["not wanted", "no layout"]
)
def test_without_publication_no_thread_starts(
    running: RunningAttempt, publishes: bool, layout: Mp3Layout | None
) -> None:
    before = threading.active_count()
    attempt = running.attempt if publishes else UnattendedAttempt()
    with closing(FragmentPublisher(attempt, layout)) as publisher:
        assert not publisher.is_active()
        publisher.start_observing([])
        assert threading.active_count() == before


TAGS = Tags(title="Song", artist="Ann", cover=Cover(b"\xff\xd8\xff" + bytes(5000), "image/jpeg"))


def test_first_fragment_has_the_tag_and_joined_fragments_are_the_stem(
    running: RunningAttempt, tmp_path: Path
) -> None:
    """The titles of stems have different lengths, so that their sound begins at different bytes."""
    song = noise(11 * SAMPLERATE, gain=SOFT)
    with publisher_of(running, song) as publisher:
        stems = encode_stems(song, STEMS, tmp_path / "job", observer=publisher, tags=TAGS)
        wait_until_published(publisher)
    heads = {stem: write_id3(TAGS.of_stem(stem)) + layout_of(song).info_frame() for stem in STEMS}
    assert len(set(map(len, heads.values()))) == 2
    for stem in STEMS:
        assert running.store.joined(stem) == stems[stem]
        by_number = {fragment_number(key): key for key in running.store.fragments if f"-{stem}." in key}
        first, second = (running.store.fragments[by_number[number]] for number in (1, 2))
        assert first.startswith(heads[stem] + b"\xff\xfb")
        assert second.startswith(b"\xff\xfb")
        assert len(first) - len(heads[stem]) == 4 * layout_of(song).unit_bytes


@pytest.mark.parametrize("bit_rate", FORMATS["mp3"].bit_rates)
@pytest.mark.parametrize("rate_hz", [32_000, 44_100, 48_000])
def test_every_fragment_begins_with_a_frame(tmp_path: Path, bit_rate: int, rate_hz: int) -> None:
    samples = 21 * rate_hz  # As long as the noise below.
    form = StemFormat(name="mp3", samples=samples, rate_hz=rate_hz, bit_rate=bit_rate)
    layout = Mp3Layout(samples=samples, rate_hz=rate_hz, bit_rate=bit_rate)
    sound = encode_stem(noise(21 * SAMPLERATE, gain=SOFT), tmp_path, form=form)[len(layout.info_frame()) :]
    within = itertools.takewhile(lambda span: span[0] < len(sound), spans(layout.unit_bytes))
    starts = [start for start, _ in within]
    assert len(starts) >= 3
    assert set(starts) <= set(frame_starts(sound))


def frame_starts(sound: bytes) -> Iterator[int]:
    start = 0
    while start < len(sound):
        yield start
        header = read_header(sound[start : start + 4])
        assert header
        start += header.size_bytes


def test_fragments_are_contiguous_and_an_hour_has_under_100() -> None:
    unit_bytes = layout_of(noise(1)).unit_bytes
    assert unit_bytes == 1.28 * BYTES_PER_S
    an_hour = list(itertools.takewhile(lambda span: span[0] < 3600 * BYTES_PER_S, spans(unit_bytes)))
    assert all(before[1] == after[0] for before, after in itertools.pairwise(an_hour))
    assert an_hour[0] == (0, 5.12 * BYTES_PER_S)
    assert len(an_hour) < 100
    assert max(end - start for start, end in an_hour) < 60 * BYTES_PER_S


# Faults


def test_each_fragment_is_registered_before_the_next_is_stored(
    running: RunningAttempt, tmp_path: Path
) -> None:
    """The collector then knows the names of all fragments of a worker that was killed."""
    counts: list[tuple[int, int]] = []

    def note(key: str) -> None:
        (registered,) = running.queue.fragments.values()
        counts.append((fragment_number(key), registered.count))

    running.store.on_fragment = note
    song = noise(11 * SAMPLERATE, gain=SOFT)
    with publisher_of(running, song) as publisher:
        encode_stems(song, STEMS, tmp_path / "job", observer=publisher)
        wait_until_published(publisher)
    assert len(counts) == 6
    assert all(number == count + 1 for number, count in counts)


@pytest.mark.parametrize("error", [StoreUnavailable("Turned off."), RuntimeError()])
def test_store_error_ends_the_publication_only(
    running: RunningAttempt, tmp_path: Path, log_lines: list[EventDict], error: Exception
) -> None:
    tries: list[str] = []

    def fail(key: str) -> None:
        tries.append(key)
        if ".2." in key:
            raise error

    running.store.on_fragment = fail
    song = noise(11 * SAMPLERATE, gain=SOFT)
    with publisher_of(running, song) as publisher:
        stems = encode_stems(song, STEMS, tmp_path / "job", observer=publisher)
        wait_until_published(publisher)
    assert set(stems.values()) == {as_demucs_encodes(song, tmp_path)}
    assert len(tries) == 3
    [line] = log_lines
    assert (line["event"], line["log_level"]) == ("fragments_stopped", "warning")
    assert bool(line.get("exc_info")) is not isinstance(error, StoreUnavailable)
    published = running.published()
    assert published
    assert published.count == 1


def test_unavailable_queue_ends_the_publication_only(
    running: RunningAttempt, tmp_path: Path, log_lines: list[EventDict]
) -> None:
    running.queue.away = True
    song = noise(6 * SAMPLERATE, gain=SOFT)
    with publisher_of(running, song) as publisher:
        encode_stems(song, STEMS, tmp_path / "job", observer=publisher)
        wait_until_published(publisher)
    assert events(log_lines) == ["fragments_stopped"]
    assert running.store.fragments == {}


def test_hanging_store_delays_no_job(running: RunningAttempt, tmp_path: Path) -> None:
    hangs, go_on = threading.Event(), threading.Event()
    running.store.on_fragment = lambda key: (hangs.set(), go_on.wait())
    song = noise(6 * SAMPLERATE, gain=SOFT)
    with publisher_of(running, song) as publisher:
        stems = encode_stems(song, STEMS, tmp_path / "job", observer=publisher)
    assert hangs.wait(10)
    assert set(stems.values()) == {as_demucs_encodes(song, tmp_path)}
    assert running.store.fragments == {}
    go_on.set()
    wait_until_published(publisher)


def test_fragment_stored_after_the_attempt_is_deleted_again(
    running: RunningAttempt, tmp_path: Path, log_lines: list[EventDict]
) -> None:
    """The collector may have passed while the fragment was being stored."""

    def end_the_attempt(key: str) -> None:
        running.store.on_fragment = lambda _: None
        running.consumer.release(running.claim)
        publisher.close()

    running.store.on_fragment = end_the_attempt
    song = noise(6 * SAMPLERATE, gain=SOFT)
    with publisher_of(running, song) as publisher:
        encode_stems(song, STEMS, tmp_path / "job", observer=publisher)
        wait_until_published(publisher)
    assert running.store.fragments
    assert list(running.song_store.outputs()) == []
    assert events(log_lines) == []


@pytest.mark.parametrize("error", [StoreUnavailable("Turned off."), FileNotFoundError("deleted")])
def test_error_after_the_end_of_the_job_is_not_reported(
    running: RunningAttempt, tmp_path: Path, log_lines: list[EventDict], error: Exception
) -> None:
    """The folder of the job is deleted then."""

    def end_the_job(key: str) -> None:
        publisher.close()
        raise error

    running.store.on_fragment = end_the_job
    song = noise(6 * SAMPLERATE, gain=SOFT)
    with publisher_of(running, song) as publisher:
        encode_stems(song, STEMS, tmp_path / "job", observer=publisher)
        wait_until_published(publisher)
    assert events(log_lines) == []


def test_aborted_job_ends_its_publication(running: RunningAttempt, tmp_path: Path) -> None:
    song = noise(SAMPLERATE)

    def abort() -> None:
        with (
            publisher_of(running, song) as publisher,
            open_encoders(tmp_path, STEMS, mp3_of(song), observer=publisher),
        ):
            publishers.append(publisher)
            raise MsaasError("aborted")

    publishers: list[FragmentPublisher] = []
    with pytest.raises(MsaasError, match="aborted"):
        abort()
    wait_until_published(publishers[0])
