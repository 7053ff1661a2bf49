"""The instruments of the varied training songs are others than their soundfonts and kits hold."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")
pytest.importorskip("mido", reason="training needs worker/training/requirements.txt")
pytest.importorskip(
    "fluidsynth", reason="training needs worker/training/requirements.txt", exc_type=ImportError
)

from msaas_training import effects, oneshots, patches, songs
from msaas_training.composition import compose
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.palettes import PALETTES
from msaas_training.soundfonts import AS_IT_IS, DRUM_BANK, FONT_FOLDER, Bend, Sampler
from msaas_training.styles import CLOSED_HAT, KICK, SNARE, STYLES

FONT = PALETTES["varied"].fonts[0]
pytestmark = pytest.mark.skipif(
    not (FONT_FOLDER / FONT).exists(), reason="the soundfonts are Debian packages that make music only"
)
A_SEMITONE = 2 ** (1 / 12) - 1
A_PIANO, A_DRUMKIT = (0, 0), (DRUM_BANK, 0)


def played(bend: Bend, *, pitch: int = 60, instrument: tuple[int, int] = A_PIANO) -> np.ndarray:
    bank, program = instrument
    note = Note(0.0, 0.8, pitch, 100)
    return Sampler(FONT).play([note], bank=bank, program=program, duration_s=1.0, bend=bend)


def pitch_hz(wave: np.ndarray) -> float:
    """The strongest repetition between 150 and 600 Hz."""
    mono = wave.mean(0)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(mono, 2 * mono.size)) ** 2)
    low, high = SAMPLE_RATE_HZ // 600, SAMPLE_RATE_HZ // 150
    return SAMPLE_RATE_HZ / (low + int(correlation[low:high].argmax()))


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Of two spectra without their phases."""
    one, other = (np.abs(np.fft.rfft(wave.mean(0))) for wave in (one, other))
    return float((one @ other) / np.sqrt((one @ one) * (other @ other)))


@pytest.mark.parametrize("semitones", [-7, 5])
def test_another_body_plays_the_same_note(semitones):
    plain, bent = played(AS_IT_IS), played(Bend(semitones))
    assert pitch_hz(bent) == pytest.approx(pitch_hz(plain), rel=A_SEMITONE)
    assert likeness(plain, bent) < 0.98


def test_a_drum_keeps_its_key_and_is_tuned():
    plain, tuned = (played(bend, pitch=SNARE, instrument=A_DRUMKIT) for bend in (AS_IT_IS, Bend(-3)))
    slower = np.arange(0, SAMPLE_RATE_HZ - 1, 2 ** (-3 / 12))[:SAMPLE_RATE_HZ]
    by_hand = np.stack([np.interp(slower, np.arange(SAMPLE_RATE_HZ), side) for side in plain])
    assert likeness(plain, tuned) < 0.9
    assert likeness(by_hand, tuned) > 0.9


def test_a_bend_is_gone_with_the_next_part():
    plain = played(AS_IT_IS)
    dark = played(Bend(moved={8: -2000}))
    assert likeness(plain, dark) < 0.98
    assert likeness(plain, played(AS_IT_IS)) > 0.999


def test_a_part_sounds_the_same_whatever_was_played_before():
    font, note = Sampler(FONT), Note(0.0, 0.8, 60, 100)
    once, again = (font.play([note], bank=0, program=33, duration_s=1.0) for _ in range(2))
    assert np.array_equal(once, again)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("effect", [effects.resonances, effects.chorus])
def test_an_effect_makes_another_sound_of_the_same_length(effect, seed):
    plain = played(AS_IT_IS)
    made = effect(plain, rng=np.random.default_rng(seed))
    assert made.shape == plain.shape
    assert np.isfinite(made).all()
    assert 0.05 < likeness(plain, made) < 0.9999


@pytest.mark.skipif(not oneshots.KITS[0].exists(), reason="the kits are a Debian package")
def test_the_recorded_hits_are_those_of_a_kit():
    found = oneshots.recordings()
    assert {KICK, SNARE, CLOSED_HAT} <= set(found)
    one, other = (oneshots.drawn(KICK, rng=np.random.default_rng(seed)) for seed in (1, 2))
    assert one is not None
    assert other is not None
    assert np.abs(one).max() <= 1
    assert one.size != other.size


@pytest.mark.skipif(not oneshots.SONIC_PI.exists(), reason="the samples are a Debian package")
def test_of_sonic_pis_samples_the_drums_are_hits_and_nothing_else_is():
    found = oneshots.recordings((oneshots.SONIC_PI,))
    names = {file.name for files in found.values() for file in files}
    assert {"bd_haus.flac", "sn_dub.flac", "drum_cymbal_open.flac", "tabla_ghe1.flac"} <= names
    drums = r"(bd|sn|tabla)_|drum_(?!roll)|elec_(soft_kick|hollow_kick|.*snare|cymbal|fuzz_tom)"
    assert names == {file.name for file in oneshots.SONIC_PI.glob("*.flac") if re.match(drums, file.name)}


@pytest.fixture
def freepats():
    if shutil.which("timidity") is None or not patches.CONFIGURATION.exists():
        pytest.skip("TiMidity++ and FreePats are Debian packages that make music only")
    return patches.Patches()


@pytest.mark.parametrize("semitones", [0, -4, 5])
def test_a_patch_plays_its_note_when_it_is_due(freepats, semitones):
    note = Note(0.5, 0.8, 60, 100)
    wave = freepats.play([note], bank=0, program=73, duration_s=2.0, bend=Bend(semitones))
    sounding = np.abs(wave).max(0) > 0.02 * np.abs(wave).max()
    assert wave.shape == (2, 2 * SAMPLE_RATE_HZ)
    assert sounding.argmax() / SAMPLE_RATE_HZ == pytest.approx(0.5, abs=0.02)
    held = wave[:, round(0.6 * SAMPLE_RATE_HZ) :]
    assert pitch_hz(held) == pytest.approx(note.frequency_hz, rel=A_SEMITONE)


def test_a_kit_of_patches_has_a_kick_and_a_hat(freepats):
    kick, hat = (
        freepats.play([Note(0.1, 0.1, key, 100)], bank=DRUM_BANK, program=0, duration_s=1.0)
        for key in (KICK, CLOSED_HAT)
    )
    assert likeness(kick, hat) < 0.2


@pytest.mark.usefixtures("freepats")
def test_a_program_without_a_patch_is_played_by_its_neighbour():
    assert (patches.nearest(33), patches.nearest(3)) == (33, 2)


@pytest.mark.usefixtures("freepats")
def test_no_program_is_played_by_a_voice():
    assert patches.nearest(51) == 48


@pytest.mark.usefixtures("freepats")
def test_freepats_has_every_drum_that_is_written():
    """TiMidity++ would look for others in the system's own fonts."""
    kit = patches.CONFIGURATION.read_text().partition("bank 0")[0]
    there = set(map(int, re.findall(r"^\s*(\d+)\s+Drum_000/", kit, re.MULTILINE)))
    assert {key for style in STYLES for grid in style.grids for key in grid} <= there


def test_an_imagined_instrument_needs_no_font():
    score = compose(np.random.default_rng(0), duration_s=6.0)
    palette = replace(PALETTES["imagined"], fonts=("no font",), imagined=1.0)
    assert songs.bass(score, palette=palette, rng=np.random.default_rng(0)).any()
    with pytest.raises(FileNotFoundError):
        songs.bass(
            score,
            palette=replace(palette, imagined=0.0, oscillating_bass=0.0),
            rng=np.random.default_rng(0),
        )


def test_an_imagined_kit_needs_no_font_and_no_recording():
    score = compose(np.random.default_rng(0), duration_s=6.0)
    palette = replace(PALETTES["shells"], drum_fonts=("no font",), hits=(), imagined_kits=1.0)
    assert songs.drums(score, palette=palette, rng=np.random.default_rng(0)).any()
    found = replace(palette, imagined_kits=0.0, mixed_kits=0.0, synthetic=False)
    with pytest.raises(FileNotFoundError):
        songs.drums(score, palette=found, rng=np.random.default_rng(0))
