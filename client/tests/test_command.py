"""The command `msaas` against a running service and worker."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from rest.tests.service import start_service
from rest.tests.song_site import SongSite, file

from client.tests.conftest import KEY, write_songs
from client.tests.stack import (
    MSAAS,
    Stack,
    environment,
    hash_of,
    run,
    running_stack,
    started,
    wait_for_job,
)
from msaas.jobs import JobState
from msaas.recipe import Recipe
from msaas_client import Client
from msaas_client.command.main import main
from tests.servers import free_port, quiet_port, wait_until
from tests.system import STEMS
from tests.tcp_proxy import Cut, tcp_proxy

pytestmark = pytest.mark.server


# Separate


def test_songs_become_files_and_stdout_has_their_paths(
    stack: Stack, songs: list[Path], tmp_path: Path
) -> None:
    done = run(stack.url, "separate", *songs, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    expected = [f"separated/{song.stem}/{stem}.mp3" for song in songs for stem in STEMS]
    assert sorted(done.stdout.splitlines()) == sorted(expected)
    for song in songs:
        found = {stem: (tmp_path / f"separated/{song.stem}/{stem}.mp3").read_bytes() for stem in STEMS}
        assert found == stack.system.stems(hash_of(song))


def test_json_has_one_object_for_each_song(stack: Stack, songs: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "noise.mp3"
    bad.write_bytes(b"not a song")
    done = run(stack.url, "separate", "--json", "-o", "out", "--two-stems", "bass", *songs, bad, cwd=tmp_path)
    assert done.returncode == 1
    found = {each["file"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert set(found) == {str(each) for each in (*songs, bad)}
    assert found[str(bad)]["error"]["code"] == "not_audio"
    for song in songs:
        assert found[str(song)] == {
            "file": str(song),
            "id": Recipe(two_stems="bass").job_id(hash_of(song)),
            "state": "done",
            "model": "htdemucs",
            "device": "cpu",
            "stems": {stem: f"out/{song.stem}/{stem}.mp3" for stem in ("bass", "no_bass")},
            "error": None,
        }


def test_song_comes_from_standard_input(stack: Stack, song_file: Path, tmp_path: Path) -> None:
    done = run(stack.url, "separate", "-", cwd=tmp_path, stdin=song_file.read_bytes())
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "separated/stdin/vocals.mp3").exists()


def test_filename_is_a_template(stack: Stack, song_file: Path, tmp_path: Path) -> None:
    template = "{stem} of {track}, was {trackext}.{ext}"
    done = run(stack.url, "separate", "--stems", "vocals", "--filename", template, song_file, cwd=tmp_path)
    assert done.stdout == f"separated/vocals of {song_file.stem}, was mp3.mp3\n"


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ("", {}),
        ("-m htdemucs_6s", {"model": "htdemucs_6s"}),
        ("-n mdx_extra_q", {"model": "mdx_extra_q"}),
        ("--two-stems vocals", {"two_stems": "vocals"}),
        ("--stems vocals,drums", {"stems": "vocals,drums"}),
        ("--format opus --bitrate 96", {"format": "opus", "bitrate": 96}),
        ("--mp3 --mp3-bitrate 128", {"format": "mp3", "bitrate": 128}),
        ("--flac", {"format": "flac"}),
        ("--flac --int24", {"format": "flac", "bits": "24"}),
        ("--int24", {"format": "wav", "bits": "24"}),
        ("--float32 --clip-mode none", {"format": "wav", "bits": "float", "clip": "none"}),
        ("--format wav --bits 16", {"format": "wav", "bits": "16"}),
        ("--shifts 2 --overlap 0.5", {"shifts": 2, "overlap": 0.5}),
        ("--format m4a", {"format": "m4a"}),
        ("--clip-mode rescale", {"clip": "rescale"}),
        ("--flac --clip-mode clamp", {"format": "flac", "clip": "clamp"}),
        ("--flac --exact-sum", {"format": "flac", "exact_sum": True}),
        ("--flac --sample-rate source", {"format": "flac", "sample_rate": "source"}),
    ],
)
def test_each_flag_reaches_the_service(
    idle_stack: Stack,
    flags: str,
    options: dict[str, object],
    song_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--url", idle_stack.url, "--no-wait", *flags.split(), str(song_file)]
    with pytest.raises(SystemExit) as end:
        main(["separate", *arguments])
    shown = capsys.readouterr()
    recipe = Recipe.parse(options, default_model="htdemucs")
    assert (end.value.code, shown.out.strip()) == (0, recipe.job_id(hash_of(song_file))), shown.err


# Jobs


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


def test_json_of_models_and_of_songs_that_are_not_waited_for(
    stack: Stack, song_file: Path, tmp_path: Path
) -> None:
    models = map(json.loads, run(stack.url, "models", "--json", cwd=tmp_path).stdout.splitlines())
    assert [each["name"] for each in models if each["is_default"]] == ["htdemucs"]
    done = run(stack.url, "separate", "--json", "--no-wait", song_file, cwd=tmp_path)
    sent = {"file": str(song_file), "id": hash_of(song_file), "state": "sent"}
    assert (done.returncode, json.loads(done.stdout)) == (0, sent)


def test_cancel_of_all_requests_ends_the_job(idle_stack: Stack, song_file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        job_id = run(idle_stack.url, "separate", "--no-wait", song_file, cwd=tmp_path).stdout.strip()
    done = run(idle_stack.url, "cancel", "--all", job_id, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{job_id}  cancelled\n")


@pytest.mark.parametrize(("patience", "least", "most"), [("0", 1, 1), ("2", 3, 9)])
def test_patience_is_the_time_for_a_busy_server(
    patience: str, least: int, most: int, song_file: Path, tmp_path: Path
) -> None:
    """No real server is busy for ever: the site answers 503."""
    with SongSite({f"/apiv1/song/{hash_of(song_file)}": file(b"", status=503)}) as site:
        done = run(site.url(""), "separate", "--patience", patience, song_file, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert least <= len(site.requested) <= most


# Servers that go away


def test_songs_are_waited_for_while_the_server_restarts(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    port = str(quiet_port())
    (song,) = write_songs(tmp_path, request, count=1, seconds=60.0)
    with running_stack(tmp_path / "restarted", PORT=port) as stack:
        with started(stack.url, "separate", song, cwd=tmp_path) as process:
            wait_for_job(stack, JobState.RUNNING)
            stack.service.kill()
            wait_until(lambda: stack.state(hash_of(song)) is JobState.DONE)
            assert process.poll() is None
            again = start_service(tmp_path, **{**stack.system.environment, "PORT": port})
            try:
                shown, errors = process.communicate(timeout=60)
            finally:
                again.kill()
    assert (process.returncode, errors) == (0, "")
    assert len(shown.splitlines()) == len(STEMS)


def test_upload_that_is_cut_is_sent_again_as_one_request(
    idle_stack: Stack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    (song,) = write_songs(tmp_path, request, count=1, seconds=60.0)
    sent_bytes = 0

    def cut(chunk: bytes) -> bytes:
        nonlocal sent_bytes
        sent_bytes += len(chunk)
        if sent_bytes > song.stat().st_size / 2:
            proxy.mend()
            raise Cut
        return chunk

    with tcp_proxy("127.0.0.1", int(idle_stack.url.rpartition(":")[2])) as proxy:
        proxy.requests = cut
        done = run(f"http://{proxy.address}", "separate", "--no-wait", song, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{hash_of(song)}\n", "")
    assert sent_bytes < song.stat().st_size
    with idle_stack.client() as client:
        other = client.separate(song)
        url = f"{idle_stack.url}/apiv1/job/{other.id}"
        left = requests.delete(url, params={"request_id": other.request_id}, timeout=10).json()
        assert left["requests"] == 1
        client.cancel(other.id)


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


def test_songs_that_are_not_sent_are_named(
    stack: Stack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    songs = write_songs(tmp_path, request, count=3)
    arguments = ("separate", "--json", "-j", "1", "-m", "htdemucs_7s", *songs)
    done = run(stack.url, *arguments, cwd=tmp_path)
    found = [(each["file"], each["state"]) for each in map(json.loads, done.stdout.splitlines())]
    assert found == [
        (str(song), state) for song, state in zip(songs, ("failed", *2 * ["skipped"]), strict=True)
    ]
    assert (done.returncode, done.stderr.splitlines()[1:]) == (2, ["2 songs were not sent."])


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


# Names and streams


def test_name_that_is_not_unicode_is_printed(stack: Stack, song_file: Path, tmp_path: Path) -> None:
    song = song_file.rename(tmp_path / os.fsdecode(b"na\xefve.mp3"))
    done = run(stack.url, "separate", song.name, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"separated/{song.stem}/{stem}.mp3" for stem in STEMS]
    song.write_bytes(b"not a song")
    done = run(stack.url, "separate", "--json", song.name, cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (done.returncode, found["file"], found["state"]) == (1, song.name, "failed")


@pytest.mark.parametrize("flags", ["--json", ""])
def test_reader_of_stdout_that_has_gone_ends_the_call(
    stack: Stack, request: pytest.FixtureRequest, tmp_path: Path, flags: str
) -> None:
    write_songs(tmp_path, request, count=4)
    command = f"{MSAAS} separate {flags} -j 1 *.mp3 2>errors | head -n 1"
    shown = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment(stack.url), capture_output=True, timeout=60
    ).stdout
    assert shown
    assert (tmp_path / "errors").read_text().splitlines()[-1] == "2 songs were not sent."


def test_models_are_listed_with_the_default(stack: Stack, tmp_path: Path) -> None:
    lines = run(stack.url, "models", cwd=tmp_path).stdout.splitlines()
    assert lines[0].split() == ["*", "htdemucs", *lines[0].split()[2:]]
    assert lines[0].endswith("drums, bass, other, vocals")


# Exit codes


def test_usage_errors_are_2(
    stack: Stack, song_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / song_file.name
    other.parent.mkdir()
    other.write_bytes(song_file.read_bytes())
    for arguments, reason in (
        ([], "Missing argument"),
        (["absent.mp3"], "does not exist"),
        (["--flac", "--mp3", song_file], "exclude each other"),
        (["--filename", "{track}.{ext}", song_file], "--filename needs {stem}"),
        (["--filename", "{stem}.{title}", song_file], "Only {track}, {trackext}"),
        (["--device", "cpu", song_file], "--device needs --local"),
        ([song_file, other], "would write the same files"),
        (["-m", "htdemucs_7s", song_file], "Choose one of htdemucs"),
        (["--url", "ftp://host", song_file], "should be http"),
        (["--filename", "{stem}{track:d}", song_file], "is not a template"),
        (["--filename", "{stem}{track:{ext}}", song_file], "is not a template"),
        (["--filename", "{stem}{track!x}", song_file], "is not a template"),
        (["--callback", os.fsdecode(b"http://\xff"), song_file], "is not Unicode text"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["separate", "--url", stack.url, *map(str, arguments)])
        shown = capsys.readouterr()
        assert (end.value.code, shown.out) == (2, ""), arguments
        assert reason in shown.err, arguments


def test_failed_job_is_1(stack: Stack, tmp_path: Path) -> None:
    done = run(stack.url, "status", "0" * 64, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: Job {'0' * 64} is unknown. Send the song again.\n"


def test_server_that_is_away_is_3(tmp_path: Path, song_file: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run(url, "separate", song_file, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"error: {song_file}: {url} does not answer: Connection refused\n"


def test_key_that_is_refused_is_4_and_never_printed(
    keyed_stack: Stack, song_file: Path, tmp_path: Path
) -> None:
    for key in ("", "another-secret-key-of-the-tests"):
        done = run(keyed_stack.url, "separate", song_file, cwd=tmp_path, MSAAS_API_KEY=key)
        assert (done.returncode, done.stdout) == (4, "")
        assert "key" in done.stderr
        assert "secret" not in done.stderr
    for key in ("the-secret\nkey", "the-secret-kéy"):
        for command in (["separate", song_file], ["ls"], ["doctor", "--no-engine"]):
            done = run(keyed_stack.url, *command, cwd=tmp_path, MSAAS_API_KEY=key)
            assert (done.returncode, done.stdout) == (2, ""), done.stderr
            assert "Error: The API key has a character" in done.stderr
            assert "secret" not in done.stderr
    done = run(keyed_stack.url, "ls", cwd=tmp_path, MSAAS_API_KEY=KEY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The library, and many songs


def test_program_of_the_guide_runs(stack: Stack, song_file: Path, tmp_path: Path) -> None:
    program = Path(__file__).with_name("program.py")
    command = [sys.executable, program, stack.url, song_file, tmp_path / "stems"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/stems/vocals.flac\n"), done.stderr


@pytest.mark.parametrize("command", ["separate --local song.mp3", "doctor --no-server"])
def test_missing_engine_is_named(command: str, tmp_path: Path) -> None:
    """A package that hides the worker stands for an installation without the extra."""
    (tmp_path / "msaas_worker.py").write_text("raise ModuleNotFoundError(name='msaas_worker')")
    (tmp_path / "song.mp3").touch()
    done = run("", *command.split(), cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert "msaas_worker is missing" in done.stdout + done.stderr
    assert "pip install ./common ./worker './client[local]'" in done.stdout + done.stderr


def test_command_needs_no_engine() -> None:
    """The extra `local` brings torch, and nothing else may import it or its packages."""
    program = (
        "import sys; import msaas_client.command.main; "
        "sys.exit(str([name for name in ('torch', 'numpy', 'msaas', 'msaas_worker') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == "[]\n"
