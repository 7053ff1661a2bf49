"""The command `msaas` against a running service and worker."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from client.tests.conftest import write_songs
from client.tests.stack import MSAAS, Stack, environment, hash_of, run
from msaas.recipe import Recipe
from msaas_client.command.main import main
from tests.system import STEMS

pytestmark = pytest.mark.server


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


def test_json_of_a_song_that_is_not_waited_for_has_its_id(
    stack: Stack, song_file: Path, tmp_path: Path
) -> None:
    done = run(stack.url, "separate", "--json", "--no-wait", song_file, cwd=tmp_path)
    sent = {"file": str(song_file), "id": hash_of(song_file), "state": "sent"}
    assert (done.returncode, json.loads(done.stdout)) == (0, sent)


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
    # The reader goes with its first line: the call learns it at one of the next lines.
    last = (tmp_path / "errors").read_text().splitlines()[-1]
    assert last in ("3 songs were not sent.", "2 songs were not sent.")
