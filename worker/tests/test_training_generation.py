"""Songs are made once and kept."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")
pytest.importorskip("mido", reason="training needs worker/training/requirements.txt")
pytest.importorskip(
    "fluidsynth", reason="training needs worker/training/requirements.txt", exc_type=ImportError
)

from msaas_training import generate
from msaas_training.generate import Order, ensure, read, write

STEMS = np.random.default_rng(0).uniform(-0.9, 0.9, (4, 2, 1000)).astype(np.float32)


@pytest.fixture(autouse=True)
def noise_for_songs(monkeypatch):
    monkeypatch.setattr(generate, "make_song", lambda **order: SimpleNamespace(stems=STEMS, style="noise"))


def test_what_is_read_is_what_was_made_but_for_sixteen_bits(tmp_path):
    (tmp_path / "near").mkdir()
    order = Order(tmp_path, "near", 3)
    assert write(order) == "0003.npy, noise"
    np.testing.assert_allclose(read(tmp_path / "near" / "0003.npy"), STEMS, atol=1 / 32_767)


def test_songs_that_exist_are_kept(tmp_path):
    folder = tmp_path / "near"
    folder.mkdir()
    for index in range(3):
        (folder / f"{index:04d}.npy").write_bytes(b"kept")
    paths = ensure(tmp_path, set_name="near", songs=3)
    assert [path.read_bytes() for path in paths] == [b"kept"] * 3


def test_a_song_that_could_not_be_written_whole_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "near").mkdir()

    def full(file, array):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        write(Order(tmp_path, "near", 0))
    assert not (tmp_path / "near" / "0000.npy").exists()
