"""Streaming gives the same samples as demucs bit for bit, and its memory does not grow with the song."""

import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels
from demucs.hdemucs import HDemucs
from worker.tests.models import STEMS, tiny
from worker.tests.songs import decoded, noise
from worker.tests.streaming import FINE_TUNED, MIXED, SEGMENT, make_separator, run_demucs, stream

from msaas_worker.audio.decoded import Audio


def snr_db(reference: Audio, other: Audio) -> float:
    error = float(np.square(reference - other, dtype=np.float64).sum())
    return 10 * math.log10(float(np.square(reference, dtype=np.float64).sum()) / max(error, 1e-30))


@pytest.mark.parametrize("samples", [1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 7])
def test_samples_of_a_model_equal_demucs(samples: int, tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(samples), tmp_path / "song")
    result = stream(bag, song)
    assert result.shape == (4, 2, samples)
    assert np.isfinite(result).all()
    assert np.array_equal(result, run_demucs(bag, song))


@pytest.mark.parametrize("samples", [1, SEGMENT, 2 * SEGMENT + 7])
@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.5, 0.6, 0.75])
def test_samples_for_any_overlap_equal_demucs(overlap: float, samples: int, tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(samples), tmp_path / "song")
    assert np.array_equal(stream(bag, song, overlap=overlap), run_demucs(bag, song, overlap=overlap))


def test_overlap_changes_the_samples(tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(2 * SEGMENT), tmp_path / "song")
    assert not np.array_equal(stream(bag, song, overlap=0.5), stream(bag, song))


@pytest.mark.parametrize("weights", [None, MIXED], ids=["equal", "weighted"])
def test_samples_of_a_bag_equal_demucs(weights: list[list[float]] | None, tmp_path: Path) -> None:
    bag = BagOfModels([tiny(seed=1), tiny(seed=2)], weights)
    song = decoded(noise(2 * SEGMENT + 99), tmp_path / "song")
    assert np.array_equal(stream(bag, song), run_demucs(bag, song))


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [0.25, 0.7])
def test_models_of_a_bag_may_have_different_segments(overlap: float, tmp_path: Path) -> None:
    bag = BagOfModels([tiny(seed=1), tiny(seed=2, segment=Fraction(3, 10))])
    song = decoded(noise(2 * SEGMENT + 99), tmp_path / "song")
    assert np.array_equal(stream(bag, song, overlap=overlap), run_demucs(bag, song, overlap=overlap))


@pytest.mark.slow
def test_samples_of_a_model_for_any_length_equal_demucs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = HDemucs(STEMS, channels=8, depth=6, segment=2).eval()
    bag = BagOfModels([model])
    song = decoded(noise(5 * 44_100 + 5), tmp_path / "song")
    assert np.array_equal(stream(bag, song), run_demucs(bag, song))


@pytest.mark.parametrize("stem", STEMS)
def test_one_stem_of_a_bag_runs_one_model(stem: str, tmp_path: Path) -> None:
    bag = BagOfModels([tiny(seed=seed) for seed in range(4)], FINE_TUNED)
    runs = [0] * 4
    for index, model in enumerate(bag.models):
        model.register_forward_hook(lambda *_, index=index: runs.__setitem__(index, runs[index] + 1))
    song = decoded(noise(SEGMENT), tmp_path / "song")
    (one,) = stream(bag, song, stems=[stem])
    assert [count > 0 for count in runs] == [each == stem for each in STEMS]
    assert np.array_equal(one, run_demucs(bag, song)[STEMS.index(stem)])


def test_batches_of_segments_differ_by_rounding_only(tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(4 * SEGMENT), tmp_path / "song")
    assert snr_db(run_demucs(bag, song), stream(bag, song, batch=3)) > 90


@pytest.mark.parametrize("level", [0.0, 1.0], ids=["silence", "full scale"])
def test_edge_inputs_stay_finite(level: float, tmp_path: Path) -> None:
    song = decoded(np.full((2, SEGMENT), level, np.float32), tmp_path / "song")
    assert np.isfinite(stream(BagOfModels([tiny()]), song)).all()


def test_separation_is_deterministic(tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(2 * SEGMENT), tmp_path / "song")
    assert np.array_equal(stream(bag, song), stream(bag, song))


def test_progress_counts_the_segments_of_all_models_that_run(tmp_path: Path) -> None:
    bag = BagOfModels([tiny(seed=1), tiny(seed=2)], MIXED)
    song = decoded(noise(3 * SEGMENT), tmp_path / "song")
    shares: list[float] = []
    list(make_separator(bag).separate(song, stems=tuple(STEMS), on_progress=shares.append))
    assert shares == pytest.approx([(count + 1) / len(shares) for count in range(len(shares))])
    assert len(shares) == 2 * len(range(0, song.samples, SEGMENT * 3 // 4))


def test_exception_of_on_progress_ends_the_separation_at_once(tmp_path: Path) -> None:
    def stop(done: float) -> None:
        raise KeyboardInterrupt

    regions = make_separator(BagOfModels([tiny()])).separate(
        decoded(noise(SEGMENT), tmp_path / "song"), stems=tuple(STEMS), on_progress=stop
    )
    with pytest.raises(KeyboardInterrupt):
        next(regions)


@pytest.mark.process
@pytest.mark.long
@pytest.mark.parametrize(("overlap", "shifts"), [(0.25, 0), (0.5, 2)])
def test_hour_needs_as_much_memory_as_five_minutes(overlap: float, shifts: int, tmp_path: Path) -> None:
    five, sixty = (
        measure_peak_mib(tmp_path, minutes=minutes, overlap=overlap, shifts=shifts) for minutes in (5, 60)
    )
    assert sixty < five * 1.1


def measure_peak_mib(folder: Path, *, minutes: int, overlap: float, shifts: int) -> float:
    """Return the peak of a process that separates a song of this length with an identity as its model."""
    code = f"""
import json, resource
from pathlib import Path
from types import SimpleNamespace
from msaas_worker.audio.decoded import DecodedSong
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.engine import BagSeparator
from msaas_worker.separators.overlap_add import Runner, segments_of

samples = {minutes} * 60 * 44100
song = Path({str(folder)!r}) / "song"
with open(song, "wb") as file:
    file.truncate(samples * 8)
model = SimpleNamespace(samplerate=44100, segment=39 / 5)
runner = Runner(segments=segments_of(model), forward=lambda mixture: mixture[:, None])
bag = Bag(("vocals",), ((1.0,),))
separator = BagSeparator(model="htdemucs", bag=bag, runners=(runner,), weights_sha256="")
regions = separator.separate(
    DecodedSong(song, samples, 0.0, 1.0),
    stems=("vocals",),
    overlap={overlap},
    shifts={shifts},
    on_progress=lambda done: None,
)
assert sum(region.shape[-1] for region in regions) == samples
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""
    # There is nothing to compute, so more threads would only wait for each other.
    command = [sys.executable, "-c", "import torch; torch.set_num_threads(1)" + code]
    run = subprocess.run(command, capture_output=True, check=True)
    return float(json.loads(run.stdout))
