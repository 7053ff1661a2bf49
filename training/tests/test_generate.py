"""Generation: songs are stored once and completely."""

from types import SimpleNamespace

import numpy as np
import pytest

from msaas_training import generate
from msaas_training.generate import SongTask, ensure_songs, read_song, write_song

STEMS = np.random.default_rng(0).uniform(-0.9, 0.9, (4, 2, 1000)).astype(np.float32)


@pytest.fixture(autouse=True)
def noise_songs(monkeypatch):
    monkeypatch.setattr(
        generate, "make_song", lambda **arguments: SimpleNamespace(stems=STEMS, style="noise")
    )


def test_songs_are_stored_with_16_bits(tmp_path):
    (tmp_path / "near").mkdir()
    task = SongTask(tmp_path, "near", 3)
    assert write_song(task) == "0003.npy, noise"
    np.testing.assert_allclose(read_song(tmp_path / "near" / "0003.npy"), STEMS, atol=1 / 32_767)


def test_existing_songs_are_kept(tmp_path):
    folder = tmp_path / "near"
    folder.mkdir()
    for index in range(3):
        (folder / f"{index:04d}.npy").write_bytes(b"kept")
    paths = ensure_songs(tmp_path, set_name="near", songs=3)
    assert [path.read_bytes() for path in paths] == [b"kept"] * 3


def test_failed_write_leaves_no_song(tmp_path, monkeypatch):
    (tmp_path / "near").mkdir()

    def fail(file, array):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="No space"):
        write_song(SongTask(tmp_path, "near", 0))
    assert not (tmp_path / "near" / "0000.npy").exists()
