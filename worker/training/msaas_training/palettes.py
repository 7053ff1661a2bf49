"""A palette is the soundfonts and voices a set of songs may use: the tests hear others than the training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from msaas_training import oneshots
from msaas_training.speech import Voice
from msaas_training.vocals import GLOTTAL, Cast

#: General MIDI programs (from 0); sampled choirs are left out, for they are neither voice nor instrument.
_PIANOS, _MALLETS, _ORGANS, _GUITARS = (
    tuple(range(8)),
    tuple(range(8, 16)),
    tuple(range(16, 24)),
    tuple(range(24, 31)),
)
_STRINGS, _BRASS, _WINDS = (40, 41, 42, 44, 45, 48, 49, 50, 51), tuple(range(56, 64)), tuple(range(64, 80))
_SYNTHS, _PADS, _PLUCKED = (80, 81, 82, 83, 84, 86, 87), (88, 89, 90, 92, 93, 94, 95), (104, 105, 106, 107)
PROGRAMS: dict[str, tuple[int, ...]] = {
    "comp": _PIANOS + _GUITARS + _ORGANS,
    "strum": _GUITARS + _PLUCKED,
    "power": (29, 30, 30, 81, 27),
    "stabs": _BRASS + _PIANOS + _SYNTHS,
    "skank": (26, 27, 28, 16, 17),
    "scratch": (27, 28, 7),
    "pad": _STRINGS + _PADS + _ORGANS,
    "organ": _ORGANS,
    "arpeggio": _MALLETS + _PIANOS + _SYNTHS + (45, 46),
    "riff": _GUITARS + _SYNTHS + _BRASS + (4, 5),
    "lead": _WINDS + _BRASS + _SYNTHS + (40, 42, 29, 26, 11, 22),
}
BASS_PROGRAMS = (32, 33, 33, 34, 34, 35, 36, 37, 38, 39, 38, 39, 43, 58, 87)
EVERY_PROGRAM = tuple(sorted({program for programs in PROGRAMS.values() for program in programs}))
DRUM_PROGRAMS = (0, 0, 8, 16, 24, 25, 32, 40)

_ESPEAK_LANGUAGES = tuple(
    "en-us en-gb de es fr-fr it nl fi hu cs ro tr el ru id sw ja "
    "cmn hi ta ko vi da nb is cy eu la et lv hr af".split()
)
_ESPEAK_VARIANTS = (
    "",
    *"+m1 +m2 +m3 +m4 +m5 +m6 +m7 +f1 +f2 +f3 +f4 +f5".split(),
    *"+croak +whisper +klatt +klatt2 +klatt3 +Annie +anikaRobot".split(),
)
_HELD_OUT_LANGUAGES = ("pl", "pt", "sv")


@dataclass(frozen=True)
class Palette:
    """`synthetic` allows the oscillators and the drum machine; `varied` makes other instruments of all.

    With `recast` a song is made as without, and its vocals are then sung again, a take by each of those.
    """

    fonts: tuple[str, ...]
    drum_fonts: tuple[str, ...]
    cast: Cast
    synthetic: bool
    recast: tuple[Cast, ...] = ()
    varied: bool = False
    #: The folders of recorded hits that the kits of `varied` are mixed of, and how often they are.
    hits: tuple[Path, ...] = oneshots.KITS
    mixed_kits: float = 0.4
    #: How often a bass line that no oscillator has is given to any instrument.
    any_bass: float = 0.0
    #: Oscillators among the players of bass, and of the rest.
    oscillating_bass: float = 0.45
    oscillating: float = 0.3
    #: How often a part is given to an instrument that nobody built.
    imagined: float = 0.0
    #: How often the drums are a kit that nobody built.
    imagined_kits: float = 0.0

    @property
    def heard(self) -> tuple[Voice, ...]:
        """The voices in the vocals that its songs come out with."""
        return tuple(voice for cast in self.casts for voice in cast.voices)

    @property
    def casts(self) -> tuple[Cast, ...]:
        """Who sings the takes that a song comes out with."""
        return self.recast or (self.cast,)


def _espeak(languages: tuple[str, ...], variants: tuple[str, ...]) -> tuple[Voice, ...]:
    return tuple(Voice("espeak", language + variant) for language in languages for variant in variants)


def _flite(*names: str) -> tuple[Voice, ...]:
    return tuple(Voice("flite", name) for name in names)


def _evenly(*families: tuple[Voice, ...], size: int = 240) -> tuple[Voice, ...]:
    """Each family as often as the next, however many voices it has."""
    return tuple(family[i % len(family)] for i in range(size // len(families)) for family in families)


_FREE_FONTS = ("sf2/FluidR3_GM.sf2", "sf2/MuseScore_General_Full.sf2", "sf2/sf_GMbank.sf2")
#: Played by `patches`, not by FluidSynth.
FREEPATS = "freepats"
_UNHEARD_FONTS = ("sf2/TimGM6mb.sf2",)
_UNHEARD_DRUMS = ("sf2/TimGM6mb.sf2", "sf2/Red_Zeppelin_4_LV2.sf2")
_HEARD_VOICES = _evenly(
    _espeak(_ESPEAK_LANGUAGES, _ESPEAK_VARIANTS)[::7], _espeak(_ESPEAK_LANGUAGES, _ESPEAK_VARIANTS)[3::7],
    _flite("rms", "awb", "kal", "kal16"), (GLOTTAL,),
    size=400,
)  # fmt: skip
_HEARD = Cast(_HEARD_VOICES)
#: `kal` is `kal16` at half the rate, and half as often.
_FLITE = _flite("rms", "awb", "kal16", "rms", "awb", "kal16", "kal")
#: Every language and every variant, though not with each other: seven and twenty have no common divisor.
_ESPEAK = _espeak(_ESPEAK_LANGUAGES, _ESPEAK_VARIANTS)[::7]
#: Recorded voices, imagined ones and an engine's, a third each, and nobody as they are.
_DISGUISED = Cast(_evenly(_FLITE, (GLOTTAL,), _ESPEAK, size=396), disguised=True)
#: Half of those who are never off the note are imagined.
_TUNED = Cast(_evenly(_FLITE, (GLOTTAL,), (GLOTTAL,), _ESPEAK, size=400), disguised=True, tuned=True)
_CZECH = Cast(tuple(Voice("festival", f"czech_{name}") for name in ("dita", "machac", "krb")))
_FAR = Cast(
    tuple(Voice("festival", name) for name in ("suo_fi_lj_diphone", "lp_diphone", "msu_ru_nsh_clunits"))
)

#: The songs of `data/`: fonts under the MIT licence, voices under licences that leave their output free.
DEMO = Palette(
    _FREE_FONTS[:2],
    _FREE_FONTS[:2],
    Cast((Voice("espeak", "en-us+f2"), *_flite("rms", "awb"))),
    synthetic=True,
)

_SETS: dict[str, Palette] = {
    "train": Palette(_FREE_FONTS, _FREE_FONTS, _HEARD, synthetic=True),
    "varied": Palette(_FREE_FONTS, _FREE_FONTS, _HEARD, synthetic=True, varied=True),
    "wide": Palette(
        (*_FREE_FONTS, FREEPATS), (*_FREE_FONTS, FREEPATS), _HEARD, synthetic=True, varied=True,
        hits=(*oneshots.KITS, oneshots.SONIC_PI), mixed_kits=0.5, any_bass=0.25, oscillating_bass=0.3,
        oscillating=0.2,
    ),
    # Checkpoints are chosen by voices of an engine that training never heard.
    "choose": Palette(_FREE_FONTS, _FREE_FONTS, _CZECH, synthetic=True),
    # The test: other instruments, and voices of engines that training heard, or never heard.
    "near": Palette(
        _UNHEARD_FONTS, _UNHEARD_DRUMS,
        Cast(_evenly(_espeak(_HELD_OUT_LANGUAGES, _ESPEAK_VARIANTS[:13]), _flite("slt"))), synthetic=False,
    ),
    "far": Palette(_UNHEARD_FONTS, _UNHEARD_DRUMS, _FAR, synthetic=False),
}  # fmt: skip

#: The test sets.
UNHEARD = ("near", "far")


def recast_of(name: str) -> str:
    """The name of the same songs with other vocals: the melody sung by voices that training heard."""
    return f"{name}-recast"


_CASTS = {
    "cast": replace(_SETS["wide"], recast=(_DISGUISED, _DISGUISED, _DISGUISED, _TUNED)),
    "imagined": replace(_SETS["wide"], recast=(_DISGUISED, _TUNED), imagined=0.35),
    "shells": replace(_SETS["wide"], recast=(_DISGUISED, _TUNED), imagined=0.35, imagined_kits=0.6),
}
_RECASTS = {recast_of(name): replace(_SETS[name], recast=(_HEARD,)) for name in UNHEARD}
PALETTES = _SETS | _CASTS | _RECASTS
