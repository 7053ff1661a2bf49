"""Songs: seeds, takes of the vocals and recasts of the test songs."""

import numpy as np
import pytest

from msaas_training import songs
from msaas_training.evaluate import Scores, voice_gap_db
from msaas_training.generate import SEEDS
from msaas_training.palettes import HELD_OUT, PALETTES, recast_name

RECASTS = {recast_name(name): name for name in HELD_OUT} | {"cast": "wide"}


def test_only_a_set_and_its_recast_share_seeds():
    assert set(SEEDS) == set(PALETTES)
    assert len(set(SEEDS.values())) == len(SEEDS) - len(RECASTS)
    assert all(SEEDS[recast] == SEEDS[name] for recast, name in RECASTS.items())


@pytest.fixture
def noise_tracks(monkeypatch):
    """Replace instruments and vocals by noise from their random generators."""

    def noise(score, *, palette, rng):
        return rng.standard_normal((2, 44_100)).astype(np.float32)

    for name in ("render_drums", "render_bass", "render_others"):
        monkeypatch.setattr(songs, name, noise)
    monkeypatch.setattr(
        songs.vocals, "sing", lambda notes, *, rng, **given: noise(notes, palette=None, rng=rng)
    )


@pytest.mark.parametrize("set_name", RECASTS)
def test_recast_keeps_the_instruments_and_changes_the_vocals(noise_tracks, set_name):
    original, recast = (
        songs.make_song(seed=(1, 2), palette=PALETTES[name], duration_s=1.0).stems
        for name in (RECASTS[set_name], set_name)
    )
    scale = recast[0, 0, 0] / original[0, 0, 0]
    np.testing.assert_allclose(recast[:3], original[:3] * scale, rtol=1e-4, atol=1e-6)
    for take in recast[3:]:
        assert abs(np.corrcoef(take.ravel(), original[3].ravel())[0, 1]) < 0.1
        assert (take**2).mean() == pytest.approx((original[3] ** 2).mean() * scale**2, rel=1e-3)


def test_takes_match_the_palette_and_differ(noise_tracks):
    stems = songs.make_song(seed=(1, 2), palette=PALETTES["cast"], duration_s=1.0).stems
    takes = stems[3:]
    assert len(takes) == len(PALETTES["cast"].takes) == 4
    assert np.abs(np.triu(np.corrcoef(takes.reshape(4, -1)), 1)).max() < 0.1


def test_no_take_clips():
    stems = songs._limit_peak(np.random.default_rng(1).standard_normal((7, 2, 4410)).astype(np.float32))
    assert songs.mix_takes(stems).shape == (4, 2, 4410)
    assert np.abs(songs.mix_takes(stems)).max() == pytest.approx(0.95)


def test_mixture_has_the_instruments_and_one_take():
    stems = np.array([1, 2, 4, 8, 16], np.float32)[:, None, None]
    assert songs.mix_takes(stems).ravel().tolist() == [15, 23]


def test_voice_gap_is_the_median_over_songs():
    def vocals(*sdr_db: float) -> Scores:
        return Scores(np.array([[0.0, 0.0, 0.0, each] for each in sdr_db]), np.zeros(len(sdr_db)), 1.0)

    sets = {"far": vocals(1, 9, -5), "far-recast": vocals(3, 9, -4)}
    assert voice_gap_db(sets, name="far") == 1.0
