"""Channels are mixed by the speakers that the file names."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from worker.tests.decoding_checks import KINDS, assert_same, load
from worker.tests.input_kinds import make, source
from worker.tests.references import compare, decode_by_ffmpeg, require, run

from msaas_worker.audio.decoded import Audio

pytestmark = [pytest.mark.process, pytest.mark.long]
HALF = 0.5**0.5
#: ITU-R BS.775: the gains of each channel in left and right, in the order of WAV, FLAC and ffmpeg.
GAINS = {
    3: [(1, 0), (0, 1), (HALF, HALF)],
    4: [(1, 0), (0, 1), (HALF, 0), (0, HALF)],
    5: [(1, 0), (0, 1), (HALF, HALF), (HALF, 0), (0, HALF)],
    6: [(1, 0), (0, 1), (HALF, HALF), (0, 0), (HALF, 0), (0, HALF)],
    7: [(1, 0), (0, 1), (HALF, HALF), (0, 0), (0.5, 0.5), (HALF, 0), (0, HALF)],
    8: [(1, 0), (0, 1), (HALF, HALF), (0, 0), (HALF, 0), (0, HALF), (HALF, 0), (0, HALF)],
}
#: One of each that has more than two channels.
SURROUND = (
    *("wav pcm_s24le", "flac flac -sample_fmt s32", "ogg libvorbis", "ogg flac", "opus libopus"),
    *("webm libopus", "wv wavpack", "mka pcm_s24le"),
)


@pytest.mark.parametrize("channels", GAINS)
@pytest.mark.parametrize("name", SURROUND)
def test_channels_are_mixed_by_the_standard(name: str, channels: int, tmp_path: Path) -> None:
    path = make(KINDS[name], tmp_path, seconds=1.5, channels=channels)
    reference = decode_by_ffmpeg(path)
    assert reference.shape[0] == channels
    assert_same(np.array(GAINS[channels], np.float32).T @ reference, load(path)[1], snr_db=80)


#: ITU-R BS.775: the gains of each speaker in left and right.
SPEAKERS = {
    **{
        "L": (1, 0),
        "R": (0, 1),
        "C": (HALF, HALF),
        "LFE": (0, 0),
        "BC": (0.5, 0.5),
        "LC": (1, 0),
        "RC": (0, 1),
    },
    **{"BL": (HALF, 0), "BR": (0, HALF), "SL": (HALF, 0), "SR": (0, HALF)},
}
#: Names of ffmpeg.
LAYOUTS = {
    **{"2.1": "L R LFE", "3.0": "L R C", "3.0(back)": "L R BC", "4.0": "L R C BC", "quad(side)": "L R SL SR"},
    **{"3.1": "L R C LFE", "4.1": "L R C LFE BC", "5.0(side)": "L R C SL SR", "6.0": "L R C BC SL SR"},
    **{"5.1(side)": "L R C LFE SL SR", "6.0(front)": "L R LC RC SL SR", "hexagonal": "L R C BL BR BC"},
    **{"6.1(back)": "L R C LFE BL BR BC", "7.0": "L R C BL BR SL SR", "7.1": "L R C LFE BL BR SL SR"},
    **{"7.1(wide)": "L R C LFE BL BR LC RC", "octagonal": "L R C BL BR BC SL SR"},
}
#: Kinds that can have any of them, and those of lossy codecs.
WITH_LAYOUT = ("wav pcm_s24le", "RF64", "w64 pcm_s24le", "aiff pcm_s24be", "wv wavpack", "caf pcm_f32le")
LOSSY = {"m4a aac": ("4.0", "5.0(side)", "3.0"), "ac3 ac3": ("4.0", "3.1", "2.1", "3.0(back)")}


def downmix(folder: Path, speakers: str, *, seconds: float) -> Audio:
    """Return the downmix of the source with these speakers."""
    gains = np.array([SPEAKERS[speaker] for speaker in speakers.split()], np.float32)
    song, _ = soundfile.read(source(folder, seconds=seconds, channels=len(gains)), dtype="float32")
    return gains.T @ song.T


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", WITH_LAYOUT)
def test_channels_are_mixed_by_the_layout_of_the_file(name: str, layout: str, tmp_path: Path) -> None:
    channels = len(LAYOUTS[layout].split())
    path = make(KINDS[name], tmp_path, seconds=1, channels=channels, layout=layout)
    assert_same(downmix(tmp_path, LAYOUTS[layout], seconds=1), load(path)[1], snr_db=60)


@pytest.mark.parametrize(("name", "layout"), [(name, layout) for name in LOSSY for layout in LOSSY[name]])
def test_channels_of_lossy_codecs_are_mixed_by_their_layout(name: str, layout: str, tmp_path: Path) -> None:
    channels = len(LAYOUTS[layout].split())
    path = make(KINDS[name], tmp_path, seconds=1, channels=channels, layout=layout)
    found = compare(downmix(tmp_path, LAYOUTS[layout], seconds=1), load(path)[1])
    assert found.snr_db > 8


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("options", [(), ("--ogg",)], ids=["FLAC", "Ogg FLAC"])
def test_channels_of_flac_are_mixed_by_its_channel_mask(
    options: tuple[str, ...], layout: str, tmp_path: Path
) -> None:
    require("flac")
    channels = len(LAYOUTS[layout].split())
    wav = make(KINDS["wav pcm_s24le"], tmp_path, seconds=1, channels=channels, layout=layout)
    path = tmp_path / "song.flac"
    run("flac", "--silent", "--channel-map=none", *options, *_mask(layout), "-o", path, wav)
    assert_same(downmix(tmp_path, LAYOUTS[layout], seconds=1), load(path)[1], snr_db=60)


def _mask(layout: str) -> list[str]:
    """Return the option that stores the channel mask, RFC 9639, section 8.6.2."""
    bits = ("L", "R", "C", "LFE", "BL", "BR", "LC", "RC", "BC", "SL", "SR")
    mask = sum(1 << bits.index(speaker) for speaker in LAYOUTS[layout].split())
    return [f"--tag=WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x{mask:04X}"]


def test_mask_of_another_number_of_channels_does_not_count(tmp_path: Path) -> None:
    path = make(KINDS["wav pcm_s24le"], tmp_path, seconds=1, channels=4, layout="4.0")
    content = bytearray(path.read_bytes())
    content[40:44] = (0b11).to_bytes(4, "little")
    path.write_bytes(content)
    assert_same(downmix(tmp_path, "L R BL BR", seconds=1), load(path)[1], snr_db=60)


def test_mono_is_on_both_sides(tmp_path: Path) -> None:
    path = make(KINDS["wav pcm_s16le"], tmp_path, seconds=0.5, channels=1)
    audio = load(path)[1]
    assert np.array_equal(audio[0], audio[1])
    assert_same(decode_by_ffmpeg(path), audio, snr_db=100)
