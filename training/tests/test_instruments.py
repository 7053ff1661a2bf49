"""Instruments: soundfonts and their variations, one-shot samples, FreePats and effects."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from msaas_training import effects, oneshots, songs, timidity
from msaas_training.composition import compose
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.palettes import PALETTES
from msaas_training.soundfonts import DRUM_BANK, FONT_FOLDER, UNCHANGED, PresetVariation, SoundfontPlayer
from msaas_training.styles import CLOSED_HAT, KICK, SNARE, STYLES

#: Any soundfont is sufficient. Debian's `timgm6mb-soundfont` is a small one.
FONTS = (*PALETTES["varied"].fonts[:1], *PALETTES["near"].fonts)
FONT = next((font for font in FONTS if (FONT_FOLDER / font).exists()), FONTS[0])
needs_font = pytest.mark.skipif(not (FONT_FOLDER / FONT).exists(), reason=f"{FONT} is not installed.")
A_SEMITONE = 2 ** (1 / 12) - 1
A_PIANO, A_DRUMKIT = (0, 0), (DRUM_BANK, 0)


def play(variation: PresetVariation, *, pitch: int = 60, instrument: tuple[int, int] = A_PIANO) -> np.ndarray:
    bank, program = instrument
    note = Note(0.0, 0.8, pitch, 100)
    return SoundfontPlayer(FONT).play([note], bank=bank, program=program, duration_s=1.0, variation=variation)


def pitch_hz(wave: np.ndarray) -> float:
    """Return the strongest periodicity between 150 and 600 Hz."""
    mono = wave.mean(0)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(mono, 2 * mono.size)) ** 2)
    low, high = SAMPLE_RATE_HZ // 600, SAMPLE_RATE_HZ // 150
    return SAMPLE_RATE_HZ / (low + int(correlation[low:high].argmax()))


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine similarity of two magnitude spectra."""
    one, other = (np.abs(np.fft.rfft(wave.mean(0))) for wave in (one, other))
    return float((one @ other) / np.sqrt((one @ one) * (other @ other)))


@needs_font
@pytest.mark.parametrize("semitones", [-7, 5])
def test_variation_keeps_the_pitch_and_changes_the_timbre(semitones):
    plain, varied = play(UNCHANGED), play(PresetVariation(semitones))
    assert pitch_hz(varied) == pytest.approx(pitch_hz(plain), rel=A_SEMITONE)
    assert similarity(plain, varied) < 0.98


@needs_font
def test_variation_of_a_drum_keeps_its_key_and_tunes_it():
    plain, tuned = (
        play(variation, pitch=SNARE, instrument=A_DRUMKIT) for variation in (UNCHANGED, PresetVariation(-3))
    )
    positions = np.arange(0, SAMPLE_RATE_HZ - 1, 2 ** (-3 / 12))[:SAMPLE_RATE_HZ]
    resampled = np.stack([np.interp(positions, np.arange(SAMPLE_RATE_HZ), side) for side in plain])
    assert similarity(plain, tuned) < 0.9
    assert similarity(resampled, tuned) > 0.9


@needs_font
def test_variation_does_not_affect_the_next_part():
    plain = play(UNCHANGED)
    dark = play(PresetVariation(generator_offsets={8: -2000}))
    assert similarity(plain, dark) < 0.98
    assert similarity(plain, play(UNCHANGED)) > 0.999


@needs_font
def test_parts_are_reproducible():
    font, note = SoundfontPlayer(FONT), Note(0.0, 0.8, 60, 100)
    first, second = (font.play([note], bank=0, program=33, duration_s=1.0) for _ in range(2))
    assert np.array_equal(first, second)


@needs_font
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("effect", [effects.add_resonances, effects.add_chorus])
def test_effect_changes_the_sound_and_keeps_the_length(effect, seed):
    plain = play(UNCHANGED)
    processed = effect(plain, rng=np.random.default_rng(seed))
    assert processed.shape == plain.shape
    assert np.isfinite(processed).all()
    assert 0.05 < similarity(plain, processed) < 0.9999


@pytest.mark.skipif(not oneshots.KITS[0].exists(), reason="The drum kits are not installed.")
def test_recordings_cover_the_keys_of_a_kit():
    found = oneshots.find_recordings()
    assert {KICK, SNARE, CLOSED_HAT} <= set(found)
    one, other = (oneshots.draw_recording(KICK, rng=np.random.default_rng(seed)) for seed in (1, 2))
    assert one is not None
    assert other is not None
    assert np.abs(one).max() <= 1
    assert one.size != other.size


@pytest.mark.skipif(not oneshots.SONIC_PI.exists(), reason="The samples are not installed.")
def test_only_the_drums_of_sonic_pi_are_used():
    found = oneshots.find_recordings((oneshots.SONIC_PI,))
    names = {file.name for files in found.values() for file in files}
    assert {"bd_haus.flac", "sn_dub.flac", "drum_cymbal_open.flac", "tabla_ghe1.flac"} <= names
    drums = r"(bd|sn|tabla)_|drum_(?!roll)|elec_(soft_kick|hollow_kick|.*snare|cymbal|fuzz_tom)"
    assert names == {file.name for file in oneshots.SONIC_PI.glob("*.flac") if re.match(drums, file.name)}


@pytest.fixture
def freepats():
    if shutil.which("timidity") is None or not timidity.CONFIGURATION.exists():
        pytest.skip("TiMidity++ and FreePats (Debian packages) are not installed.")
    return timidity.TimidityPlayer()


@pytest.mark.parametrize("semitones", [0, -4, 5])
def test_freepats_plays_a_note_at_its_time_and_pitch(freepats, semitones):
    note = Note(0.5, 0.8, 60, 100)
    wave = freepats.play([note], bank=0, program=73, duration_s=2.0, variation=PresetVariation(semitones))
    sounding = np.abs(wave).max(0) > 0.02 * np.abs(wave).max()
    assert wave.shape == (2, 2 * SAMPLE_RATE_HZ)
    assert sounding.argmax() / SAMPLE_RATE_HZ == pytest.approx(0.5, abs=0.02)
    sustained = wave[:, round(0.6 * SAMPLE_RATE_HZ) :]
    assert pitch_hz(sustained) == pytest.approx(note.frequency_hz, rel=A_SEMITONE)


def test_freepats_kit_has_a_kick_and_a_hat(freepats):
    kick, hat = (
        freepats.play([Note(0.1, 0.1, key, 100)], bank=DRUM_BANK, program=0, duration_s=1.0)
        for key in (KICK, CLOSED_HAT)
    )
    assert similarity(kick, hat) < 0.2


@pytest.mark.usefixtures("freepats")
def test_missing_program_is_replaced_by_its_neighbour():
    assert (timidity.nearest_program(33), timidity.nearest_program(3)) == (33, 2)


@pytest.mark.usefixtures("freepats")
def test_no_program_is_replaced_by_a_voice():
    assert timidity.nearest_program(51) == 48


@pytest.mark.usefixtures("freepats")
def test_freepats_has_every_drum_of_the_styles():
    """TiMidity++ would take missing drums from the system's fonts."""
    kit = timidity.CONFIGURATION.read_text().partition("bank 0")[0]
    available = set(map(int, re.findall(r"^\s*(\d+)\s+Drum_000/", kit, re.MULTILINE)))
    assert {key for style in STYLES for grid in style.grids for key in grid} <= available


def test_additive_instrument_needs_no_font():
    score = compose(np.random.default_rng(0), duration_s=6.0)
    palette = replace(PALETTES["imagined"], fonts=("missing.sf2",), additive=1.0)
    assert songs.render_bass(score, palette=palette, rng=np.random.default_rng(0)).any()
    with pytest.raises(FileNotFoundError):
        songs.render_bass(
            score,
            palette=replace(palette, additive=0.0, oscillator_bass=0.0),
            rng=np.random.default_rng(0),
        )


def test_modal_kit_needs_no_font_and_no_recording():
    score = compose(np.random.default_rng(0), duration_s=6.0)
    palette = replace(PALETTES["shells"], drum_fonts=("missing.sf2",), one_shots=(), modal_kits=1.0)
    assert songs.render_drums(score, palette=palette, rng=np.random.default_rng(0)).any()
    soundfont_kits = replace(palette, modal_kits=0.0, mixed_kits=0.0, synthetic=False)
    with pytest.raises(FileNotFoundError):
        songs.render_drums(score, palette=soundfont_kits, rng=np.random.default_rng(0))
