"""Songs of public reports that failed."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from worker.tests.decoding_checks import assert_same, load
from worker.tests.references import decode_by_ffmpeg, decode_by_mpg123, require, right_share

from msaas_worker.audio.decoded import SAMPLERATE
from tests.processes import ROOT

pytestmark = [pytest.mark.process, pytest.mark.long]
CASES = ROOT.parent / "shared" / "cases" / "cases.py"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not CASES.exists():
        pytest.skip("the generator of the cases is not beside the checkout")
    require("ffmpeg", "lame", "mpg123")
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, str(CASES), str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("names", "samples"),
    [
        (["short-10-frames"], 10 * 1152),
        (["short-16-frames"], 16 * 1152),
        (["control-17-frames"], 17 * 1152),
        (["mono-then-stereo"], 16 * SAMPLERATE),
        (["apev2-cover-behind", "random-bytes-behind-200k"], 12 * SAMPLERATE),
        (["id3-pcnt-2-bytes", "id3-v24-compressed", "id3-v23-flag-bits-set"], 12 * SAMPLERATE),
        (["id3-frame-beyond-tag", "id3-restrictions", "zeros-70k-behind-id3"], 12 * SAMPLERATE),
        (["joined"], 24 * SAMPLERATE),
        (["with-lame-info-44100", "with-lame-info-16000", "free-format-200"], 6 * SAMPLERATE),
    ],
)
def test_case_has_its_length_to_the_sample(names: Iterable[str], samples: int, cases: Path) -> None:
    for name in names:
        assert load(cases / f"{name}.mp3")[0].samples == samples, name


def test_damaged_frame_of_a_case_is_the_only_one_that_differs(cases: Path) -> None:
    reference = decode_by_ffmpeg(cases / "rest-of-a-frame-with-fff1.mp3")
    for name in (
        "one-header-says-mono",
        "one-header-says-48k",
        "one-side-info-damaged",
        "300-bytes-inserted",
    ):
        audio = load(cases / f"{name}.mp3")[1]
        assert audio.shape == reference.shape, name
        assert right_share(reference, audio) > 0.985, name


def test_case_that_plays_is_that_of_the_reference(cases: Path) -> None:
    for name in ("rest-of-a-frame-with-fff1", "hot-master", "with-lame-info-44100"):
        path = cases / f"{name}.mp3"
        assert_same(decode_by_ffmpeg(path), load(path)[1], snr_db=60)


def test_info_frame_without_frame_count_is_not_played(cases: Path) -> None:
    """mpg123 agrees. ffmpeg plays it as a silent frame."""
    path = cases / "info-without-frame-count.mp3"
    assert np.array_equal(decode_by_mpg123(path), load(path)[1])


def test_hot_master_is_decoded_above_full_scale(cases: Path) -> None:
    assert np.abs(load(cases / "hot-master.mp3")[1]).max() > 1.1
