"""Plays notes with TiMidity++ and FreePats, a free instrument set that is not a soundfont."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import mido
import numpy as np

from msaas_training.effects import Audio
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.soundfonts import DRUM_BANK, UNCHANGED, PresetVariation, midi_events

CONFIGURATION = Path("/etc/timidity/freepats.cfg")
_DRUM_CHANNEL = 9
#: One tick is 0.5 ms.
_TICKS_A_BEAT, _BEAT_US = 1000, 500_000
_TICKS_A_SAMPLE = _TICKS_A_BEAT / (_BEAT_US / 1e6) / SAMPLE_RATE_HZ
_COARSE_TUNE = ((101, 0), (100, 2))
_VOICES, _FIRST_NOISE = (53, 102), 120
_OPTIONS = (
    "-Ow", "-o", "-", "-s", str(SAMPLE_RATE_HZ), "--output-stereo", "--preserve-silence",
    "-EFreverb=0", "-EFchorus=0", "-EFdelay=0",
)  # fmt: skip


class TimidityPlayer:
    """Same interface as `SoundfontPlayer`. Of a `PresetVariation` it applies `semitones` only."""

    def play(
        self,
        notes: Sequence[Note],
        *,
        bank: int,
        program: int,
        duration_s: float,
        variation: PresetVariation = UNCHANGED,
    ) -> Audio:
        """Render notes to `[2, samples]`. Sound after `duration_s` is cut.

        Raises:
            FileNotFoundError: TiMidity++ or FreePats is not installed.
            subprocess.CalledProcessError: TiMidity++ failed.
            ValueError: the output is not a WAVE file.
        """
        score, total = io.BytesIO(), round(duration_s * SAMPLE_RATE_HZ)
        build_midi_file(notes, bank=bank, program=program, variation=variation).save(file=score)
        command = ["timidity", "-c", str(CONFIGURATION), *_OPTIONS, "-"]
        wave = subprocess.run(command, input=score.getvalue(), capture_output=True, check=True).stdout
        return pad_or_trim(decode_wave(wave), total=total)


def build_midi_file(
    notes: Sequence[Note], *, bank: int, program: int, variation: PresetVariation
) -> mido.MidiFile:
    """Build a MIDI file with one track. Variations apply to instruments, not to drum kits."""
    is_kit = bank == DRUM_BANK
    channel, keys_down = (_DRUM_CHANNEL, 0) if is_kit else (0, variation.semitones)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=_BEAT_US)])
    if not is_kit:
        track.append(mido.Message("program_change", program=nearest_program(program)))
        for control, value in (*_COARSE_TUNE, (6, 64 + keys_down)):
            track.append(mido.Message("control_change", control=control, value=value))
    now = 0
    for sample, key, velocity in midi_events(notes, keys_down=keys_down):
        at = round(sample * _TICKS_A_SAMPLE)
        track.append(mido.Message("note_on", channel=channel, note=key, velocity=velocity, time=at - now))
        now = at
    return mido.MidiFile(tracks=[track], ticks_per_beat=_TICKS_A_BEAT)


def nearest_program(program: int) -> int:
    """Return the nearest program that FreePats has. It covers about half of General MIDI."""
    return min(list_programs(), key=lambda there: (abs(there - program), there))


@cache
def list_programs() -> tuple[int, ...]:
    """List the General MIDI programs (from 0) that FreePats covers, without voices and sound effects."""
    tones = CONFIGURATION.read_text().partition("bank 0")[2]
    found = map(int, re.findall(r"^\s*(\d+)\s+Tone_000/", tones, re.MULTILINE))
    return tuple(program for program in found if program < _FIRST_NOISE and program not in _VOICES)


def decode_wave(wave: bytes) -> Audio:
    """Decode 16-bit stereo WAVE from a pipe, where the header has no valid length."""
    _, found, samples = wave.partition(b"data")
    if not found:
        raise ValueError("TiMidity++ made no WAVE.")
    even = len(samples[4:]) // 4 * 4
    return (np.frombuffer(samples[4:][:even], "<i2").reshape(-1, 2).T / 32768.0).astype(np.float32)


def pad_or_trim(audio: Audio, *, total: int) -> Audio:
    """Return the first `total` samples, with zeros appended if there are fewer."""
    return np.pad(audio[:, :total], ((0, 0), (0, max(0, total - audio.shape[1]))))
