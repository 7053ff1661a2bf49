"""What the table of the model card is made of."""

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

from msaas_training import baseline
from msaas_training.evaluate import TEST_SETS, Scores, quarters, score, table
from msaas_training.metrics import sdr_db
from msaas_training.songs import STEMS

SECOND = 44_100


def a_song(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((4, 2, SECOND)).astype(np.float32)


def tone(hz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(2 * SECOND) / SECOND).astype(np.float32)


def loudest(stems: np.ndarray) -> str:
    return STEMS[int((stems**2).sum((1, 2)).argmax())]


def test_the_parts_of_the_dsp_splitter_sum_to_the_mixture():
    mixture = a_song().sum(0)
    assert sdr_db(mixture, baseline.split(mixture).sum(0)) > 80


@pytest.mark.parametrize(
    ("mixture", "stem"),
    [
        (np.stack([tone(80)] * 2), "bass"),
        (np.stack([tone(900)] * 2), "vocals"),
        (np.stack([tone(900), 0 * tone(900)]), "other"),
        (np.eye(1, 2 * SECOND, SECOND).repeat(2, 0).astype(np.float32), "drums"),
    ],
    ids=["a low tone", "a tone in the middle", "a tone at the side", "a click"],
)
def test_the_dsp_splitter_knows_one_thing_of_each_stem(mixture, stem):
    assert loudest(baseline.split(mixture)) == stem


def test_a_splitter_is_scored_stem_by_stem_and_tells_how_far_it_is(capsys):
    songs = [a_song(seed) for seed in (1, 2)]
    scores = score(quarters, songs=songs, said="quarters, near")
    wanted = [[sdr_db(stem, stems.sum(0) / 4) for stem in stems] for stems in songs]
    np.testing.assert_allclose(scores.sdr, wanted)
    assert bool((scores.sum_db > 99).all())
    assert capsys.readouterr().err.splitlines()[-1] == "quarters, near: 2 of 2 songs"


def test_the_table_is_markdown_with_a_row_a_stem():
    vocals = dict(zip(TEST_SETS, (4.0, 3.0, 6.0, 5.5), strict=True))
    sets = {
        name: Scores(np.tile([5.0, 4.0, 4.5, of_vocals], (3, 1)), np.array([130.0, 131.0, 20.0]), 7.4)
        for name, of_vocals in vocals.items()
    }
    assert table({"starter": sets}) == [
        "| median SDR, dB | starter |",
        "|---|---:|",
        "| drums | 5.0 |",
        "| bass | 4.0 |",
        "| other | 4.5 |",
        "| vocals | 3.5 |",
        "| mean of the four | 4.2 |",
        "| vocals, `near` (3 songs) | 4.0 |",
        "| vocals, `far` (3 songs) | 3.0 |",
        "| vocals, `near-recast` (3 songs) | 6.0 |",
        "| vocals, `far-recast` (3 songs) | 5.5 |",
        "| what `near` voices cost, song by song | 2.0 |",
        "| what `far` voices cost, song by song | 2.5 |",
        "| SNR of the sum, dB | exact |",
        "| seconds of song a CPU-second | 7 |",
    ]


def test_a_tenth_of_noise_is_twenty_decibels():
    rng = np.random.default_rng(3)
    true = rng.standard_normal((2, SECOND))
    assert sdr_db(true, true + 0.1 * rng.standard_normal((2, SECOND))) == pytest.approx(20, abs=0.1)
