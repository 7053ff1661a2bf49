"""The walk, which `rest` uses, and the decoder of the worker agree about the length of any MPEG file."""

import os
import shutil
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryFile

import pytest
from bench import fuzz_inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from worker.tests import mpeg_kinds
from worker.tests.references import require

from common.tests.frames import FRAME, FRAME_48K, MONO, id3, info_frame
from msaas.containers import recognise
from msaas.mpeg.parts import measure_parts
from msaas.mpeg.walk import Frame, walk
from msaas_worker.audio.decoders import TooLongError
from msaas_worker.audio.decoders.mpeg import decode_mpeg

#: Bytes that are in songs, between them, or in their place.
PIECES = (
    *(FRAME * 3, FRAME * 7, FRAME_48K * 4, MONO * 5, bytes(417), bytes(100), id3(20) + bytes(20), b"junk"),
    *(info_frame(frames=7, delay=576, padding=1000), info_frame(delay=4095, padding=4095), FRAME[:200]),
)


def decoded_samples(content: bytes) -> int:
    with TemporaryFile() as clean:
        return sum(block.shape[-1] for _, block in decode_mpeg(content, clean))


def walked_samples(content: bytes) -> int:
    """Return the sum of the frames, also of lost ones, of each part without its delay and its padding."""
    frames = list(walk(content))
    starts = [number for number, frame in enumerate(frames) if frame.part]
    return sum(samples_of(frames[start:end]) for start, end in pairwise([*starts, len(frames)]))


def measured_samples(content: bytes) -> int:
    """Return the length by which `rest` accepts or refuses the song."""
    return sum(
        round(part.seconds * part.stream.rate_hz)
        for part, is_complete in measure_parts(content)
        if is_complete
    )


def samples_of(part: list[Frame]) -> int:
    info, samples = part[0].part, part[0].header.stream.samples
    assert info
    frames = sum(1 + frame.lost for frame in part)
    decoded = frames * samples
    if info.delay is None:
        return decoded
    padding = info.padding - 529 if info.frames in (None, frames) else 0
    return max(0, decoded - info.delay - 529 - max(0, padding))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map(b"".join))
def test_song_has_the_length_of_its_walk(content: bytes) -> None:
    assert decoded_samples(content) == measured_samples(content) == walked_samples(content)


@pytest.mark.parametrize(
    "content", [FRAME * 500, info_frame(frames=500, delay=576, padding=100) + FRAME * 500]
)
def test_song_above_the_limit_is_refused_before_it_is_decoded(content: bytes) -> None:
    length_s = decoded_samples(content) / 44_100
    with TemporaryFile() as clean:
        assert list(decode_mpeg(content, clean, limit_s=length_s))
        clean.truncate(0)
        with pytest.raises(TooLongError):
            next(decode_mpeg(content, clean, limit_s=length_s / 2))
        assert not clean.seek(0, os.SEEK_END)


@pytest.mark.parametrize("seed", range(20))
def test_mutated_song_has_the_length_of_its_walk(seed: int) -> None:
    require("lame")
    _, content = fuzz_inputs.mutate(mpeg_kinds.song(), Random(seed))
    assert decoded_samples(content) == measured_samples(content) == walked_samples(content)
    assert (recognise(content) is None) is (walked_samples(content) == 0 and not list(walk(content)))


@pytest.mark.process
@pytest.mark.long
def test_mutated_files_are_decoded_where_the_references_play_them(tmp_path: Path) -> None:
    require("ffmpeg", "lame", "mpg123")
    text, is_well = fuzz_inputs.run(40, jobs=2, keep=tmp_path)
    assert is_well, text
    shutil.rmtree(tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_2000_mutated_files_are_decoded_where_the_references_play_them(tmp_path: Path) -> None:
    require("ffmpeg", "lame", "mpg123")
    text, is_well = fuzz_inputs.run(2000, jobs=2, keep=tmp_path)
    assert is_well, text
