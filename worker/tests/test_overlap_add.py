"""Streaming gives bit for bit what demucs makes of a whole song, in memory that does not grow with it."""

import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.hdemucs import HDemucs
from worker.tests.models import STEMS, tiny
from worker.tests.songs import decoded, noise

from msaas_worker.audio.decoded import Audio, DecodedSong
from msaas_worker.separators.demucs.bag import Bag
from msaas_worker.separators.engine import DemucsSeparator
from msaas_worker.separators.overlap_add import Runner, segments_of

SEGMENT = 22_050
FINE_TUNED = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]
MIXED = [[1.0, 0, 1.0, 0.5], [0, 1.0, 0.25, 0.5]]


def separator(bag: BagOfModels, *, batch: int = 1) -> DemucsSeparator:
    models = tuple(bag.models)
    runners = tuple(Runner(segments_of(model), model, batch=batch) for model in models)
    return DemucsSeparator(
        "htdemucs", Bag(tuple(STEMS), tuple(map(tuple, bag.weights))), runners, "", "plain"
    )


def streamed(bag: BagOfModels, song: DecodedSong, *, stems: list[str] | None = None, batch: int = 1) -> Audio:
    stream = separator(bag, batch=batch).separate(
        song, stems=tuple(stems or STEMS), on_progress=lambda done: None
    )
    return np.concatenate(list(stream), axis=-1)


def by_demucs(bag: BagOfModels, song: DecodedSong) -> Audio:
    """`demucs.api.Separator.separate_tensor` with mean and deviation in double precision."""
    wav = torch.from_numpy(song.read(0, song.samples).copy())
    mean = torch.tensor(song.mean, dtype=torch.float32)
    std = torch.tensor(song.std, dtype=torch.float32) + 1e-8
    estimates = apply_model(bag, ((wav - mean) / std)[None], shifts=0, split=True, overlap=0.25)
    separated: Audio = (estimates[0] * std + mean).numpy()
    return separated


def snr_db(reference: Audio, other: Audio) -> float:
    error = float(np.square(reference - other, dtype=np.float64).sum())
    return 10 * math.log10(float(np.square(reference, dtype=np.float64).sum()) / max(error, 1e-30))


@pytest.mark.parametrize("samples", [1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 7])
def test_a_model_streams_to_the_very_samples_of_demucs(samples: int, tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(samples), tmp_path / "song")
    result = streamed(bag, song)
    assert result.shape == (4, 2, samples)
    assert np.isfinite(result).all()
    assert np.array_equal(result, by_demucs(bag, song))


@pytest.mark.parametrize("weights", [None, MIXED], ids=["equal", "weighted"])
def test_a_bag_streams_to_the_very_samples_of_demucs(
    weights: list[list[float]] | None, tmp_path: Path
) -> None:
    bag = BagOfModels([tiny(seed=1), tiny(seed=2)], weights)
    song = decoded(noise(2 * SEGMENT + 99), tmp_path / "song")
    assert np.array_equal(streamed(bag, song), by_demucs(bag, song))


def test_models_of_a_bag_may_have_other_segments(tmp_path: Path) -> None:
    bag = BagOfModels([tiny(seed=1), tiny(seed=2, segment=Fraction(3, 10))])
    song = decoded(noise(2 * SEGMENT + 99), tmp_path / "song")
    assert np.array_equal(streamed(bag, song), by_demucs(bag, song))


def test_a_model_that_takes_any_length_streams_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = HDemucs(STEMS, channels=8, depth=6, segment=2).eval()
    bag = BagOfModels([model])
    song = decoded(noise(5 * 44_100 + 5), tmp_path / "song")
    assert np.array_equal(streamed(bag, song), by_demucs(bag, song))


@pytest.mark.parametrize("stem", STEMS)
def test_one_stem_of_a_bag_runs_one_model_and_changes_no_bit(stem: str, tmp_path: Path) -> None:
    bag = BagOfModels([tiny(seed=seed) for seed in range(4)], FINE_TUNED)
    runs = [0] * 4
    for index, model in enumerate(bag.models):
        model.register_forward_hook(lambda *_, index=index: runs.__setitem__(index, runs[index] + 1))
    song = decoded(noise(SEGMENT), tmp_path / "song")
    (one,) = streamed(bag, song, stems=[stem])
    assert [count > 0 for count in runs] == [each == stem for each in STEMS]
    assert np.array_equal(one, by_demucs(bag, song)[STEMS.index(stem)])


def test_segments_in_batches_differ_by_rounding_only(tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(4 * SEGMENT), tmp_path / "song")
    assert snr_db(by_demucs(bag, song), streamed(bag, song, batch=3)) > 90


@pytest.mark.parametrize("level", [0.0, 1.0], ids=["silence", "full scale"])
def test_edge_inputs_stay_finite(level: float, tmp_path: Path) -> None:
    song = decoded(np.full((2, SEGMENT), level, np.float32), tmp_path / "song")
    assert np.isfinite(streamed(BagOfModels([tiny()]), song)).all()


def test_the_same_song_gives_the_same_samples(tmp_path: Path) -> None:
    bag = BagOfModels([tiny()])
    song = decoded(noise(2 * SEGMENT), tmp_path / "song")
    assert np.array_equal(streamed(bag, song), streamed(bag, song))


def test_progress_counts_every_segment_of_every_model_that_runs(tmp_path: Path) -> None:
    bag = BagOfModels([tiny(seed=1), tiny(seed=2)], MIXED)
    song = decoded(noise(3 * SEGMENT), tmp_path / "song")
    told: list[float] = []
    list(separator(bag).separate(song, stems=tuple(STEMS), on_progress=told.append))
    assert told == pytest.approx([(count + 1) / len(told) for count in range(len(told))])
    assert len(told) == 2 * len(range(0, song.samples, SEGMENT * 3 // 4))


def test_what_progress_raises_ends_the_separation_at_once(tmp_path: Path) -> None:
    def stop(done: float) -> None:
        raise KeyboardInterrupt

    stream = separator(BagOfModels([tiny()])).separate(
        decoded(noise(SEGMENT), tmp_path / "song"), stems=tuple(STEMS), on_progress=stop
    )
    with pytest.raises(KeyboardInterrupt):
        next(stream)


def test_an_hour_needs_no_more_memory_than_five_minutes(tmp_path: Path) -> None:
    five, sixty = peak_mib(tmp_path, minutes=5), peak_mib(tmp_path, minutes=60)
    assert sixty < five * 1.1


def peak_mib(folder: Path, *, minutes: int) -> float:
    """The peak of a process in which a model that changes nothing separates that many minutes."""
    code = f"""
import json, resource
from pathlib import Path
from types import SimpleNamespace
from msaas_worker.audio.decoded import DecodedSong
from msaas_worker.separators.demucs.bag import Bag
from msaas_worker.separators.engine import DemucsSeparator
from msaas_worker.separators.overlap_add import Runner, segments_of

samples = {minutes} * 60 * 44100
song = Path({str(folder)!r}) / "song"
with open(song, "wb") as file:
    file.truncate(samples * 8)
model = SimpleNamespace(samplerate=44100, segment=39 / 5)
runner = Runner(segments_of(model), lambda mixture: mixture[:, None])
separator = DemucsSeparator("htdemucs", Bag(("vocals",), ((1.0,),)), (runner,), "", "plain")
stream = separator.separate(
    DecodedSong(song, samples, 0.0, 1.0), stems=("vocals",), on_progress=lambda done: None
)
assert sum(region.shape[-1] for region in stream) == samples
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""
    # More threads would only wait for each other: there is nothing to compute.
    command = [sys.executable, "-c", "import torch; torch.set_num_threads(1)" + code]
    told = subprocess.run(command, capture_output=True, check=True)
    return float(json.loads(told.stdout))
