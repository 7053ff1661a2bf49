"""Headers of frames in files that the `flac` command writes."""

import itertools
import math
from pathlib import Path

import pytest
import soundfile
from worker.tests.references import require, run
from worker.tests.songs import noise

from msaas.flac import FlacFrame, find_frames

SAMPLES = 40_000


def write_flac(
    folder: Path, *options: str, rate_hz: int = 44_100, bits: int = 16, channels: int = 2
) -> list[FlacFrame]:
    """Encode a song, and return the frames that are found in the file."""
    require("flac")
    audio = noise(SAMPLES, channels=channels)
    soundfile.write(folder / "song.wav", audio.T, rate_hz, subtype=f"PCM_{bits}" if bits > 8 else "PCM_U8")
    run(
        "flac",
        "--silent",
        "--force",
        "--lax",
        "--channel-map=none",
        *options,
        "-o",
        folder / "song.flac",
        folder / "song.wav",
    )
    content = (folder / "song.flac").read_bytes()
    return list(find_frames(content, 0, len(content)))


def assert_chain(frames: list[FlacFrame], *, block: int) -> None:
    """Noise may look like the header of a frame, but such a header does not have the next number."""
    found = [first for first, second in itertools.pairwise(frames) if first.is_followed_by(second)]
    assert len(found) == math.ceil(SAMPLES / block) - 1
    assert {frame.samples for frame in found} == {block}


@pytest.mark.parametrize(
    "block",
    [*(24, 100, 192, 256, 300, 512, 576, 1024, 1152, 2048, 2304, 4095, 4096, 4608), *(8192, 10_000, 16_384)],
)
def test_frames_of_any_block_size_follow_each_other(block: int, tmp_path: Path) -> None:
    assert_chain(write_flac(tmp_path, f"--blocksize={block}"), block=block)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 12_345, 16_000, 44_056, 48_000, 88_200, 192_000, 655_350])
@pytest.mark.parametrize("block", [4096, 4000])
def test_frames_of_any_sample_rate_follow_each_other(rate_hz: int, block: int, tmp_path: Path) -> None:
    assert_chain(write_flac(tmp_path, f"--blocksize={block}", rate_hz=rate_hz), block=block)


@pytest.mark.parametrize(("bits", "channels"), [(8, 1), (16, 8), (24, 2), (32, 2)])
def test_frames_of_any_bit_depth_follow_each_other(bits: int, channels: int, tmp_path: Path) -> None:
    assert_chain(write_flac(tmp_path, "--blocksize=4096", bits=bits, channels=channels), block=4096)


def test_frames_of_the_library_follow_each_other(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.flac", noise(SAMPLES).T, 44_100)
    content = (tmp_path / "song.flac").read_bytes()
    assert_chain(list(find_frames(content, 0, len(content))), block=4096)
