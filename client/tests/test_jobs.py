"""`status`, `fetch`, `cancel`, `ls`, `logs` and `models`."""

import json
from pathlib import Path

import pytest

from client.tests.stack import Stack, hash_of, run, started, wait_for_job
from msaas.jobs import JobState
from msaas_client import Client
from tests.servers import wait_until
from tests.system import STEMS

pytestmark = pytest.mark.server


def test_commands_show_fetch_and_cancel_jobs(
    idle_stack: Stack, stack: Stack, song_file: Path, tmp_path: Path
) -> None:
    job_id = run(stack.url, "separate", "--no-wait", song_file, cwd=tmp_path).stdout.strip()
    fetched = run(stack.url, "fetch", "-o", "out", job_id, cwd=tmp_path)
    assert fetched.stdout.splitlines() == [f"out/{job_id}/{stem}.mp3" for stem in STEMS]
    assert run(stack.url, "status", job_id, cwd=tmp_path).stdout == f"{job_id}  done       htdemucs on cpu\n"
    assert json.loads(run(stack.url, "ls", "--json", "-n", "1", cwd=tmp_path).stdout)["id"] == job_id
    logged = run(stack.url, "logs", job_id, cwd=tmp_path).stdout
    assert f"{job_id[:12]}  done       htdemucs on cpu\n" in logged
    waiting = run(idle_stack.url, "separate", "--no-wait", song_file, cwd=tmp_path).stdout.strip()
    queued = ("ls", "--state", "queued", "-n", "1")
    listed = run(idle_stack.url, *queued, cwd=tmp_path)
    assert (listed.returncode, waiting in listed.stdout) == (0, True), listed.stderr
    assert run(idle_stack.url, "cancel", waiting, cwd=tmp_path).stdout == f"{waiting}  cancelled\n"
    listed = run(idle_stack.url, *queued, cwd=tmp_path)
    assert (listed.returncode, waiting in listed.stdout) == (0, False), listed.stderr


@pytest.mark.parametrize("command", ["status", "fetch", "logs", "ls --limit 1 --state done"])
def test_json_of_each_command_has_the_job(
    command: str, stack: Stack, client: Client, song_file: Path, tmp_path: Path
) -> None:
    job_id = client.wait(client.separate(song_file).id).id
    arguments = command.split() if command.startswith("ls") else [command, job_id]
    done = run(stack.url, *arguments, "--json", cwd=tmp_path)
    (found,) = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, found["id"], found["state"]) == (0, job_id, "done")
    assert ("time" in found) == (command == "logs")


def test_cancel_of_all_requests_ends_the_job(idle_stack: Stack, song_file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        job_id = run(idle_stack.url, "separate", "--no-wait", song_file, cwd=tmp_path).stdout.strip()
    done = run(idle_stack.url, "cancel", "--all", job_id, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{job_id}  cancelled\n")


def test_id_that_fails_does_not_end_the_others(
    idle_stack: Stack, stack: Stack, song_file: Path, tmp_path: Path
) -> None:
    job_id, unknown = (
        run(stack.url, "separate", "--no-wait", song_file, cwd=tmp_path).stdout.strip(),
        "0" * 64,
    )
    done = run(stack.url, "fetch", "--json", unknown, job_id, cwd=tmp_path)
    failed, fetched = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, failed["id"], failed["error"]["code"]) == (1, unknown, "job_not_found")
    assert (fetched["id"], fetched["state"], len(fetched["stems"])) == (job_id, "done", 4)
    done = run(stack.url, "status", unknown, job_id, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, f"{job_id}  done       htdemucs on cpu\n")
    shown = run(stack.url, "status", "--json", unknown, job_id, cwd=tmp_path).stdout
    assert [(each["id"], each["state"]) for each in map(json.loads, shown.splitlines())] == [
        (unknown, "unknown"),
        (job_id, "done"),
    ]
    waiting = run(idle_stack.url, "separate", "--no-wait", song_file, cwd=tmp_path).stdout.strip()
    done = run(idle_stack.url, "cancel", unknown, waiting, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, f"{waiting}  cancelled\n")


def test_cancelled_job_is_named_in_json(idle_stack: Stack, song_file: Path, tmp_path: Path) -> None:
    with started(idle_stack.url, "separate", "--json", song_file, cwd=tmp_path) as process:
        wait_until(lambda: hash_of(song_file) in wait_for_job(idle_stack, JobState.QUEUED))
        with idle_stack.client() as client:
            client.cancel(hash_of(song_file), all_requests=True)
        shown, _ = process.communicate(timeout=60)
    found = json.loads(shown)
    assert (process.returncode, found["id"], found["state"]) == (1, hash_of(song_file), "cancelled")


def test_logs_of_several_jobs_are_printed_as_they_change(
    idle_stack: Stack, songs: list[Path], tmp_path: Path
) -> None:
    """The second job ends first."""
    sent = run(idle_stack.url, "separate", "--no-wait", "-j", "1", *songs, cwd=tmp_path).stdout.split()
    with started(idle_stack.url, "logs", "--json", *sent, cwd=tmp_path) as process:
        assert process.stdout
        states = {job_id: json.loads(process.stdout.readline())["state"] for job_id in sent}
        assert states == dict.fromkeys(sent, "queued")
        for job_id in reversed(sent):
            run(idle_stack.url, "cancel", job_id, cwd=tmp_path)
            found = json.loads(process.stdout.readline())
            assert (found["id"], found["state"]) == (job_id, "cancelled")
        assert process.wait(30) == 0


def test_logs_without_ids_show_short_jobs_and_no_positions(
    idle_stack: Stack, songs: list[Path], tmp_path: Path
) -> None:
    with idle_stack.client() as client:
        first = client.separate(songs[0]).id
        with started(idle_stack.url, "logs", "--json", cwd=tmp_path) as process:
            assert process.stdout
            lines = map(json.loads, process.stdout)
            assert next(each for each in lines if each["id"] == first)["state"] == "queued"
            short = client.separate(songs[1]).id
            client.cancel(short)
            client.cancel(first)
            ended = [next(lines) for _ in range(2)]
            assert {each["id"]: each["state"] for each in ended} == dict.fromkeys((first, short), "cancelled")


def test_models_are_listed_with_the_default(stack: Stack, tmp_path: Path) -> None:
    lines = run(stack.url, "models", cwd=tmp_path).stdout.splitlines()
    assert lines[0].split() == ["*", "htdemucs", *lines[0].split()[2:]]
    assert lines[0].endswith("drums, bass, other, vocals")


def test_json_of_models_tells_the_default(stack: Stack, tmp_path: Path) -> None:
    models = map(json.loads, run(stack.url, "models", "--json", cwd=tmp_path).stdout.splitlines())
    assert [each["name"] for each in models if each["is_default"]] == ["htdemucs"]
