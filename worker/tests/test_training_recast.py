"""A test song sung again by voices that training heard tells what unheard ones cost."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")
pytest.importorskip("mido", reason="training needs worker/training/requirements.txt")
pytest.importorskip(
    "fluidsynth", reason="training needs worker/training/requirements.txt", exc_type=ImportError
)

from msaas_training import songs
from msaas_training.evaluate import Scores, voice_gap_db
from msaas_training.generate import SEEDS
from msaas_training.palettes import PALETTES, UNHEARD, recast_of

RECASTS = {recast_of(name): name for name in UNHEARD} | {"cast": "wide"}


def test_only_a_set_and_its_recast_share_their_scores():
    assert set(SEEDS) == set(PALETTES)
    assert len(set(SEEDS.values())) == len(SEEDS) - len(RECASTS)
    assert all(SEEDS[recast] == SEEDS[name] for recast, name in RECASTS.items())


@pytest.fixture
def noise_for_music(monkeypatch):
    """Noise of the song's chance stands for every instrument, that of the singer's for the voice."""

    def noise(score, *, palette, rng):
        return rng.standard_normal((2, 44_100)).astype(np.float32)

    for band in ("drums", "bass", "others"):
        monkeypatch.setattr(songs, band, noise)
    monkeypatch.setattr(
        songs.vocals, "sing", lambda notes, *, rng, **given: noise(notes, palette=None, rng=rng)
    )


@pytest.mark.parametrize("recast_name", RECASTS)
def test_a_recast_keeps_the_band_and_changes_the_singer(noise_for_music, recast_name):
    one, recast = (
        songs.make_song(seed=(1, 2), palette=PALETTES[name], duration_s=1.0).stems
        for name in (RECASTS[recast_name], recast_name)
    )
    scale = recast[0, 0, 0] / one[0, 0, 0]
    np.testing.assert_allclose(recast[:3], one[:3] * scale, rtol=1e-4, atol=1e-6)
    for take in recast[3:]:
        assert abs(np.corrcoef(take.ravel(), one[3].ravel())[0, 1]) < 0.1
        assert (take**2).mean() == pytest.approx((one[3] ** 2).mean() * scale**2, rel=1e-3)


def test_takes_are_as_many_as_were_ordered_and_none_is_another(noise_for_music):
    stems = songs.make_song(seed=(1, 2), palette=PALETTES["cast"], duration_s=1.0).stems
    takes = stems[3:]
    assert len(takes) == len(PALETTES["cast"].recast) == 4
    assert np.abs(np.triu(np.corrcoef(takes.reshape(4, -1)), 1)).max() < 0.1


def test_no_take_of_a_song_clips():
    loud = songs._within_scale(np.random.default_rng(1).standard_normal((7, 2, 4410)).astype(np.float32))
    assert songs.mixtures(loud).shape == (4, 2, 4410)
    assert np.abs(songs.mixtures(loud)).max() == pytest.approx(0.95)


def test_a_mixture_has_the_band_and_one_take():
    stems = np.array([1, 2, 4, 8, 16], np.float32)[:, None, None]
    assert songs.mixtures(stems).ravel().tolist() == [15, 23]


def test_what_unheard_voices_cost_is_told_song_by_song():
    def vocals(*sdr_db: float) -> Scores:
        return Scores(np.array([[0.0, 0.0, 0.0, each] for each in sdr_db]), np.zeros(len(sdr_db)), 1.0)

    sets = {"far": vocals(1, 9, -5), "far-recast": vocals(3, 9, -4)}
    assert voice_gap_db(sets, name="far") == 1.0
