"""Other files than MP3s, formats of stems, and the limits that clients ask for."""

import io
import wave
from typing import Any
from urllib.parse import unquote

import pytest
from rest.tests.service import Service, store_stems

from common.tests.frames import FRAME, info_frame
from common.tests.steps import AT_ONCE_S
from msaas.jobs import JobState
from msaas.queue.abilities import FFMPEG, Abilities
from msaas.recipe import Recipe
from msaas.songs import song_hash


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((2, 2, 44100, 0, "NONE", ""))
        writer.writeframes(bytes(4 * 44100))
    return file.getvalue()


M4A = b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x6cmoov" + bytes(100)


def announce(service: Service, *programs: str) -> None:
    consumer = service.queue.consumer("w1")
    assert consumer.take(timeout_s=AT_ONCE_S) is None
    consumer.announce(Abilities({"htdemucs": "htdemucs"}, frozenset(programs)))


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:msaas:error:")


@pytest.mark.parametrize(("content", "extension"), [(wav(), "wav"), (M4A, "m4a")])
def test_song_is_stored_with_the_extension_of_its_kind(
    service: Service, content: bytes, extension: str
) -> None:
    answer = service.send(content, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 200
    names = service.get("/apiv1/bucket").json()["buckets"]["input-tracks"]
    assert names == [f"{song_hash(content)}.{extension}"]
    assert b"".join(service.song_store.song(song_hash(content))) == content


@pytest.mark.parametrize("media_type", ["audio/flac", "video/mp4", "application/ogg"])
def test_raw_body_may_have_any_type_of_sound(service: Service, media_type: str) -> None:
    assert service.send(wav(), headers={"Content-Type": media_type}).status_code == 200


def test_mp3_without_sound_is_422(service: Service) -> None:
    silent = info_frame(delay=4095, padding=4095) + FRAME * 4
    assert code_of(service.send(silent)) == (422, "undecodable_song")
    assert service.get("/apiv1/queue").json() == {"queue": []}


def test_kind_that_no_worker_reads_is_415(service: Service) -> None:
    announce(service)
    assert code_of(service.send(M4A)) == (415, "decoder_missing")
    assert service.get("/apiv1/queue").json() == {"queue": []}
    announce(service, FFMPEG)
    assert service.send(M4A).status_code == 200


def test_format_that_no_worker_writes_is_422(service: Service, song: bytes) -> None:
    announce(service)
    assert code_of(service.send(song, query="?format=m4a")) == (422, "format_unavailable")
    announce(service, FFMPEG)
    assert service.send(song, query="?format=m4a").status_code == 200


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("format=flac&bits=16", {"format": "flac", "bits": "16"}),
        ("two_stems=vocals&bitrate=128", {"two_stems": "vocals", "bitrate": 128}),
        ("stems=vocals,drums&sample_rate=source", {"stems": ["drums", "vocals"], "sample_rate": "source"}),
        ("format=wav&exact_sum=true", {"format": "wav", "exact_sum": True}),
        ("overlap=0.5&shifts=2", {"overlap": 0.5, "shifts": 2}),
    ],
)
def test_options_travel_to_the_worker(
    service: Service, song: bytes, query: str, options: dict[str, Any]
) -> None:
    job_id = service.send(song, query=f"?{query}").json()["songhash"]
    job = service.work()
    assert (job.job_id, job.options) == (job_id, options)
    assert service.get(f"/apiv1/job/{job_id}").json()["state"] == JobState.DONE


@pytest.mark.parametrize(
    "query", ["bits=16", "format=opus&bitrate=320", "clip=none", "shifts=99", "overlap=1"]
)
def test_invalid_option_is_422(service: Service, song: bytes, query: str) -> None:
    assert code_of(service.send(song, query=f"?{query}")) == (422, "invalid_option")


def test_complement_of_a_stem_is_served(service: Service) -> None:
    recipe = Recipe(two_stems="vocals")
    job_id = recipe.job_id("a" * 64)
    store_stems(service.song_store, job_id, stems=("vocals", "no_vocals"), options=recipe.options())
    for path in (f"{job_id}/no_vocals.mp3", f"{job_id}-no_vocals"):
        assert service.get(f"/apiv1/track/{path}").status_code == 200
    assert code_of(service.get(f"/apiv1/track/{job_id}/no_cowbell")) == (422, "unknown_stem")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Blue Train", "Blue Train (bass).mp3"),
        ('a/b\\c:"d"?\n', "a b c d (bass).mp3"),
        ("Ærøskøbing 夜", "Ærøskøbing 夜 (bass).mp3"),
        ("..", "{id}-bass.mp3"),
        ("x" * 500, "x" * 120 + " (bass).mp3"),
    ],
)
def test_download_is_named_by_the_title(service: Service, title: str, name: str) -> None:
    store_stems(service.song_store, "a" * 64, title=title)
    header = service.get(f"/apiv1/track/{'a' * 64}/bass").headers["Content-Disposition"]
    _, _, encoded = header.partition("filename*=UTF-8''")
    shown = unquote(encoded) if encoded else header.split('"')[1]
    assert shown == name.format(id="a" * 64)
    assert header.isascii()


def test_limits_tell_what_can_be_sent_and_asked_for(service: Service) -> None:
    announce(service)
    limits = service.get("/apiv1/limits").json()
    assert (limits["max_upload_mb"], limits["max_duration_s"]) == (512, 7200)
    assert limits["max_song_upload_mb"] == 75
    inputs = {row["name"]: row["available"] for row in limits["inputs"]}
    assert (inputs["MP3"], inputs["FLAC"], inputs["MP4"]) == (True, True, False)
    formats = {row["name"]: row for row in limits["formats"]}
    assert formats["flac"]["bits"] == ["24", "16"]
    assert (formats["mp3"]["available"], formats["m4a"]["available"]) == (True, False)
    announce(service, FFMPEG)
    assert all(row["available"] for row in service.get("/apiv1/limits").json()["inputs"])
