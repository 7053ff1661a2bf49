"""A vocal track: a lead that sings or raps, and now and then doubles, harmonies or a choir."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from msaas_training import effects, formants, psola
from msaas_training.bodies import Body
from msaas_training.effects import Audio
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.singing import Throat, phrases, sung
from msaas_training.speech import Mono, Voice, babble, speak
from msaas_training.voiceprint import Voiceprint, analysed

#: A mouth drawn by chance, which no engine recorded.
GLOTTAL = Voice("glottal", "drawn")
_RAP_PITCH = (0.8, 1.25)
#: How often a singer in disguise who goes through the vocoder has something of another's voice.
_PARTNERED = 0.3


@dataclass(frozen=True)
class Cast:
    """Who may sing; in disguise nobody is heard as the engine has them, tuned nobody is ever off the note."""

    voices: tuple[Voice, ...]
    disguised: bool = False
    tuned: bool = False

    def throat(self, rng: np.random.Generator) -> Throat:
        return Throat.tuned(rng) if self.tuned else Throat.drawn(rng)

    def methods(self, voice: Voice) -> list[str]:
        """How a voice may be made to sing: the commoner ones more than once."""
        if voice == GLOTTAL:
            return ["vocoder"]
        methods = ["vocoder", "vocoder", "psola"] + ([] if self.tuned else ["spoken"])
        return [*methods, "psola"] if self.disguised else methods

    def others(self, voice: Voice) -> list[Voice]:
        """Who can lend something to a speaker's voice."""
        return [other for other in self.voices if other not in (voice, GLOTTAL)]


@dataclass(frozen=True)
class Guise:
    """What makes a singer somebody whom no engine has.

    A body, an imagined mouth for who has no recorded one, perhaps a share (0 to 1) of another's voice.
    """

    body: Body
    mouth: formants.Mouth
    partner: Voice | None
    partner_share: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, partners: Sequence[Voice]) -> Guise:
        partner = partners[rng.integers(len(partners))] if rng.random() < _PARTNERED else None
        return cls(
            body=Body.drawn(rng),
            mouth=formants.Mouth.imagined(rng),
            partner=partner,
            partner_share=float(rng.uniform(0.3, 0.7)),
        )


@dataclass(frozen=True)
class Singer:
    """One voice through one throat; `method` is how it is made to sing.

    `formant_ratio` sizes the mouth of a singer without a guise who goes through the vocoder.
    """

    voice: Voice
    throat: Throat
    formant_ratio: float
    method: str
    guise: Guise | None = None

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, cast: Cast) -> Singer:
        voice = cast.voices[rng.integers(len(cast.voices))]
        throat, ratio = cast.throat(rng), float(rng.uniform(0.86, 1.2))
        method = str(rng.choice(cast.methods(voice)))
        guise = Guise.drawn(rng, partners=cast.others(voice)) if cast.disguised else None
        return cls(voice=voice, throat=throat, formant_ratio=ratio, method=method, guise=guise)


def sing(notes: Sequence[Note], *, cast: Cast, rng: np.random.Generator, duration_s: float) -> Audio:
    """`[2, samples]`: a lead and whoever sings with it."""
    lead = Singer.drawn(rng, cast=cast)
    out = effects.pan(
        performed(notes, singer=lead, rng=rng, duration_s=duration_s),
        position=float(rng.uniform(-0.5, 0.5)) if rng.random() < 0.25 else 0.0,
    )
    for singer, shift, gain, position in company(rng, lead=lead, cast=cast):
        moved = [
            replace(n, start_s=n.start_s + abs(rng.normal(0, 0.02)), pitch=n.pitch + shift) for n in notes
        ]
        track = performed(moved, singer=singer, rng=rng, duration_s=duration_s)
        out = out + gain * effects.pan(track, position=position)
    return polished(out, rng=rng)


def company(rng: np.random.Generator, *, lead: Singer, cast: Cast) -> list[tuple[Singer, int, float, float]]:
    """Who else sings: (singer, semitones above the lead, gain, place)."""
    kind = rng.choice(["alone", "double", "harmony", "choir"], p=[0.6, 0.2, 0.12, 0.08])
    detune = 0.0 if cast.tuned else float(rng.normal(0, 0.15))
    again = replace(lead, throat=replace(lead.throat, detune_semitones=detune))
    if kind == "double":
        return [(again, 0, 0.7, -0.7), (again, 0, 0.7, 0.7)][: int(rng.integers(1, 3))]
    if kind == "harmony":
        return [(again, int(rng.choice([-12, -5, 3, 4, 7])), 0.6, float(rng.uniform(-0.8, 0.8)))]
    if kind == "choir":
        others = [Singer.drawn(rng, cast=cast) for _ in range(3)]
        return [(s, int(rng.choice([-12, 0, 4, 7])), 0.6, float(rng.uniform(-0.9, 0.9))) for s in others]
    return []


def performed(notes: Sequence[Note], *, singer: Singer, rng: np.random.Generator, duration_s: float) -> Audio:
    out = np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)
    for phrase in phrases(notes):
        start = round(phrase[0].start_s * SAMPLE_RATE_HZ)
        voice = _phrase(phrase, singer=singer, rng=rng)[: max(0, out.size - start)]
        out[start : start + voice.size] += voice
    return np.stack([out, out])


def _phrase(notes: Sequence[Note], *, singer: Singer, rng: np.random.Generator) -> Mono:
    if singer.method == "vocoder":
        mouth = _made if singer.voice == GLOTTAL else _spoken
        voiceprint = mouth(singer, syllables=len(notes), rng=rng)
        return _even(sung(notes, voiceprint=voiceprint, throat=singer.throat, rng=rng))
    speech = speak(babble(rng, syllables=len(notes)), voice=singer.voice, rng=rng)
    if singer.guise:
        speech = singer.guise.body.of(speech)
    if singer.method == "spoken":
        return _even(psola.varispeed(speech, ratio=float(rng.uniform(*_RAP_PITCH))))
    return _even(psola.sung(notes, speech=speech, throat=singer.throat, rng=rng))


def _made(singer: Singer, *, syllables: int, rng: np.random.Generator) -> Voiceprint:
    """What a mouth does that no engine recorded."""
    if singer.guise is None:
        return formants.drawn(rng, syllables=syllables)
    imagined = formants.imagined(rng, syllables=syllables, mouth=singer.guise.mouth)
    return singer.guise.body.around(imagined)


def _spoken(singer: Singer, *, syllables: int, rng: np.random.Generator) -> Voiceprint:
    """What the speaker's mouth does; a partner says the same, and a third has something of both."""
    text = babble(rng, syllables=syllables)
    mouth, guise = analysed(speak(text, voice=singer.voice, rng=rng), rng=rng), singer.guise
    if guise is None:
        return mouth.shifted(ratio=singer.formant_ratio)
    if guise.partner:
        theirs = analysed(speak(text, voice=guise.partner, rng=rng), rng=rng)
        mouth = mouth.mixed(theirs, share=guise.partner_share)
    return guise.body.around(mouth)


def _even(voice: Mono) -> Mono:
    return voice * np.float32(0.1 / (np.sqrt((voice**2).mean()) + 1e-6))


def polished(audio: Audio, *, rng: np.random.Generator) -> Audio:
    """What a desk does to a voice: low cut, presence, sometimes drive, a telephone, an echo, a long room."""
    out = effects.low_cut(audio, cutoff_hz=float(rng.uniform(60, 160)))
    out = effects.tilt(out, pivot_hz=float(rng.uniform(1500, 5000)), highs_db=float(rng.uniform(-4, 12)))
    if rng.random() < 0.12:
        out = effects.drive(out, gain_db=float(rng.uniform(3, 20)))
    if rng.random() < 0.06:
        out = effects.band(out, low_hz=350.0, high_hz=3400.0)
    if rng.random() < 0.2:
        out = effects.echo(
            out, delay_s=float(rng.uniform(0.08, 0.5)), feedback=0.45, wet=float(rng.uniform(0.1, 0.35))
        )
    if rng.random() < 0.7:
        decay_s = float(rng.choice([0.4, 0.9, 1.6, 3.0]) * rng.uniform(0.7, 1.3))
        out = effects.room(out, rng=rng, decay_s=decay_s, wet=float(rng.uniform(0.05, 0.5)))
    return out
