"""Every kind of input has the length, the start and the samples that ffmpeg and mpg123 decode."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
from worker.tests import mpeg_kinds
from worker.tests.input_kinds import (
    FFMPEG_KINDS,
    JOINED_KINDS,
    SNDFILE_KINDS,
    InputKind,
    make,
    make_joined,
    source,
)
from worker.tests.mpeg_kinds import MPEG_FILES, MpegFile
from worker.tests.references import compare, decode_by_ffmpeg, decode_by_mpg123, require, right_share, run
from worker.tests.songs import noise

from common.tests.frames import id3
from msaas.containers import Decoder, recognise
from msaas.errors import DecoderMissing, UndecodableSong
from msaas.ogg import find_ogg_links
from msaas_rest.api.separate.song_check import check_song
from msaas_worker.audio import decoding
from msaas_worker.audio.decoded import SAMPLERATE, Audio, DecodedSong
from msaas_worker.audio.decoding import decode
from tests.processes import ROOT

pytestmark = [pytest.mark.process, pytest.mark.long]
CASES = ROOT.parent / "shared" / "cases" / "cases.py"
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
KINDS = {kind.name: kind for kind in (*SNDFILE_KINDS, *FFMPEG_KINDS)}
#: One of each that has more than two channels.
SURROUND = (
    *("wav pcm_s24le", "flac flac -sample_fmt s32", "ogg libvorbis", "ogg flac", "opus libopus"),
    *("webm libopus", "wv wavpack", "mka pcm_s24le"),
)


def load(path: Path) -> tuple[DecodedSong, Audio]:
    with TemporaryDirectory() as folder:
        song = decode(path, Path(folder) / "song.f32", max_duration_s=600)
        return song, song.read(0, song.samples)


def load_bytes(content: bytes, folder: Path) -> tuple[Path, Audio]:
    path = folder / "song.mp3"
    path.write_bytes(content)
    return path, load(path)[1]


def assert_same(reference: Audio, audio: Audio, *, snr_db: float) -> None:
    assert audio.shape[-1] == pytest.approx(reference.shape[-1], abs=1)
    found = compare(reference, audio)
    assert found.lag == 0
    assert found.snr_db >= snr_db


# Files with one kind of samples


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_song_of_any_kind_is_that_of_ffmpeg(kind: InputKind, tmp_path: Path) -> None:
    path = make(kind, tmp_path, seconds=1.5)
    assert_same(decode_by_ffmpeg(path), load(path)[1], snr_db=kind.snr_db)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_song_needs_ffmpeg_exactly_if_its_kind_says_so(
    kind: InputKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rest` refuses songs by their kind, where no worker has ffmpeg."""
    path = make(kind, tmp_path, seconds=1.5)
    container = recognise(path.read_bytes())
    assert container
    assert (container.decoder is Decoder.FFMPEG) == (kind in FFMPEG_KINDS)
    monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    if kind in FFMPEG_KINDS:
        with pytest.raises(DecoderMissing, match=f"{container.name} needs ffmpeg"):
            load(path)
    else:
        assert load(path)[0].samples >= 1.4 * SAMPLERATE


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


@pytest.mark.parametrize(
    "rate_hz", [8000, 11_025, 16_000, 37_800, 44_056, 47_999, 48_000, 88_200, 96_000, 176_400, 192_000]
)
def test_sample_rates_of_8_to_192_khz_are_resampled(rate_hz: int, tmp_path: Path) -> None:
    path = make(KINDS["wav pcm_s24le"], tmp_path, seconds=2, rate_hz=rate_hz)
    song, audio = load(path)
    assert (song.source_hz, song.source_samples, song.samples) == (rate_hz, 2 * rate_hz, 2 * SAMPLERATE)
    assert_same(decode_by_ffmpeg(path), audio, snr_db=100)


def test_floats_above_full_scale_are_kept(tmp_path: Path) -> None:
    loud = noise(SAMPLERATE, gain=5)
    assert np.abs(loud).max() > 5
    assert np.array_equal(load(write_wav(loud, tmp_path))[1], loud)


def test_samples_that_are_no_numbers_are_silence(tmp_path: Path) -> None:
    audio = noise(SAMPLERATE)
    audio[:, 100], audio[0, 200], audio[1, 300] = np.nan, np.inf, -np.inf
    found = load(write_wav(audio, tmp_path))[1]
    assert np.array_equal(found, np.where(np.isfinite(audio), audio, 0))


def write_wav(audio: Audio, folder: Path) -> Path:
    soundfile.write(folder / "song.wav", audio.T, SAMPLERATE, subtype="FLOAT")
    return folder / "song.wav"


def test_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    path = make(KINDS["flac flac -sample_fmt s16"], tmp_path, seconds=0.5)
    audio = load(path)[1]
    assert np.array_equal(load(path.rename(tmp_path / "song.mp3"))[1], audio)


@pytest.mark.parametrize("arguments", ["-c:a aac", "-c:a aac -movflags frag_keyframe+empty_moov"])
@pytest.mark.parametrize("tag", [id3(300) + bytes(300), (id3(300) + bytes(300)) * 2])
def test_mp4_behind_tags_is_decoded(tag: bytes, arguments: str, tmp_path: Path) -> None:
    """ffmpeg takes it for AAC without container, and decodes nothing."""
    path = make(InputKind(name="mp4", ending="mp4", arguments=arguments), tmp_path, seconds=1.5)
    audio = load(path)[1]
    path.write_bytes(tag + path.read_bytes())
    with open(path, "rb+") as file:
        assert check_song(file, max_s=600).container.name == "MP4"
    assert np.array_equal(load(path)[1], audio)


def test_song_that_only_ffmpeg_decodes_names_it_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(KINDS["m4a aac"], tmp_path, seconds=0.5)
    monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    with pytest.raises(DecoderMissing, match="MP4 needs ffmpeg, which is not installed"):
        load(path)


def test_video_without_sound_is_undecodable(tmp_path: Path) -> None:
    require("ffmpeg")
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=64x64:r=5"]
    subprocess.run([*command, str(tmp_path / "silent.mp4")], check=True)
    with pytest.raises(UndecodableSong, match="no sound"):
        load(tmp_path / "silent.mp4")


def test_flac_with_a_damaged_block_is_decoded_to_its_end(tmp_path: Path) -> None:
    path = make(KINDS["flac flac -sample_fmt s16"], tmp_path, seconds=3)
    whole, content = load(path)[1], bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 100] = bytes(100)
    path.write_bytes(content)
    assert load(path)[0].samples > 0.9 * whole.shape[-1]


#: Frames of 4608 samples by ffmpeg, of 4096 by the others.
FLAC_ENCODERS = ("ffmpeg", "libsndfile", "flac")


def write_flac(encoder: str, folder: Path, *, seed: int = 0) -> Path:
    """Write a song of 3 s."""
    require("ffmpeg", "flac")
    path, wav = folder / f"{encoder}-{seed}.flac", folder / "source.wav"
    soundfile.write(wav, noise(3 * SAMPLERATE, seed=seed).T, SAMPLERATE, subtype="PCM_16")
    match encoder:
        case "ffmpeg":
            run("ffmpeg", "-y", "-v", "error", "-i", wav, path)
        case "flac":
            run("flac", "--silent", "--force", "-o", path, wav)
        case _:
            soundfile.write(path, *soundfile.read(wav, dtype="int16"))
    return path


@pytest.mark.parametrize("declared", [0, 1, 1228, 132_299, 132_301, 2**36 - 1])
@pytest.mark.parametrize("encoder", FLAC_ENCODERS)
def test_flac_with_a_wrong_number_of_samples_is_decoded_to_its_end(
    encoder: str, declared: int, tmp_path: Path
) -> None:
    path = write_flac(encoder, tmp_path)
    whole, content = load(path)[1], bytearray(path.read_bytes())
    assert whole.shape[-1] == 3 * SAMPLERATE
    number = int.from_bytes(content[18:26]) >> 36 << 36 | declared
    path.write_bytes(content[:18] + number.to_bytes(8) + content[26:])
    # A number that is less by a part of a frame leaves no frame unread.
    lost = 1 if declared == 132_299 else 0
    assert np.array_equal(load(path)[1], whole[:, : whole.shape[-1] - lost])


def test_flac_that_declares_no_number_of_samples_is_decoded_without_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_flac("libsndfile", tmp_path)
    whole, content = load(path)[1], path.read_bytes()
    path.write_bytes(content[:21] + bytes([content[21] & 0xF0, 0, 0, 0, 0]) + content[26:])
    monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    assert np.array_equal(load(path)[1], whole)


@pytest.mark.parametrize("seconds", [1.5, 20])
@pytest.mark.parametrize("name", ["flac by libsndfile", "ogg flac"])
def test_samples_before_damage_are_kept_without_ffmpeg(
    name: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(KINDS[name], tmp_path, seconds=seconds)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 100] = bytes(100)
    path.write_bytes(content)
    monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    assert load(path)[0].samples > 0.4 * seconds * SAMPLERATE


@pytest.mark.parametrize("encoder", FLAC_ENCODERS)
def test_flac_without_its_beginning_is_decoded_from_its_first_whole_frame(
    encoder: str, tmp_path: Path
) -> None:
    path = write_flac(encoder, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 4 :])
    assert load(path)[0].samples > 0.7 * 3 * SAMPLERATE


# Joined files


@pytest.mark.parametrize("has_ffmpeg", [False, True], ids=["without ffmpeg", "with ffmpeg"])
@pytest.mark.parametrize("name", JOINED_KINDS)
def test_joined_songs_are_decoded_one_behind_the_other(
    name: str, has_ffmpeg: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, parts = make_joined(name, tmp_path, seconds=1.5)
    if not has_ffmpeg:
        monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    assert_one_behind_the_other([decode_by_ffmpeg(part) for part in parts], load(path)[1])


def assert_one_behind_the_other(parts: list[Audio], audio: Audio) -> None:
    reference = np.concatenate(parts, axis=-1)
    assert audio.shape[-1] == pytest.approx(reference.shape[-1], abs=len(parts))
    assert right_share(reference, audio) >= 0.98


@pytest.mark.parametrize("between", [b"TAG" + bytes(125), b"ID3\4\0\0\0\0\1\0" + bytes(128), bytes(5000)])
@pytest.mark.parametrize("name", ["two Ogg Vorbis", "two Opus", "two FLAC by libsndfile", "two Ogg FLAC"])
def test_other_bytes_between_joined_songs_take_no_time(name: str, between: bytes, tmp_path: Path) -> None:
    _, parts = make_joined(name, tmp_path, seconds=1.5)
    path = tmp_path / "song"
    path.write_bytes(between.join(part.read_bytes() for part in parts))
    assert_one_behind_the_other([decode_by_ffmpeg(part) for part in parts], load(path)[1])


@pytest.mark.parametrize("name", ["ogg libvorbis with a video", "ogg libopus with a video"])
def test_lost_bytes_of_a_video_leave_the_sound(name: str, tmp_path: Path) -> None:
    """A page that lost bytes does not tell where the next one begins."""
    whole = make(KINDS[name], tmp_path, seconds=4.0)
    data = whole.read_bytes()
    link = next(find_ogg_links(data))
    # Without them the page of the video in front of this one seems to end within it.
    page = max(list(link.pages(data))[2:], key=lambda page: page.end - page.start)
    damaged = tmp_path / "damaged.ogv"
    damaged.write_bytes(data[: page.start - 600] + data[page.start - 100 :])
    assert load(damaged)[0].samples == load(whole)[0].samples


def test_damaged_part_of_joined_songs_does_not_end_the_song(tmp_path: Path) -> None:
    _, parts = make_joined("three Ogg Vorbis", tmp_path, seconds=1.5)
    contents = [part.read_bytes() for part in parts]
    contents[1] = contents[1][:58] + bytes(3000) + contents[1][3058:]
    path = tmp_path / "song"
    path.write_bytes(b"".join(contents))
    assert load(path)[0].samples >= 2 * 1.5 * SAMPLERATE


# MPEG


@pytest.mark.parametrize("name", [*mpeg_kinds.ENCODED, *mpeg_kinds.SHORT, *mpeg_kinds.LOUD])
def test_song_of_an_encoder_is_that_of_both_references(name: str, tmp_path: Path) -> None:
    require("ffmpeg", "mpg123")
    path, audio = load_bytes(MPEG_FILES[name]().content, tmp_path)
    by_ffmpeg, by_mpg123 = decode_by_ffmpeg(path), decode_by_mpg123(path)
    assert audio.shape[-1] == pytest.approx(by_ffmpeg.shape[-1], abs=1)
    if name != "VBRI":  # mpg123 plays this Info frame as a silent one.
        assert by_mpg123.shape[-1] == pytest.approx(by_ffmpeg.shape[-1], abs=1)
    found = compare(by_ffmpeg, audio)
    assert found.lag == 0
    # ffmpeg has another joint stereo of MPEG-2, and 16-bit arithmetic for layer I.
    assert found.snr_db >= {"MPEG-2, 24 kHz": 15, "layer I": 55}.get(name, 60)


@pytest.mark.parametrize(
    "name", [*mpeg_kinds.FREE_FORMAT, "layer I", "variable bit rate", "first frames deleted"]
)
def test_song_is_that_of_mpg123_to_the_bit(name: str, tmp_path: Path) -> None:
    require("mpg123")
    path = tmp_path / "song.mp3"
    path.write_bytes(MPEG_FILES[name]().content)
    song, audio = load(path)
    reference = decode_by_mpg123(path, rate_hz=song.source_hz)
    assert reference.shape[-1] == song.source_samples
    if song.source_hz == SAMPLERATE:
        assert np.array_equal(audio, reference)


def test_mpeg_2_song_on_which_the_references_differ_is_that_of_mpg123(tmp_path: Path) -> None:
    require("mpg123")
    path, audio = load_bytes(MPEG_FILES["MPEG-2, 24 kHz"]().content, tmp_path)
    soundfile.write(tmp_path / "song.wav", decode_by_mpg123(path, rate_hz=24_000).T, 24_000, subtype="FLOAT")
    assert_same(load(tmp_path / "song.wav")[1], audio, snr_db=120)


@pytest.mark.parametrize(
    "name",
    [
        *(*mpeg_kinds.TAGGED, *mpeg_kinds.JOINED, *mpeg_kinds.DAMAGED, "cut in the Info frame"),
        *("Info frame without fields", "Xing frame without fields"),
    ],
)
def test_tags_joints_and_damage_leave_the_song_in_its_place(name: str, tmp_path: Path) -> None:
    made = MPEG_FILES[name]()
    _, audio = load_bytes(made.content, tmp_path)
    reference = decode_clean(made, tmp_path)
    assert audio.shape[-1] == pytest.approx(reference.shape[-1], abs=len(made.clean) or 1)
    assert right_share(reference, audio) >= (made.share if len(made.clean) < 2 else 0.98)
    assert np.abs(audio).max() < 2 * np.abs(reference).max()


def decode_clean(made: MpegFile, folder: Path) -> Audio:
    """Return the songs of the clean files, one behind the other."""
    require("ffmpeg")
    return np.concatenate([_decode_part(part, folder) for part in made.clean or (made.content,)], axis=-1)


def _decode_part(content: bytes, folder: Path) -> Audio:
    (folder / "clean.mp3").write_bytes(content)
    return decode_by_ffmpeg(folder / "clean.mp3")


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("Info frame tells 7 frames", 4 * SAMPLERATE + 1055),
        ("Info frame tells too many frames", 4 * SAMPLERATE + 1055),
        ("largest delay and padding", 155 * 1152 - (4095 + 529) - (4095 - 529)),
        ("no delay, no padding", 155 * 1152 - 529),
    ],
)
def test_facts_of_the_info_frame_are_used_as_far_as_they_can_be_true(
    name: str, samples: int, tmp_path: Path
) -> None:
    _, audio = load_bytes(MPEG_FILES[name]().content, tmp_path)
    assert audio.shape[-1] == samples


def test_frames_that_need_lost_bytes_are_silent_and_not_noise(tmp_path: Path) -> None:
    _, audio = load_bytes(MPEG_FILES["first frames deleted"]().content, tmp_path)
    assert not audio[:, :1152].any()
    assert np.abs(audio).max() < 1


# The cases of public reports


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


@pytest.mark.parametrize("name", mpeg_kinds.LOUD)
def test_loud_song_is_decoded_above_full_scale(name: str, tmp_path: Path) -> None:
    assert np.abs(load_bytes(MPEG_FILES[name]().content, tmp_path)[1]).max() > 1.1


def test_hot_master_is_decoded_above_full_scale(cases: Path) -> None:
    assert np.abs(load(cases / "hot-master.mp3")[1]).max() > 1.1
