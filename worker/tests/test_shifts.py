"""The mean of shifted passes has the samples of demucs bit for bit. The passes run side by side."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from demucs.apply import BagOfModels
from worker.tests.models import STEMS, tiny
from worker.tests.songs import decoded, noise
from worker.tests.streaming import FINE_TUNED, MIXED, SEGMENT, make_separator, run_demucs, stream

from msaas.jobs import JobState, JobStatus
from msaas.models import FOUR_STEMS
from msaas_worker.separators.starter.loader import WEIGHTS, load_starter

STRIDE = SEGMENT * 3 // 4


@pytest.mark.parametrize("samples", [1, SEGMENT, 2 * SEGMENT + 7])
@pytest.mark.parametrize("shifts", [1, 3])
def test_samples_of_shifted_passes_equal_demucs(shifts: int, samples: int, tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(samples), tmp_path / "song")
    result = stream(bag, song, shifts=shifts)
    assert result.shape == (4, 2, samples)
    assert np.array_equal(result, run_demucs(bag, song, shifts=shifts))


@pytest.mark.parametrize("overlap", [0.0, 0.75])
def test_samples_of_shifted_passes_for_any_overlap_equal_demucs(overlap: float, tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(SEGMENT + 7), tmp_path / "song")
    result = stream(bag, song, overlap=overlap, shifts=2)
    assert np.array_equal(result, run_demucs(bag, song, overlap=overlap, shifts=2))


@pytest.mark.parametrize("batch", [2, 5])
def test_batches_may_hold_segments_of_several_passes(batch: int, tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(SEGMENT + 7), tmp_path / "song")
    # Batches change the rounding of the model.
    assert np.allclose(stream(bag, song, shifts=3, batch=batch), stream(bag, song, shifts=3), atol=1e-5)


@pytest.mark.slow
def test_samples_of_a_bag_equal_demucs_when_segments_are_shorter_than_the_shift(tmp_path: Path) -> None:
    bag = BagOfModels([tiny(seed=1), tiny(seed=2, segment=Fraction(3, 10))], MIXED)
    song = decoded(noise(SEGMENT + 99), tmp_path / "song")
    result = stream(bag, song, overlap=0.6, shifts=3)
    assert np.array_equal(result, run_demucs(bag, song, overlap=0.6, shifts=3))


def test_one_stem_has_the_same_samples_as_among_all(tmp_path: Path) -> None:
    bag = BagOfModels([tiny(seed=seed) for seed in range(4)], FINE_TUNED)
    song = decoded(noise(SEGMENT), tmp_path / "song")
    (vocals,) = stream(bag, song, stems=["vocals"], shifts=2)
    assert np.array_equal(vocals, run_demucs(bag, song, shifts=2)[STEMS.index("vocals")])


def test_shifted_separation_is_deterministic(tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(SEGMENT), tmp_path / "song")
    assert np.array_equal(stream(bag, song, shifts=2), stream(bag, song, shifts=2))


def test_progress_counts_the_segments_of_all_passes(tmp_path: Path) -> None:
    bag, runs = BagOfModels([tiny(seed=1), tiny(seed=2)], MIXED), [0]
    for model in bag.models:
        model.register_forward_hook(lambda *_: runs.__setitem__(0, runs[0] + 1))
    song = decoded(noise(SEGMENT), tmp_path / "song")
    shares: list[float] = []
    separator = make_separator(bag)
    list(separator.separate(song, stems=tuple(STEMS), shifts=3, on_progress=shares.append))
    assert shares == pytest.approx([(count + 1) / runs[0] for count in range(runs[0])])


@pytest.mark.parametrize(("overlap", "shifts"), [(0.25, 0), (0.75, 0), (0.25, 3), (0.5, 2)])
def test_estimated_time_counts_overlap_and_shifts(overlap: float, shifts: int, tmp_path: Path) -> None:
    """With one second for each segment, the estimate is the number of those that are left."""
    bag, runs = BagOfModels([tiny()]), [0]
    bag.models[0].register_forward_hook(lambda *_: runs.__setitem__(0, runs[0] + 1))
    song = decoded(noise(3 * SEGMENT), tmp_path / "song")
    etas: list[float | None] = []

    def note_eta(progress: float) -> None:
        status = JobStatus(job_id="a" * 64, state=JobState.RUNNING, started_at=0.0, progress=progress)
        etas.append(status.as_json(now=runs[0])["eta_s"])

    stems = tuple(STEMS)
    separator = make_separator(bag)
    list(separator.separate(song, stems=stems, overlap=overlap, shifts=shifts, on_progress=note_eta))
    assert etas == pytest.approx(list(range(runs[0]))[::-1], abs=0.1)


def test_regions_come_while_the_passes_run(tmp_path: Path) -> None:
    """The region of a round of segments waits for one segment of each pass, and for no more."""
    song = decoded(noise(4 * SEGMENT), tmp_path / "song")
    shares: list[float] = []
    separator, delivered = make_separator(BagOfModels([tiny()])), 0
    for region in separator.separate(song, stems=tuple(STEMS), shifts=3, on_progress=shares.append):
        assert region.shape[-1] <= STRIDE
        delivered += region.shape[-1]
        # At the start, each pass has up to half a second of silence.
        assert len(shares) <= 3 * (1 + (delivered + SEGMENT) / STRIDE)
    assert delivered == song.samples


def test_shifted_stems_of_the_starter_add_up_to_the_song(tmp_path: Path) -> None:
    song = decoded(noise(SEGMENT), tmp_path / "song")
    starter = load_starter(WEIGHTS, precision="exact")
    regions = starter.separate(song, stems=FOUR_STEMS, overlap=0.5, shifts=2, on_progress=lambda done: None)
    total = np.concatenate(list(regions), axis=-1).sum(axis=0)
    mixture = song.read(0, song.samples)
    assert np.square(total - mixture).sum() < 1e-6 * np.square(mixture).sum()
