"""The layout that is written before the first sample is that of the frames that LAME writes."""

from pathlib import Path

import lameenc
import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from worker.tests.encoding import encode_stem, layout_of
from worker.tests.songs import noise

from msaas.formats import FORMATS
from msaas.mpeg.headers import read_header
from msaas.mpeg.info import Info, read_info
from msaas_worker.audio.decoded import SAMPLERATE
from msaas_worker.audio.encoders.mp3_layout import Mp3Layout, crc16

BIT_RATES = st.sampled_from(FORMATS["mp3"].bit_rates)
RATES_HZ = st.sampled_from([32_000, 44_100, 48_000])


def encode_by_lame(layout: Mp3Layout) -> bytes:
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(layout.bit_rate)
    encoder.set_in_sample_rate(layout.rate_hz)
    encoder.set_channels(2)
    encoder.set_quality(7)
    encoder.silence()
    pcm = np.random.default_rng(0).integers(-3000, 3000, (layout.samples, 2)).astype("<i2")
    return bytes(encoder.encode(pcm.tobytes()) + encoder.flush())


def count_frames(mp3: bytes) -> int:
    at = frames = 0
    while at < len(mp3):
        header = read_header(mp3[at : at + 4])
        assert header
        at, frames = at + header.size_bytes, frames + 1
    assert at == len(mp3)
    return frames


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 60_000), RATES_HZ, BIT_RATES)
@example(1, 44_100, 320)
@example(576, 44_100, 320)  # A frame with the delay.
@example(1152 - 576, 44_100, 160)
@example(1152, 44_100, 320)  # The last padding that is large enough.
@example(1153, 44_100, 128)
def test_lame_writes_the_predicted_frames_and_bytes(samples: int, rate_hz: int, bit_rate: int) -> None:
    layout = Mp3Layout(samples=samples, rate_hz=rate_hz, bit_rate=bit_rate)
    mp3 = encode_by_lame(layout)
    assert (count_frames(mp3), len(mp3)) == (layout.frames, layout.sound_bytes)


@given(st.integers(1, 10**9), RATES_HZ, BIT_RATES)
def test_info_frame_tells_delay_padding_and_length(samples: int, rate_hz: int, bit_rate: int) -> None:
    layout = Mp3Layout(samples=samples, rate_hz=rate_hz, bit_rate=bit_rate)
    frame = layout.info_frame()
    header = read_header(frame[:4])
    assert header
    assert (header.size_bytes, header.stream.rate_hz, header.stream.channels) == (len(frame), rate_hz, 2)
    assert read_info(frame, header.stream) == Info(layout.frames, delay=576, padding=layout.padding)
    assert 576 <= layout.padding < 576 + 1152
    assert 576 + samples + layout.padding == 1152 * layout.frames


def test_checksum_is_crc_16_arc() -> None:
    assert crc16(b"123456789") == 0xBB3D


def test_info_frame_is_laid_out_as_by_lame(tmp_path: Path) -> None:
    """libsndfile has LAME write its own Info frame, which needs the end of the file."""
    samples, path = 50_001, tmp_path / "theirs.mp3"
    parameters = {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.0}
    with soundfile.SoundFile(path, "w", SAMPLERATE, 2, **parameters) as file:
        file.write(noise(samples).T)
    theirs, ours = path.read_bytes(), layout_of(noise(samples)).info_frame()
    at = ours.index(b"Info")
    assert theirs.index(b"Info") == at
    frames_and_bytes, name, delays = slice(at, at + 16), slice(at + 120, at + 129), slice(at + 141, at + 144)
    for part in (frames_and_bytes, name, delays):
        assert theirs[part] == ours[part]
    checksum = slice(at + 154, at + 156)
    for frame in (theirs, ours):
        assert int.from_bytes(frame[checksum]) == crc16(frame[: at + 154])


def test_fragments_end_where_their_last_frame_ends_in_the_song() -> None:
    layout = Mp3Layout(samples=60 * SAMPLERATE, rate_hz=SAMPLERATE, bit_rate=320)
    assert layout.until_s(layout.unit_bytes) == (49 * 1152 - 1105) / SAMPLERATE
    assert layout.until_s(layout.sound_bytes) == 60


@pytest.mark.parametrize("samples", [1, 500, 60_000])
def test_whole_stem_ends_with_the_song(samples: int, tmp_path: Path) -> None:
    layout = layout_of(noise(samples))
    stem = encode_stem(noise(samples), tmp_path)
    assert layout.until_s(len(stem) - len(layout.info_frame())) == samples / SAMPLERATE
