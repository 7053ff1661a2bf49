"""Vocal tracks: a lead that sings or raps, sometimes with doubles, harmonies or a choir."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from msaas_training import effects, formants, psola
from msaas_training.effects import Audio
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.singing import VoiceSource, sing_phrase, split_phrases
from msaas_training.speech import Mono, Voice, babble, speak
from msaas_training.vocal_envelope import VocalEnvelope, analyse_speech
from msaas_training.voice_transform import VoiceTransform

#: A voice from formant synthesis instead of a speech engine.
FORMANT_VOICE = Voice("formants", "random")
_RAP_PITCH = (0.8, 1.25)
#: Probability that a converted vocoder voice is mixed with a second voice.
_PARTNER_CHANCE = 0.3


@dataclass(frozen=True)
class SingerPool:
    """The voices that singers are drawn from.

    With `converted`, every singer gets a random `VoiceConversion`. With `tuned`, all are pitch-corrected.
    """

    voices: tuple[Voice, ...]
    converted: bool = False
    tuned: bool = False

    def draw_source(self, rng: np.random.Generator) -> VoiceSource:
        return VoiceSource.draw_tuned(rng) if self.tuned else VoiceSource.draw(rng)

    def list_methods(self, voice: Voice) -> list[str]:
        """List the synthesis methods for a voice. Frequent methods appear more than once."""
        if voice == FORMANT_VOICE:
            return ["vocoder"]
        methods = ["vocoder", "vocoder", "psola"] + ([] if self.tuned else ["spoken"])
        return [*methods, "psola"] if self.converted else methods

    def list_partners(self, voice: Voice) -> list[Voice]:
        """List the recorded voices that can be mixed with this voice."""
        return [other for other in self.voices if other not in (voice, FORMANT_VOICE)]


@dataclass(frozen=True, kw_only=True)
class VoiceConversion:
    """Changes the identity of a voice.

    Recorded voices are transformed and may be mixed with a share (0 to 1) of a partner's envelope. Formant
    voices use `tract` and are transformed.
    """

    transform: VoiceTransform
    tract: formants.VocalTract
    partner: Voice | None
    partner_share: float

    @classmethod
    def draw(cls, rng: np.random.Generator, *, partners: list[Voice]) -> VoiceConversion:
        partner = partners[rng.integers(len(partners))] if rng.random() < _PARTNER_CHANCE else None
        return cls(
            transform=VoiceTransform.draw(rng),
            tract=formants.VocalTract.draw_extended(rng),
            partner=partner,
            partner_share=float(rng.uniform(0.3, 0.7)),
        )


@dataclass(frozen=True, kw_only=True)
class Singer:
    """A voice, its source parameters and its synthesis method.

    `formant_ratio` applies to the vocoder without a voice conversion.
    """

    voice: Voice
    source: VoiceSource
    formant_ratio: float
    method: str
    conversion: VoiceConversion | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator, *, pool: SingerPool) -> Singer:
        voice = pool.voices[rng.integers(len(pool.voices))]
        source, ratio = pool.draw_source(rng), float(rng.uniform(0.86, 1.2))
        method = str(rng.choice(pool.list_methods(voice)))
        conversion = VoiceConversion.draw(rng, partners=pool.list_partners(voice)) if pool.converted else None
        return cls(voice=voice, source=source, formant_ratio=ratio, method=method, conversion=conversion)


def sing(notes: Sequence[Note], *, pool: SingerPool, rng: np.random.Generator, duration_s: float) -> Audio:
    """Render a lead and its backing singers to `[2, samples]`."""
    lead = Singer.draw(rng, pool=pool)
    out = effects.pan(
        render_track(notes, singer=lead, rng=rng, duration_s=duration_s),
        position=float(rng.uniform(-0.5, 0.5)) if rng.random() < 0.25 else 0.0,
    )
    for singer, shift, gain, position in draw_backing_singers(rng, lead=lead, pool=pool):
        shifted = [
            replace(n, start_s=n.start_s + abs(rng.normal(0, 0.02)), pitch=n.pitch + shift) for n in notes
        ]
        track = render_track(shifted, singer=singer, rng=rng, duration_s=duration_s)
        out = out + gain * effects.pan(track, position=position)
    return add_vocal_effects(out, rng=rng)


def draw_backing_singers(
    rng: np.random.Generator, *, lead: Singer, pool: SingerPool
) -> list[tuple[Singer, int, float, float]]:
    """Draw backing singers: (singer, semitones above the lead, gain, pan position)."""
    kind = rng.choice(["alone", "double", "harmony", "choir"], p=[0.6, 0.2, 0.12, 0.08])
    detune = 0.0 if pool.tuned else float(rng.normal(0, 0.15))
    double = replace(lead, source=replace(lead.source, detune_semitones=detune))
    if kind == "double":
        return [(double, 0, 0.7, -0.7), (double, 0, 0.7, 0.7)][: int(rng.integers(1, 3))]
    if kind == "harmony":
        return [(double, int(rng.choice([-12, -5, 3, 4, 7])), 0.6, float(rng.uniform(-0.8, 0.8)))]
    if kind == "choir":
        others = [Singer.draw(rng, pool=pool) for _ in range(3)]
        return [(s, int(rng.choice([-12, 0, 4, 7])), 0.6, float(rng.uniform(-0.9, 0.9))) for s in others]
    return []


def render_track(
    notes: Sequence[Note], *, singer: Singer, rng: np.random.Generator, duration_s: float
) -> Audio:
    """Render one singer to `[2, samples]`, both channels equal."""
    out = np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)
    for phrase in split_phrases(notes):
        start = round(phrase[0].start_s * SAMPLE_RATE_HZ)
        voice = _render_phrase(phrase, singer=singer, rng=rng)[: max(0, out.size - start)]
        out[start : start + voice.size] += voice
    return np.stack([out, out])


def _render_phrase(notes: Sequence[Note], *, singer: Singer, rng: np.random.Generator) -> Mono:
    if singer.method == "vocoder":
        draw = _draw_formants if singer.voice == FORMANT_VOICE else _record_speech
        envelope = draw(singer, syllables=len(notes), rng=rng)
        return _normalise(sing_phrase(notes, envelope=envelope, source=singer.source, rng=rng))
    speech = speak(babble(rng, syllables=len(notes)), voice=singer.voice, rng=rng)
    if singer.conversion:
        speech = singer.conversion.transform.apply_to_speech(speech)
    if singer.method == "spoken":
        return _normalise(psola.change_speed(speech, ratio=float(rng.uniform(*_RAP_PITCH))))
    return _normalise(psola.sing_phrase(notes, speech=speech, source=singer.source, rng=rng))


def _draw_formants(singer: Singer, *, syllables: int, rng: np.random.Generator) -> VocalEnvelope:
    """Draw an envelope without recorded speech."""
    if singer.conversion is None:
        return formants.draw_envelope(rng, syllables=syllables)
    envelope = formants.draw_phrase(rng, syllables=syllables, tract=singer.conversion.tract)
    return singer.conversion.transform.apply_to_envelope(envelope)


def _record_speech(singer: Singer, *, syllables: int, rng: np.random.Generator) -> VocalEnvelope:
    """Analyse synthesised speech. A partner speaks the same text, and the two envelopes are mixed."""
    text = babble(rng, syllables=syllables)
    envelope, conversion = (
        analyse_speech(speak(text, voice=singer.voice, rng=rng), rng=rng),
        singer.conversion,
    )
    if conversion is None:
        return envelope.shift_formants(ratio=singer.formant_ratio)
    if conversion.partner:
        partner = analyse_speech(speak(text, voice=conversion.partner, rng=rng), rng=rng)
        envelope = envelope.interpolate(partner, share=conversion.partner_share)
    return conversion.transform.apply_to_envelope(envelope)


def _normalise(voice: Mono) -> Mono:
    return voice * np.float32(0.1 / (np.sqrt((voice**2).mean()) + 1e-6))


def add_vocal_effects(audio: Audio, *, rng: np.random.Generator) -> Audio:
    """Add random effects: high-pass, presence, sometimes saturation, telephone band, echo and reverb."""
    out = effects.high_pass(audio, cutoff_hz=float(rng.uniform(60, 160)))
    out = effects.tilt(out, pivot_hz=float(rng.uniform(1500, 5000)), highs_db=float(rng.uniform(-4, 12)))
    if rng.random() < 0.12:
        out = effects.saturate(out, gain_db=float(rng.uniform(3, 20)))
    if rng.random() < 0.06:
        out = effects.band_pass(out, low_hz=350.0, high_hz=3400.0)
    if rng.random() < 0.2:
        out = effects.add_echo(
            out, delay_s=float(rng.uniform(0.08, 0.5)), feedback=0.45, wet=float(rng.uniform(0.1, 0.35))
        )
    if rng.random() < 0.7:
        decay_s = float(rng.choice([0.4, 0.9, 1.6, 3.0]) * rng.uniform(0.7, 1.3))
        out = effects.add_reverb(out, rng=rng, decay_s=decay_s, wet=float(rng.uniform(0.05, 0.5)))
    return out
