"""The demo: its table, and one line for each failure."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from msaas_local.demo import Row, describe_job, find_songs, format_table, save_stem, send_samples
from msaas_local.history_table import format_history, wait_for_history
from msaas_local.ports import free_port


def test_table_has_a_line_for_each_stem() -> None:
    rows = [
        Row("engine-room.mp3", "vocals", 3.14, Path("output/engine-room/vocals.mp3")),
        Row("night-train.mp3", "drums", None, Path("output/night-train/drums.mp3")),
    ]
    assert format_table(rows) == (
        "song                     stem      seconds  file\n"
        "engine-room.mp3          vocals        3.1  output/engine-room/vocals.mp3\n"
        "night-train.mp3          drums           -  output/night-train/drums.mp3\n"
    )


def test_history_has_a_line_for_each_separation() -> None:
    row = {
        "songhash": "077dd328c409" + "0" * 52,
        "state": "done",
        "model": "starter",
        "device": "cpu",
        "attempts": 1,
        "audio_s": 18.051,
        "work_s": 10.66,
        "finished_at": "2026-11-29T19:44:34.500Z",
    }
    failed = {**row, "state": "failed", "model": None, "device": None, "audio_s": None, "attempts": 3}
    assert format_history([row, failed]) == (
        "history        state   model    device  attempts  audio   work    finished\n"
        "077dd328c409…  done    starter  cpu     1         18.1 s  10.7 s  2026-11-29T19:44:34.500Z\n"
        "077dd328c409…  failed  -        -       3         -       10.7 s  2026-11-29T19:44:34.500Z\n"
    )


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "separated by starter on cpu, 1.5 s"),
        ({"requested_model": "htdemucs"}, "asked for htdemucs, separated by starter on cpu, 1.5 s"),
        ({"started_at": None}, "separated by starter on cpu"),
        # The state of the job has expired: the manifest answers.
        ({"started_at": None, "finished_at": None, "device": None}, "separated by starter"),
    ],
)
def test_line_of_a_job_has_the_facts_of_its_status(facts: dict[str, str | None], text: str) -> None:
    status = {
        "model": "starter",
        "requested_model": None,
        "device": "cpu",
        "started_at": "2026-11-29T19:44:33.000Z",
        "finished_at": "2026-11-29T19:44:34.500Z",
    }
    assert describe_job({**status, **facts}, default_model="starter") == text


def test_folder_without_songs_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"{tmp_path} has no MP3"):
        find_songs(tmp_path)


@pytest.mark.process
def test_samples_that_cannot_be_sent_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"sample-requests\.py ended with code 1"):
        send_samples(f"http://127.0.0.1:{free_port()}")
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a server that knows no track."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_stem_that_is_not_served_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"Stem bass of song\.mp3 was not saved: 404 Client Error"):
        save_stem("a" * 64, "bass", song=Path("song.mp3"), url=url, folder=tmp_path)


def test_history_that_cannot_be_read_is_empty(url: str) -> None:
    assert wait_for_history(url, ["a" * 64], timeout_s=0.0) == []


def test_stem_of_a_lost_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"Stem bass of song\.mp3 was not saved: "):
        save_stem(
            "a" * 64, "bass", song=Path("song.mp3"), url=f"http://127.0.0.1:{free_port()}", folder=tmp_path
        )
