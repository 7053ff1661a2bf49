"""Tempo, beats and bars of drums that are made of decaying tones and noise."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from msaas_worker.analysis.analyser import SongAnalyser
from msaas_worker.analysis.harmony import CHROMA_HOP_S, Pitches
from msaas_worker.analysis.onsets import OnsetMeter
from msaas_worker.analysis.rhythm import Rhythm, find_rhythm
from msaas_worker.audio.decoded import SAMPLERATE, Audio

#: Steps of a bar, 16 to a bar.
BACKBEAT = {"kick": (0, 7, 8), "snare": (4, 12), "hat": tuple(range(0, 16, 2))}
FOUR_ON_THE_FLOOR = {"kick": (0, 4, 8, 12), "snare": (4, 12), "hat": (2, 6, 10, 14)}
SECONDS = 30.0


def hit(drum: str, rng: np.random.Generator) -> NDArray[np.float64]:
    time = np.arange(SAMPLERATE // 5) / SAMPLERATE
    if drum == "kick":
        return np.sin(2 * np.pi * 60 * time) * np.exp(-time / 0.06)
    noise = np.diff(rng.standard_normal(len(time) + 1)) if drum == "hat" else rng.standard_normal(len(time))
    decay_s, level = {"hat": (0.02, 0.1), "snare": (0.08, 0.3)}[drum]
    return level * noise * np.exp(-time / decay_s)


def drums(
    bpm: float, pattern: dict[str, tuple[int, ...]], *, seconds: float = SECONDS, start_s: float = 0.0
) -> Audio:
    """Return drums `[2, n]` whose first bar begins at `start_s`."""
    rng = np.random.default_rng(round(bpm))
    audio = rng.normal(0, 1e-3, round(seconds * SAMPLERATE))
    step_s = 60 / bpm / 4
    for drum, steps in pattern.items():
        for bar in range(round(seconds / step_s / 16) + 1):
            for step in steps:
                at = round((start_s + (16 * bar + step) * step_s) * SAMPLERATE)
                sound = 0.5 * rng.uniform(0.8, 1.0) * hit(drum, rng)[: max(0, len(audio) - at)]
                audio[at : at + len(sound)] += sound
    return np.stack([audio, audio]).astype(np.float32)


def rhythm_of(audio: Audio) -> Rhythm | None:
    meter = OnsetMeter()
    for start in range(0, audio.shape[-1], 50_000):
        meter.feed(audio[:, start : start + 50_000])
    return find_rhythm(meter.finish(), np.zeros((0, 12), np.float32))


@pytest.mark.parametrize(
    ("bpm", "pattern"),
    [
        *((bpm, BACKBEAT) for bpm in (72.0, 90.0, 104.5, 120.0, 133.3)),
        *((bpm, FOUR_ON_THE_FLOOR) for bpm in (72.0, 104.5, 120.0, 133.3, 150.0, 174.0)),
    ],
)
def test_tempo_and_beats_are_found(bpm: float, pattern: dict[str, tuple[int, ...]]) -> None:
    found = rhythm_of(drums(bpm, pattern, start_s=0.31))
    assert found
    assert found.bpm == pytest.approx(bpm, rel=0.005)
    beats = (found.beats - 0.31) * bpm / 60
    assert np.median(np.abs(beats - np.round(beats))) * 60 / bpm < 0.012
    assert np.diff(np.round(beats)).tolist() == [1] * (len(beats) - 1)
    assert len(beats) == pytest.approx(SECONDS * bpm / 60, abs=3)


@pytest.mark.parametrize("bpm", [150.0, 174.0])
def test_tempo_of_another_octave_is_an_alternative(bpm: float) -> None:
    """The same drums are those of a slower song with more cymbals."""
    found = rhythm_of(drums(bpm, BACKBEAT))
    assert found
    tempo = found.tempo_json()
    assert any(each["bpm"] == pytest.approx(bpm, rel=0.01) for each in (tempo, *tempo["alternatives"]))


def test_snares_are_on_the_second_and_fourth_beat() -> None:
    found = rhythm_of(drums(96, BACKBEAT))
    assert found
    first = round(found.beats[found.position.downbeat] * 96 / 60)
    assert first % 2 == 0


@pytest.mark.parametrize("offset", range(4))
def test_bars_begin_where_the_harmony_changes(offset: int) -> None:
    """The drums are the same on each beat, and the chord changes every four beats."""
    beat_s = 0.5
    meter = OnsetMeter()
    meter.feed(drums(60 / beat_s, {"kick": (0, 4, 8, 12), "hat": (2, 6, 10, 14)}))
    time = np.arange(round(SECONDS / CHROMA_HOP_S)) * CHROMA_HOP_S
    chord = np.floor((time / beat_s - offset) / 4).astype(int) % 3
    chroma = np.eye(12, dtype=np.float32)[4 * chord] + 0.1
    found = find_rhythm(meter.finish(), chroma.astype(np.float32))
    assert found
    first = round(found.beats[found.position.downbeat] / beat_s)
    assert first % 4 == offset


def test_tempo_that_drifts_is_followed() -> None:
    """The tempo rises by 6 % in half a minute."""
    parts = [drums(bpm, FOUR_ON_THE_FLOOR, seconds=8 * 60 / bpm) for bpm in np.linspace(118, 125, 8)]
    found = rhythm_of(np.concatenate(parts, axis=1))
    assert found
    intervals = 60 / np.diff(found.beats)
    assert np.median(intervals[:8]) == pytest.approx(118, rel=0.02)
    assert np.median(intervals[-8:]) == pytest.approx(125, rel=0.02)


@pytest.mark.parametrize("level", [0.0, 1e-9])
def test_silence_has_no_rhythm(level: float) -> None:
    audio = level * np.random.default_rng(0).standard_normal((2, 20 * SAMPLERATE))
    assert rhythm_of(audio.astype(np.float32)) is None


def test_noise_has_no_certain_rhythm() -> None:
    audio = np.random.default_rng(1).normal(0, 0.1, (2, 30 * SAMPLERATE)).astype(np.float32)
    found = rhythm_of(audio)
    assert found is None or found.tempo_json()["confidence"] < 0.3


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0, 3.0])
def test_short_songs_have_no_rhythm(seconds: float) -> None:
    assert rhythm_of(drums(120, BACKBEAT, seconds=seconds)) is None


def test_onsets_do_not_depend_on_blocks() -> None:
    audio, found = drums(120, BACKBEAT, seconds=3), []
    for block in (1000, 44_100, audio.shape[-1]):
        meter = OnsetMeter()
        for start in range(0, audio.shape[-1], block):
            meter.feed(audio[:, start : start + block])
        found.append(meter.finish())
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def analyse(stems: dict[str, Audio], song: Audio) -> dict[str, object]:
    analyser = SongAnalyser(tuple(stems))
    analyser.feed(np.stack(list(stems.values())), song)
    found: dict[str, object] = json.loads(analyser.encode())
    return found


def test_stems_that_are_missing_leave_their_facts_out() -> None:
    song = drums(120, BACKBEAT)
    whole = analyse({"drums": song, "bass": 0 * song, "other": 0 * song, "vocals": 0 * song}, song)
    assert whole["tempo"]
    assert whole["key"] is None
    assert (analyse({"vocals": song}, song)["tempo"], analyse({"vocals": song}, song)["beats"]) == (
        None,
        None,
    )
    assert analyse({"drums": song}, song)["tempo"] == whole["tempo"]
    assert analyse({"vocals": song}, song)["loudness"] == whole["loudness"]


def test_pitches_of_an_empty_song_are_empty() -> None:
    assert Pitches(np.zeros(12), np.zeros((0, 12), np.float32)).chroma.shape == (0, 12)
