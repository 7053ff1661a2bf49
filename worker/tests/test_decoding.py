"""The decoder process: its samples, its limits, and a named error for any file that is not a song."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worker.tests.references import decode_by_ffmpeg, require, snr_db
from worker.tests.songs import mp3, noise

from msaas.errors import MsaasError, SeparationFailed, SongTooLong, UndecodableSong
from msaas_worker.audio.decoded import SAMPLERATE, DecodedSong
from msaas_worker.audio.decoding import DecoderProcess, decode
from tests.servers import wait_until

pytestmark = pytest.mark.process
#: Longer than two blocks of the decoder.
LONG_S = 42
RATES = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000]


def decode_bytes(
    content: bytes, folder: Path, *, max_duration_s: int = 600, process: DecoderProcess = DecoderProcess()
) -> DecodedSong:
    (folder / "song.mp3").write_bytes(content)
    frames = folder / "song.f32"
    return decode(folder / "song.mp3", frames, max_duration_s=max_duration_s, process=process)


@pytest.mark.parametrize(
    ("rate", "channels"), [*((rate, 2) for rate in RATES), (12000, 1), (44100, 1), (48000, 1)]
)
def test_song_has_the_samples_that_ffmpeg_decodes(rate: int, channels: int, tmp_path: Path) -> None:
    require("ffmpeg")
    bit_rate = 128 if rate >= 32_000 else 64  # LAME changes the rate at less.
    content = mp3(noise(LONG_S * rate, channels=channels), samplerate=rate, bit_rate=bit_rate)
    song = decode_bytes(content, tmp_path)
    reference = decode_by_ffmpeg(tmp_path / "song.mp3")
    assert song.samples == pytest.approx(reference.shape[-1], abs=1)
    assert song.source_hz == rate
    assert song.source_samples == pytest.approx(song.samples * rate / SAMPLERATE, abs=1)
    common = min(song.samples, reference.shape[-1])
    assert snr_db(reference[:, :common], song.read(0, common)) > 100


def test_mean_and_deviation_are_those_of_the_mono_downmix(tmp_path: Path) -> None:
    song = decode_bytes(mp3(noise(LONG_S * SAMPLERATE)), tmp_path)
    mono = song.read(0, song.samples).mean(0).astype(np.float64)
    assert song.mean == pytest.approx(mono.mean(), abs=1e-9)
    assert song.std == pytest.approx(mono.std(ddof=1), rel=1e-9)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4096,
        b"ID3" + b"\x04" * 30,
        b"not a song at all " * 100,
        b"RIFF" + b"\0" * 40,
        b"\xff\xfb",
    ],
    ids=["empty", "zeros", "33 bytes of ID3", "text", "RIFF", "two bytes"],
)
def test_other_files_are_undecodable(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UndecodableSong) as error:
        decode_bytes(content, tmp_path)
    assert str(tmp_path) not in str(error.value)


def test_truncated_song_is_decoded_up_to_its_end(tmp_path: Path) -> None:
    whole = mp3(noise(10 * SAMPLERATE))
    song = decode_bytes(whole[: len(whole) // 2], tmp_path)
    assert 4 * SAMPLERATE < song.samples < 6 * SAMPLERATE


def test_header_that_promises_hours_reserves_nothing(tmp_path: Path) -> None:
    content = bytearray(mp3(noise(2 * SAMPLERATE)))
    frame = xing_frame(frames=0x7FFF_FFFF, size_bytes=0x7FFF_FFFF, like=bytes(content[:4]))
    song = decode_bytes(frame + bytes(content), tmp_path)
    assert song.samples < 4 * SAMPLERATE


def xing_frame(*, frames: int, size_bytes: int, like: bytes) -> bytes:
    """Return a frame of 128 kbit/s at 44.1 kHz that names the length of the song."""
    frame = bytearray(417)
    frame[:4] = like
    frame[36:40] = b"Xing"
    frame[40:44] = (3).to_bytes(4, "big")
    frame[44:48] = frames.to_bytes(4, "big")
    frame[48:52] = size_bytes.to_bytes(4, "big")
    return bytes(frame)


def test_song_beyond_the_maximum_duration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SongTooLong, match="longer than 5 s"):
        decode_bytes(mp3(noise(6 * SAMPLERATE)), tmp_path, max_duration_s=5)


def test_song_within_the_maximum_duration_is_decoded(tmp_path: Path) -> None:
    assert decode_bytes(mp3(noise(4 * SAMPLERATE)), tmp_path, max_duration_s=5).samples < 5 * SAMPLERATE


# Limits of the process


#: A second of full scale, as code.
ONES = "numpy.ones((44100, 2), numpy.float32)"
#: It is recognised as a song of libsndfile, and `ffmpeg` finds no sound in it.
WAV_HEAD = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0"


def decoder_with(soundfile_code: str, folder: Path, **limits: float) -> DecoderProcess:
    """Return a decoder process that imports this code as `soundfile`."""
    modules = folder / "modules"
    modules.mkdir()
    (modules / "soundfile.py").write_text(f"class LibsndfileError(Exception): pass\n{soundfile_code}")
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(modules)!r});"
        "sys.argv[0] = 'msaas_worker.audio.decoder';"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    process = DecoderProcess()
    return replace(process, command=(*process.command[:2], "-c", code), **limits)  # type: ignore[arg-type]


def sound_file(*, opened: str = "pass", block: str) -> str:
    """Return the code of a `SoundFile` with one block. `opened` runs when it opens."""
    return (
        "import contextlib, numpy\n"
        "class SoundFile(contextlib.nullcontext):\n"
        "    samplerate, channels, frames, format, is_read = 44100, 2, 44100, 'WAV', False\n"
        f"    def __init__(self, file, closefd): super().__init__(self); {opened}\n"
        "    def tell(self): return self.frames\n"
        "    def read(self, samples, dtype, always_2d, out):\n"
        f"        block = numpy.empty((0, 2), numpy.float32) if self.is_read else {block}\n"
        "        self.is_read = True\n"
        "        return block\n"
    )


def test_decoder_beyond_its_memory_is_an_undecodable_song(tmp_path: Path) -> None:
    # With more memory it would decode a second of silence.
    hungry = sound_file(opened="self.hoard = bytearray(8 * 1024**3)", block=ONES)
    with pytest.raises(UndecodableSong):
        decode_bytes(WAV_HEAD, tmp_path, process=decoder_with(hungry, tmp_path))


def test_decoder_with_an_injected_library_decodes(tmp_path: Path) -> None:
    process = decoder_with(sound_file(block=ONES), tmp_path)
    assert decode_bytes(WAV_HEAD, tmp_path, process=process).samples == SAMPLERATE


def test_decoder_beyond_its_cpu_time_is_killed(tmp_path: Path) -> None:
    busy = decoder_with("def SoundFile(file, closefd):\n    while True: pass", tmp_path, start_cpu_s=1)
    with pytest.raises(UndecodableSong, match=r"time|did not end"):
        decode_bytes(WAV_HEAD, tmp_path, process=busy)


def test_sleeping_decoder_is_killed_with_its_children(tmp_path: Path) -> None:
    # The child starts with the import: later the decoder may start none.
    asleep = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "def SoundFile(file, closefd): time.sleep(600)\n"
    )
    process = decoder_with(asleep, tmp_path, wall_per_cpu_s=0.5)
    with pytest.raises(UndecodableSong, match="did not end"):
        decode_bytes(WAV_HEAD, tmp_path, process=process)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: is_gone(child))


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


# ffmpeg


def ffmpeg_that(ends: str) -> DecoderProcess:
    """Return a decoder with an `ffmpeg` that writes half of 1 s and then runs this code."""
    code = (
        "import os, signal, struct, sys, time\n"
        "form = struct.pack('<HHIIHH', 3, 2, 44100, 44100 * 8, 8, 32)\n"
        "most = b'\\xff' * 4\n"
        "sys.stdout.buffer.write(b'RIFF' + most + b'WAVEfmt ' + struct.pack('<I', len(form)) + form)\n"
        "sys.stdout.buffer.write(b'data' + most + struct.pack('<f', 0.5) * 44100)\n"
        f"sys.stdout.flush()\n{ends}"
    )
    return replace(DecoderProcess(), ffmpeg=(sys.executable, "-I", "-c", code))


#: Only ffmpeg reads it.
MATROSKA = b"\x1a\x45\xdf\xa3" + bytes(60_000)


@pytest.mark.fault("O1")
@pytest.mark.parametrize(
    "ends",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "os.abort()",
        "os._exit(255)",
        "os.close(1); time.sleep(60)",
    ],
    ids=["killed", "segmentation fault", "aborted", "CPU time", "does not end"],
)
def test_song_whose_ffmpeg_was_ended_is_undecodable_and_not_shorter(ends: str, tmp_path: Path) -> None:
    require("ffmpeg")
    with pytest.raises(UndecodableSong, match="more memory or time"):
        decode_bytes(MATROSKA, tmp_path, process=ffmpeg_that(ends))


@pytest.mark.parametrize("status", [0, 1, 69])
def test_song_whose_ffmpeg_met_damage_is_what_it_decoded(status: int, tmp_path: Path) -> None:
    require("ffmpeg")
    assert decode_bytes(MATROSKA, tmp_path, process=ffmpeg_that(f"os._exit({status})")).samples == 22_050


def test_ended_ffmpeg_does_not_replace_what_our_decoder_read(tmp_path: Path) -> None:
    require("ffmpeg")
    killed = replace(
        ffmpeg_that("os.kill(os.getpid(), signal.SIGKILL)"),
        command=decoder_with(sound_file(block=f"{ONES}[:400]"), tmp_path).command,
    )
    assert decode_bytes(WAV_HEAD, tmp_path, process=killed).samples == 400


FACTS = {"mean": 0.0, "std": 1.0, "source_hz": 44100, "source_samples": 9, "is_damaged": False}


@pytest.mark.parametrize(
    "reply",
    [
        b"[" * 50_000,
        b"17",
        json.dumps(FACTS | {"mean": "0"}).encode(),
        json.dumps(FACTS | {"error": "no_such_error"}).encode(),
        b'{"error": "no_room", "detail": {}}',
        json.dumps(FACTS | {"std": math.inf}).encode(),
        json.dumps(FACTS | {"source_hz": 0}).encode(),
        json.dumps(FACTS | {"source_samples": -1}).encode(),
        json.dumps(FACTS | {"source_hz": 44100.5}).encode(),
        json.dumps(FACTS).encode(),
        b"x" * 10_000_000,
    ],
    ids=[
        *("nested", "number", "text", "unknown error", "detail", "infinite", "no rate", "negative length"),
        *("fraction", "without samples", "endless"),
    ],
)
def test_invalid_reply_is_an_undecodable_song(reply: bytes, tmp_path: Path) -> None:
    (tmp_path / "reply").write_bytes(reply)
    hostile = (
        "import os\n"
        f"reply = open({str(tmp_path / 'reply')!r}, 'rb').read()\n"
        "def SoundFile(file, closefd):\n"
        "    os.write(1, reply)\n"
        "    os._exit(0)\n"
    )
    process = decoder_with(hostile, tmp_path, start_cpu_s=1, wall_per_cpu_s=2.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UndecodableSong):
        decode_bytes(WAV_HEAD, tmp_path, process=process)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024


def test_full_disk_is_not_an_error_of_the_song(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(mp3(noise(SAMPLERATE)))
    with pytest.raises(SeparationFailed, match="No space left on device"):
        decode(tmp_path / "song.mp3", Path("/dev/full"), max_duration_s=60)


def test_decoder_has_no_environment_and_no_torch(tmp_path: Path) -> None:
    code = (
        "import os, sys, msaas_worker.audio.decoder; "
        "print(sorted(set(os.environ) - {'LC_CTYPE'}), 'torch' in sys.modules, 'redis' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", code], env={}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "['OPENBLAS_NUM_THREADS'] False False"


def test_decoder_dies_with_its_worker(tmp_path: Path) -> None:
    limited = (
        "import os, time\n"
        "from msaas_worker.audio.process_limits import limit\n"
        "limit(memory_bytes=2**30, cpu_s=60, output_bytes=1)\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE)\n"
        "print(int(child.stdout.readline()), flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, limited], stdout=subprocess.PIPE)
    assert process.stdout
    pid = int(process.stdout.readline())
    assert not is_gone(pid)
    process.kill()
    process.wait()
    try:
        wait_until(lambda: is_gone(pid))
    finally:
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)


def test_error_of_the_library_is_a_named_error(tmp_path: Path) -> None:
    failing = "def SoundFile(file, closefd): raise ValueError('Format not recognised.')\n"
    with pytest.raises(UndecodableSong, match=r"^Format not recognised\.$"):
        decode_bytes(WAV_HEAD, tmp_path, process=decoder_with(failing, tmp_path))


@pytest.mark.parametrize("seed", range(6))
def test_damaged_song_is_decoded_or_has_a_named_error(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    content = np.frombuffer(mp3(noise(3 * SAMPLERATE)), np.uint8).copy()
    places = random.integers(0, len(content), size=4**seed)
    content[places] = random.integers(0, 256, size=len(places), dtype=np.uint8)
    try:
        song = decode_bytes(content.tobytes(), tmp_path)
    except MsaasError:
        return
    assert 0 < song.samples <= 4 * SAMPLERATE
    assert np.isfinite(song.read(0, song.samples)).all()
