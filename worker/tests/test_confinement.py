"""The decoder and ffmpeg are confined: open files, for ffmpeg the song, no network, no other process."""

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from worker.tests.escapes import escapes
from worker.tests.songs import song_mp3
from worker.tests.test_decoding import WAV_HEAD, decode_bytes, decoder_with, sound_file

from msaas.errors import UndecodableSong
from msaas_worker.audio.decoding import DecoderProcess
from msaas_worker.confinement import seccomp
from msaas_worker.confinement.check import find_missing_protections
from msaas_worker.confinement.process import _PROGRAM_CALLS
from tests.processes import ROOT
from tests.servers import absent
from tests.system import System
from tests.worker_pool import WorkerPool

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="Linux only")]
#: The calls that a decoder may make. A call more is a decision: see docs/architecture.md.
ALLOWED = {
    *("read", "readv", "pread64", "preadv", "write", "writev", "lseek", "ftruncate", "close", "fstat"),
    *("brk", "madvise", "mmap", "mprotect", "mremap", "munmap"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("clock_gettime", "clock_nanosleep", "gettimeofday", "getrandom", "futex", "sched_yield"),
    *("exit", "exit_group"),
}
#: ffmpeg needs these for its libraries and its threads. The program of "become another program" is missing.
OF_PROGRAMS = {"map an executable page", "make a page executable", "start a thread", "become another program"}
#: Landlock denies these without the filter of calls.
BY_LANDLOCK = {
    *("read /etc/passwd", "read another file of the user", "list a folder", "read its own environment"),
    *("read the environment of the parent", "open the memory of the parent"),
    *("list the open files of the parent", "create a file", "write another file", "delete a file"),
}
CAT, SHELL = "/bin/cat", "/bin/sh"
NAMES = list(escapes(Path()))


@pytest.fixture(scope="module")
def missing() -> list[str]:
    """Return the protections that this machine lacks. In CI it lacks none."""
    found = find_missing_protections()
    if "seccomp" in found:
        absent("libseccomp")
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the result of each attempt in a process that is not confined."""
    command = [sys.executable, "-m", "worker.tests.escapes", str(prepare(tmp_path_factory.mktemp("plain")))]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    results: dict[str, str] = json.loads(run.stdout)
    return results


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, missing: list[str]) -> dict[str, str]:
    """Return the result of each attempt in a process that is confined to become ffmpeg."""
    if "landlock" in missing:
        pytest.skip("this kernel has no Landlock")
    folder = prepare(tmp_path_factory.mktemp("program"))
    attempts = f"print(json.dumps(escapes.attempt_all(Path({str(folder)!r}))))"
    results: dict[str, str] = json.loads(run_confined_to_cat(attempts, folder / "song").stdout)
    return results


def run_confined_to_cat(code: str, song: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a process that may become `cat` and read the song."""
    song.write_text("la la la")
    lines = (
        "import json, os",
        "from pathlib import Path",
        "from msaas_worker.confinement.process import confine_program",
        "from worker.tests import escapes",
        f"confine_program(Path({CAT!r}), readable=Path({str(song)!r}))",
        code,
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory, missing: list[str]) -> dict[str, str]:
    """Return the result of each attempt in a decoder."""
    return attempt_in_decoder(prepare(tmp_path_factory.mktemp("confined")))


def prepare(folder: Path) -> Path:
    (folder / "other").write_text("x")
    (folder / "deletable").touch()
    return folder


def attempt_in_decoder(folder: Path, *, denied: str = "") -> dict[str, str]:
    output = run_in_decoder(f"print(json.dumps(escapes.attempt_all(Path({str(folder)!r}))))", folder, denied)
    results: dict[str, str] = json.loads(output.splitlines()[0])
    return results


def decoder_that(code: str, folder: Path) -> DecoderProcess:
    """Return a decoder that runs this line instead of opening its song."""
    imports = "import json, os, numpy\nfrom pathlib import Path\nfrom worker.tests import escapes\n"
    path = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
    return decoder_with(f"{path}{imports}def SoundFile(file, closefd):\n    {code}\n", folder)


def run_in_decoder(code: str, folder: Path, denied: str = "") -> str:
    """Run a line in a decoder, under a kernel that denies these system calls, and return its output."""
    (folder / "song.mp3").write_bytes(WAV_HEAD)
    python, *arguments = decoder_that(code, folder).command
    kernel = ["-m", "worker.tests.deny_calls", denied] if denied else []
    files = [str(folder / "song.mp3"), str(folder / "song.f32")]
    command = [python, *kernel, *arguments, *files, "1000", "60", "WAV"]
    run = subprocess.run(command, env={}, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    return run.stdout


@pytest.mark.fault("T13")
@pytest.mark.parametrize("name", NAMES)
def test_decoder_cannot(
    name: str, plain: dict[str, str], confined: dict[str, str], missing: list[str]
) -> None:
    if plain[name]:
        pytest.skip(f"this machine denies it to every process: {plain[name]}")
    assert confined[name]


@pytest.mark.fault("T13")
@pytest.mark.parametrize("name", sorted({*NAMES} - OF_PROGRAMS))
def test_ffmpeg_cannot(name: str, plain: dict[str, str], program: dict[str, str]) -> None:
    if plain[name]:
        pytest.skip(f"this machine denies it to every process: {plain[name]}")
    assert program[name]


@pytest.mark.parametrize("name", sorted(OF_PROGRAMS))
def test_ffmpeg_may(name: str, program: dict[str, str]) -> None:
    assert program[name] == ""


def test_confined_program_reads_its_song(tmp_path: Path, missing: list[str]) -> None:
    song = tmp_path / "song"
    run = run_confined_to_cat(f"os.execv({CAT!r}, ['cat', {str(song)!r}])", song)
    assert (run.stdout, run.stderr) == ("la la la", "")


@pytest.mark.fault("T13")
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{folder}/other", "/proc/{parent}/environ", "/proc/self/mem"]
)
def test_confined_program_reads_no_other_file(path: str, tmp_path: Path, missing: list[str]) -> None:
    if "landlock" in missing:
        pytest.skip("this kernel has no Landlock")
    other = path.format(folder=prepare(tmp_path), parent=os.getpid())
    run = run_confined_to_cat(f"os.execv({CAT!r}, ['cat', {other!r}])", tmp_path / "song")
    assert (run.stdout, run.returncode) == ("", 1)
    assert "Permission denied" in run.stderr


@pytest.mark.fault("T13")
def test_confined_program_becomes_no_other_program(tmp_path: Path, missing: list[str]) -> None:
    if "landlock" in missing:
        pytest.skip("this kernel has no Landlock")
    run = run_confined_to_cat(f"os.execv({SHELL!r}, ['sh', '-c', 'echo free'])", tmp_path / "song")
    assert run.stdout == ""
    assert "PermissionError" in run.stderr


@pytest.mark.parametrize("architecture", [0xC000_003E, 0xC000_00B7], ids=["x86-64", "aarch64"])
def test_calls_of_programs_exist(architecture: int, missing: list[str]) -> None:
    resolve = seccomp.load_library().seccomp_syscall_resolve_name_arch
    unknown = {name for name in _PROGRAM_CALLS if resolve(architecture, name.encode()) < 0}
    assert unknown <= {"access", "arch_prctl", "poll", "readlink"}


@pytest.mark.fault("T13")
def test_kernel_executes_no_other_call_of_the_decoder(tmp_path: Path, missing: list[str]) -> None:
    library = seccomp.load_library()
    known = {library.seccomp_syscall_resolve_name(name.encode()) for name in ALLOWED}
    output = run_in_decoder(f"print(escapes.answered_calls(known={known}))", tmp_path)
    assert output.splitlines()[0] == "[]"


@pytest.mark.parametrize("architecture", [0xC000_003E, 0xC000_00B7], ids=["x86-64", "aarch64"])
def test_allowed_calls_exist_on_architecture(architecture: int, missing: list[str]) -> None:
    resolve = seccomp.load_library().seccomp_syscall_resolve_name_arch
    assert [name for name in sorted(ALLOWED) if resolve(architecture, name.encode()) < 0] == []


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64 has a second table of calls")
def test_decoder_is_killed_by_a_call_of_another_architecture(tmp_path: Path, missing: list[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        run_in_decoder("escapes._LIBC.syscall(0x4000_0000)", tmp_path)
    assert error.value.returncode == -signal.SIGSYS


def test_decoder_has_no_secret_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIO_SECRET_KEY", "store-secret-9e21")
    reader = decoder_that("raise ValueError(f'names: {sorted(os.environ)}')", tmp_path)
    with pytest.raises(UndecodableSong, match=r"names: .*'OPENBLAS_NUM_THREADS'") as error:
        decode_bytes(WAV_HEAD, tmp_path, process=reader)
    assert "MINIO" not in str(error.value)


def test_decoder_inherits_no_file(tmp_path: Path) -> None:
    with open(tmp_path / "inheritable", "wb") as file:
        os.set_inheritable(file.fileno(), True)
        reader = decoder_that("raise ValueError(f'open: {escapes.open_files()}')", tmp_path)
        # Behind the three standard ones: samples, tags, the song, its mapping, and the frames of one part.
        with pytest.raises(UndecodableSong, match=r"^open: \[0, 1, 2, 3, 4, 5, 6, 7\]$"):
            decode_bytes(WAV_HEAD, tmp_path, process=reader)


def test_process_with_two_threads_is_not_confined(missing: list[str]) -> None:
    if "landlock" in missing:
        pytest.skip("this kernel has no Landlock")
    code = (
        "import threading, time\n"
        "from msaas_worker.confinement.process import confine\n"
        "threading.Thread(target=time.sleep, args=[60], daemon=True).start()\n"
        "confine()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "RuntimeError: A process is confined before it starts its second thread." in run.stderr


def test_samples_beyond_all_numbers_are_silence(tmp_path: Path) -> None:
    # numpy imports modules for its warnings, which the confinement denies.
    infinite = sound_file(block="numpy.full((44100, 2), numpy.inf, numpy.float32)")
    song = decode_bytes(WAV_HEAD, tmp_path, process=decoder_with(infinite, tmp_path))
    assert (song.samples, song.read(0, song.samples).any()) == (44100, False)


# A kernel without one of the protections


@pytest.mark.parametrize(
    ("denied", "lacks"),
    [
        ("landlock_create_ruleset", ["landlock"]),
        ("seccomp", ["seccomp"]),
        ("landlock_create_ruleset,seccomp", ["landlock", "seccomp"]),
    ],
)
def test_missing_protection_is_found(denied: str, lacks: list[str], missing: list[str]) -> None:
    command = [*(sys.executable, "-m", "worker.tests.deny_calls", denied)]
    command += ["-I", "-m", "msaas_worker.confinement.process"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    assert json.loads(run.stdout) == sorted({*lacks, *missing})


def test_decoder_without_landlock_cannot_escape(
    tmp_path: Path, plain: dict[str, str], missing: list[str]
) -> None:
    results = attempt_in_decoder(prepare(tmp_path), denied="landlock_create_ruleset")
    assert {name for name in NAMES if not results[name]} <= set(filter(plain.get, NAMES))


def test_decoder_without_seccomp_opens_no_file_and_signals_no_process(
    tmp_path: Path, plain: dict[str, str], missing: list[str]
) -> None:
    if "landlock" in missing:
        pytest.skip("this kernel has no Landlock")
    results = attempt_in_decoder(prepare(tmp_path), denied="seccomp")
    assert {name for name in NAMES if results[name]} >= BY_LANDLOCK


def test_worker_warns_once_of_a_missing_protection(system: System, pool: WorkerPool) -> None:
    worker = pool.start("-m", "worker.tests.deny_calls", "landlock_create_ruleset", *pool.command)
    [warning] = worker.events("decoder_not_confined")
    assert (warning["level"], "landlock" in warning["missing"]) == ("warning", True)
    for seed in range(2):
        system.wait_for_end(system.send(song_mp3(1, seed=seed)))
    assert worker.events("decoder_not_confined") == [warning]


def test_worker_on_a_kernel_with_all_protections_does_not_warn(pool: WorkerPool, missing: list[str]) -> None:
    assert bool(pool.start().events("decoder_not_confined")) is bool(missing)


def test_hidden_memory_is_denied_to_processes_of_the_user() -> None:
    code = (
        "import ctypes, os\n"
        "from pathlib import Path\n"
        "from msaas_worker.confinement.check import hide_memory\n"
        "if not os.getuid():\n"
        "    os.setgid(65534), os.setuid(65534)\n"
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
        "def is_readable():\n"
        "    child = os.fork()\n"
        "    if child: return not os.waitpid(child, 0)[1]\n"
        "    try: Path(f'/proc/{os.getppid()}/environ').read_bytes()\n"
        "    except OSError: os._exit(1)\n"
        "    os._exit(0)\n"
        "before = is_readable()\n"
        "hide_memory()\n"
        "print(before, is_readable())\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["True", "False"]
