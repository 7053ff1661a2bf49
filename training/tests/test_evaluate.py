"""Evaluation: the DSP baseline, scores and the table of the model card."""

import numpy as np
import pytest

from msaas_training import baseline
from msaas_training.evaluate import TEST_SETS, Scores, format_table, score, split_equally
from msaas_training.metrics import sdr_db
from msaas_training.songs import STEMS

SECOND = 44_100


def noise_song(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((4, 2, SECOND)).astype(np.float32)


def tone(hz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(2 * SECOND) / SECOND).astype(np.float32)


def loudest(stems: np.ndarray) -> str:
    return STEMS[int((stems**2).sum((1, 2)).argmax())]


def test_baseline_stems_sum_to_the_mixture():
    mixture = noise_song().sum(0)
    assert sdr_db(mixture, baseline.split(mixture).sum(0)) > 80


@pytest.mark.parametrize(
    ("mixture", "stem"),
    [
        (np.stack([tone(80)] * 2), "bass"),
        (np.stack([tone(900)] * 2), "vocals"),
        (np.stack([tone(900), 0 * tone(900)]), "other"),
        (np.eye(1, 2 * SECOND, SECOND).repeat(2, 0).astype(np.float32), "drums"),
    ],
    ids=["low tone", "centred tone", "panned tone", "click"],
)
def test_baseline_assigns_simple_sounds(mixture, stem):
    assert loudest(baseline.split(mixture)) == stem


def test_score_measures_every_stem_and_prints_progress(capsys):
    songs = [noise_song(seed) for seed in (1, 2)]
    scores = score(split_equally, songs=songs, label="split_equally, near")
    expected = [[sdr_db(stem, stems.sum(0) / 4) for stem in stems] for stems in songs]
    np.testing.assert_allclose(scores.sdr, expected)
    assert bool((scores.sum_db > 99).all())
    assert capsys.readouterr().err.splitlines()[-1] == "split_equally, near: 2 of 2 songs"


def test_table_has_a_row_for_each_stem():
    vocals = dict(zip(TEST_SETS, (4.0, 3.0, 6.0, 5.5), strict=True))
    sets = {
        name: Scores(np.tile([5.0, 4.0, 4.5, vocals_db], (3, 1)), np.array([130.0, 131.0, 20.0]), 7.4)
        for name, vocals_db in vocals.items()
    }
    assert format_table({"starter": sets}) == [
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
        "| loss through `near` voices, median over songs | 2.0 |",
        "| loss through `far` voices, median over songs | 2.5 |",
        "| SNR of the sum of the stems, dB | exact |",
        "| seconds of song in a CPU-second | 7 |",
    ]


def test_noise_of_a_tenth_has_an_sdr_of_twenty_decibels():
    rng = np.random.default_rng(3)
    true = rng.standard_normal((2, SECOND))
    assert sdr_db(true, true + 0.1 * rng.standard_normal((2, SECOND))) == pytest.approx(20, abs=0.1)
