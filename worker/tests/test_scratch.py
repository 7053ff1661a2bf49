"""Scratch folders of workers that live, die and start at the same time."""

import fcntl
import shutil
import threading
from pathlib import Path
from typing import IO, Any

import pytest

from msaas_worker.scratch import Scratch


def test_scratch_of_a_dead_worker_is_removed_and_others_stay(tmp_path: Path) -> None:
    living = Scratch(tmp_path)
    before = set(tmp_path.iterdir())
    dead = Scratch(tmp_path)
    [dead_folder] = set(tmp_path.iterdir()) - before
    dead._lock.close()  # As the end of the process does.
    third = Scratch(tmp_path)
    assert before <= set(tmp_path.iterdir())
    assert not dead_folder.exists()
    living.remove()
    third.remove()
    assert list(tmp_path.iterdir()) == []


def test_worker_that_starts_beside_another_leaves_its_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    siblings: list[Scratch] = []
    lock = fcntl.flock

    def start_sibling_first(file: IO[str], operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        siblings.append(Scratch(tmp_path))
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", start_sibling_first)
    scratch = Scratch(tmp_path)
    assert siblings
    with scratch.folder() as folder:
        assert folder.is_dir()


def test_folder_is_deleted_in_the_background_before_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_delete, delete = threading.Event(), shutil.rmtree

    def delete_slowly(*arguments: Any, **options: Any) -> None:
        may_delete.wait(10)
        delete(*arguments, **options)

    scratch = Scratch(tmp_path)
    monkeypatch.setattr(shutil, "rmtree", delete_slowly)
    with scratch.folder() as first:
        (first / "song").write_bytes(b"x")
    assert (first / "song").exists()
    may_delete.set()
    with scratch.folder() as second:
        assert not first.exists()
        assert second.is_dir()
    scratch.remove()
    assert list(tmp_path.iterdir()) == []
