"""TiMidity++ plays notes with FreePats, the one free set of instruments that is no soundfont."""

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
from msaas_training.soundfonts import AS_IT_IS, DRUM_BANK, Bend, events

CONFIGURATION = Path("/etc/timidity/freepats.cfg")
_DRUM_CHANNEL = 9
#: Half a millisecond a tick.
_TICKS_A_BEAT, _BEAT_US = 1000, 500_000
_TICKS_A_SAMPLE = _TICKS_A_BEAT / (_BEAT_US / 1e6) / SAMPLE_RATE_HZ
_COARSE_TUNE = ((101, 0), (100, 2))
_VOICES, _FIRST_NOISE = (53, 102), 120
_OPTIONS = (
    "-Ow", "-o", "-", "-s", str(SAMPLE_RATE_HZ), "--output-stereo", "--preserve-silence",
    "-EFreverb=0", "-EFchorus=0", "-EFdelay=0",
)  # fmt: skip


class Patches:
    """A `Sampler` with other sounds; of a `Bend` it knows the body only."""

    def play(
        self, notes: Sequence[Note], *, bank: int, program: int, duration_s: float, bend: Bend = AS_IT_IS
    ) -> Audio:
        """`[2, samples]`; notes that ring past the end are cut.

        Raises:
            FileNotFoundError: TiMidity++ or FreePats is not installed.
            subprocess.CalledProcessError: TiMidity++ refused.
            ValueError: what it made is no WAVE.
        """
        score, total = io.BytesIO(), round(duration_s * SAMPLE_RATE_HZ)
        midi_file(notes, bank=bank, program=program, bend=bend).save(file=score)
        command = ["timidity", "-c", str(CONFIGURATION), *_OPTIONS, "-"]
        played = subprocess.run(command, input=score.getvalue(), capture_output=True, check=True).stdout
        return fitted(decoded(played), total=total)


def midi_file(notes: Sequence[Note], *, bank: int, program: int, bend: Bend) -> mido.MidiFile:
    """One track; a drum kit plays as it is, an instrument by the keys that its bend asks for."""
    is_kit = bank == DRUM_BANK
    channel, keys_down = (_DRUM_CHANNEL, 0) if is_kit else (0, bend.semitones)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=_BEAT_US)])
    if not is_kit:
        track.append(mido.Message("program_change", program=nearest(program)))
        for control, value in (*_COARSE_TUNE, (6, 64 + keys_down)):
            track.append(mido.Message("control_change", control=control, value=value))
    now = 0
    for sample, key, velocity in events(notes, keys_down=keys_down):
        at = round(sample * _TICKS_A_SAMPLE)
        track.append(mido.Message("note_on", channel=channel, note=key, velocity=velocity, time=at - now))
        now = at
    return mido.MidiFile(tracks=[track], ticks_per_beat=_TICKS_A_BEAT)


def nearest(program: int) -> int:
    """FreePats has a little more than half of General MIDI; the rest is played by what stands next to it."""
    return min(programs(), key=lambda there: (abs(there - program), there))


@cache
def programs() -> tuple[int, ...]:
    """General MIDI programs, from 0, that have a patch: instruments, neither voices nor noises."""
    tones = CONFIGURATION.read_text().partition("bank 0")[2]
    found = map(int, re.findall(r"^\s*(\d+)\s+Tone_000/", tones, re.MULTILINE))
    return tuple(program for program in found if program < _FIRST_NOISE and program not in _VOICES)


def decoded(wave: bytes) -> Audio:
    """TiMidity++ writes to a pipe, so that the header does not tell how long the sound is."""
    _, found, samples = wave.partition(b"data")
    if not found:
        raise ValueError("TiMidity++ made no WAVE.")
    even = len(samples[4:]) // 4 * 4
    return (np.frombuffer(samples[4:][:even], "<i2").reshape(-1, 2).T / 32768.0).astype(np.float32)


def fitted(audio: Audio, *, total: int) -> Audio:
    return np.pad(audio[:, :total], ((0, 0), (0, max(0, total - audio.shape[1]))))
