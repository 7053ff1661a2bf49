"""Each option of a separation through a running stack, from the upload to the files that a client gets."""

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile
from numpy.typing import NDArray
from worker.tests.references import require

from tests.journeys.stack import SONGS, Stack, running

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(600)]
SECONDS, RATE_HZ = 6, 48_000
STEMS = ["drums", "bass", "other", "vocals"]
Samples = NDArray[np.float64]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("options") / "home") as stack:
        yield stack


def music(rate_hz: int) -> Samples:
    """Return noise, a tone and beats, which exceed full scale in no sample."""
    random, t = np.random.default_rng(1), np.arange(SECONDS * rate_hz) / rate_hz
    beats = random.uniform(-1, 1, t.size) * np.exp(-(t % 0.5) * 25)
    tones = np.sin(2 * np.pi * 110 * t) + 0.5 * np.sin(2 * np.pi * 440 * t)
    return np.stack([0.2 * tones + 0.3 * beats, 0.1 * tones + 0.4 * beats], axis=1)


def flac(*, rate_hz: int = RATE_HZ, title: str = "") -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate_hz, 2, format="FLAC", subtype="PCM_16") as writer:
        if title:
            writer.title = title
        writer.write(music(rate_hz))
    return file.getvalue()


def separate(stack: Stack, song: bytes, **options: str) -> dict[str, Any]:
    """Send the song and return its status at the end."""
    reply = requests.post(
        f"{stack.url}/apiv1/separate",
        files={"file": ("song", song)},
        data=options,
        timeout=20,
    )
    assert reply.status_code == 200, reply.text
    status = stack.wait_for(str(reply.json()["songhash"]))
    assert status["state"] == "done", status["error"]
    return status


def download(stack: Stack, status: dict[str, Any], stem: str) -> bytes:
    reply = stack.get(f"/apiv1/track/{status['songhash']}/{stem}")
    assert reply.status_code == 200, reply.text
    return reply.content


def read(content: bytes) -> tuple[Samples, soundfile.SoundFile]:
    file = soundfile.SoundFile(io.BytesIO(content))
    return file.read(always_2d=True), file


def snr_db(reference: Samples, other: Samples) -> float:
    error = np.square(reference - other).sum()
    return float(10 * np.log10(np.square(reference).sum() / error)) if error else np.inf


@pytest.mark.parametrize("bits", [16, 24])
def test_exact_sum_of_flac_stems_is_the_song(stack: Stack, bits: int) -> None:
    song = flac(rate_hz=44_100)
    status = separate(stack, song, format="flac", bits=str(bits), exact_sum="true")
    stems = [read(download(stack, status, stem))[0] for stem in STEMS]
    assert np.array_equal(sum(stems), read(song)[0])


def test_two_stems_in_float_add_up_to_the_song(stack: Stack) -> None:
    song = flac(rate_hz=44_100)
    status = separate(stack, song, two_stems="vocals", format="wav", bits="float", clip="none")
    assert status["stems"] == ["vocals", "no_vocals"]
    (vocals, file), (rest, _) = (read(download(stack, status, stem)) for stem in status["stems"])
    assert (file.format, file.subtype) == ("WAV", "FLOAT")
    assert snr_db(read(song)[0], vocals + rest) > 120


def test_subset_of_stems_has_the_samples_of_all(stack: Stack) -> None:
    song = flac(rate_hz=44_100)
    every = separate(stack, song, format="flac")
    some = separate(stack, song, format="flac", stems="vocals,drums")
    assert some["stems"] == ["drums", "vocals"]
    for stem in some["stems"]:
        assert download(stack, some, stem) == download(stack, every, stem)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"format": "wav"}, ("WAV", "PCM_24", 44_100)),
        ({"format": "wav", "bits": "16"}, ("WAV", "PCM_16", 44_100)),
        ({"format": "flac", "sample_rate": "source"}, ("FLAC", "PCM_24", RATE_HZ)),
        ({"format": "opus"}, ("OGG", "OPUS", 48_000)),
        ({"bitrate": "128"}, ("MP3", "MPEG_LAYER_III", 44_100)),
        ({"bitrate": "192", "sample_rate": "source"}, ("MP3", "MPEG_LAYER_III", RATE_HZ)),
    ],
)
def test_stems_have_their_format_and_the_length_of_the_song(
    stack: Stack, options: dict[str, str], expected: tuple[str, str, int]
) -> None:
    status = separate(stack, flac(), **options)
    samples, file = read(download(stack, status, "drums"))
    assert (file.format, file.subtype, file.samplerate) == expected
    assert len(samples) == SECONDS * file.samplerate


def loud_wav() -> bytes:
    """Return a song with samples, and stems, beyond full scale."""
    file = io.BytesIO()
    soundfile.write(file, 4 * music(44_100), 44_100, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_stem_above_full_scale_is_rescaled_clamped_or_kept(stack: Stack) -> None:
    def drums(**options: str) -> Samples:
        status = separate(stack, loud_wav(), format="wav", **options)
        return read(download(stack, status, "drums"))[0]

    kept, clamped, rescaled = drums(bits="float", clip="none"), drums(clip="clamp"), drums(clip="rescale")
    peak = np.abs(kept).max()
    assert peak > 1.5
    assert snr_db(np.clip(kept, -1, 1), clamped) > 100
    assert 0.9 < np.abs(rescaled).max() <= 1
    assert snr_db(kept * np.abs(rescaled).max() / peak, rescaled) > 100


def test_exact_sum_of_a_song_above_full_scale_is_the_clipped_song(stack: Stack) -> None:
    song = loud_wav()
    status = separate(stack, song, format="wav", bits="16", exact_sum="true")
    total = sum(read(download(stack, status, stem))[0] for stem in STEMS)
    clipped = np.clip(np.rint(read(song)[0] * 2**15), -(2**15), 2**15 - 1) / 2**15
    assert np.array_equal(total, clipped)


def test_bit_rate_of_opus_counts(stack: Stack) -> None:
    sizes = [
        len(download(stack, separate(stack, flac(), format="opus", bitrate=bitrate), "drums"))
        for bitrate in ("64", "160", "256")
    ]
    assert sizes[0] < 0.6 * sizes[1] < 0.6 * 0.8 * sizes[2]


def test_m4a_stems_are_as_long_as_the_song(stack: Stack, tmp_path: Path) -> None:
    require("ffmpeg")
    status = separate(stack, flac(), format="m4a")
    (tmp_path / "drums.m4a").write_bytes(download(stack, status, "drums"))
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "drums.m4a"), "-f", "f32le", "-"]
    decoded = subprocess.run(command, check=True, capture_output=True).stdout
    assert len(decoded) // 8 == pytest.approx(SECONDS * 44_100, abs=1024)


def test_sum_of_stems_of_an_mp3_lies_on_the_song(stack: Stack) -> None:
    song = SONGS[0].read_bytes()
    status = separate(stack, song)
    total = sum(read(download(stack, status, stem))[0] for stem in STEMS)
    reference, _ = read(song)
    assert len(total) == len(reference)
    assert snr_db(reference, total) > 30


def test_overlap_and_shifts_change_the_samples_of_a_stem(stack: Stack) -> None:
    song = flac(rate_hz=44_100)
    statuses = [
        separate(stack, song, format="flac", **options)
        for options in ({}, {"overlap": "0.5"}, {"shifts": "1"}, {"overlap": "0.5", "shifts": "2"})
    ]
    drums = [read(download(stack, status, "drums"))[0] for status in statuses]
    assert len({each.tobytes() for each in drums}) == 4
    assert all(snr_db(drums[0], each) > 6 for each in drums[1:])


def test_stems_are_named_and_tagged_by_the_title(stack: Stack) -> None:
    status = separate(stack, flac(title="Blue Train"), format="flac")
    reply = stack.get(f"/apiv1/track/{status['songhash']}/bass")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="Blue Train (bass).flac"'
    assert read(reply.content)[1].title == "Blue Train (bass)"
