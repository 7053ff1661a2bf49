"""`demucs` itself and `msaas separate --local`, in this process, and the files that they write."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import demucs.separate
import pytest
import soundfile
import torch
from worker.tests.songs import noise

from msaas_client.command.main import main
from msaas_worker.audio.decoded import SAMPLERATE, Audio


def write_song(path: Path, *, seconds: float, gain: float = 0.2) -> Path:
    """Write a song as WAV: both programs decode it to the same samples."""
    soundfile.write(path, noise(int(seconds * SAMPLERATE), gain=gain).T, SAMPLERATE, subtype="PCM_16")
    return path


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """Work in a folder, in one thread: tests run side by side.

    The settings of this process that a command changes are restored.
    """
    before, threads, root = Path.cwd(), torch.get_num_threads(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    os.chdir(folder)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.chdir(before)
        torch.set_num_threads(threads)
        root.handlers[:] = handlers
        root.setLevel(level)


def run_demucs(song: Path, *flags: str, repo: Path, folder: Path) -> dict[str, Path]:
    """Run `demucs` without shifts, which are random. Return the files by their names below `folder`."""
    folder.mkdir()
    with _in_folder(folder):
        demucs.separate.main(["--repo", str(repo), "--shifts", "0", *flags, str(song)])
    return find_files(folder)


def run_msaas(songs: Sequence[Path], *flags: str, repo: Path, folder: Path, code: int = 0) -> dict[str, Path]:
    """Run `msaas separate --local`. Return the files by their names below `folder`."""
    folder.mkdir(exist_ok=True)
    with _in_folder(folder), pytest.raises(SystemExit) as end:
        main(["separate", "--local", "--repo", str(repo), *flags, *map(str, songs)])
    assert end.value.code == code
    return find_files(folder)


def find_files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> Audio:
    """Return the samples `[2, n]` of a file."""
    return soundfile.read(path, dtype="float32")[0].T
