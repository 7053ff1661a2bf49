"""Palettes: the soundfonts and voices of each set of songs. Test sets share none with the training sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from msaas_training import oneshots
from msaas_training.speech import Voice
from msaas_training.vocals import FORMANT_VOICE, SingerPool

#: General MIDI programs, from 0. Sampled choirs are left out: they are neither vocals nor instruments.
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


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Instruments and voices of a set of songs.

    `synthetic` allows oscillators and the drum machine. `varied` varies the sound of all instruments. With
    `takes`, the vocals are replaced by one take from each of those pools.
    """

    fonts: tuple[str, ...]
    drum_fonts: tuple[str, ...]
    singers: SingerPool
    synthetic: bool
    takes: tuple[SingerPool, ...] = ()
    varied: bool = False
    #: Folders of one-shot samples, and the probability of a kit from the drum machine with samples.
    one_shots: tuple[Path, ...] = oneshots.KITS
    mixed_kits: float = 0.4
    #: Probability that a bass line without an oscillator uses any instrument.
    any_bass: float = 0.0
    #: Probability of an oscillator for the bass and for other parts.
    oscillator_bass: float = 0.45
    oscillators: float = 0.3
    #: Probability of an additive instrument for a part.
    additive: float = 0.0
    #: Probability of a modal kit for the drums.
    modal_kits: float = 0.0

    @property
    def voices(self) -> tuple[Voice, ...]:
        """All voices in the finished songs."""
        return tuple(voice for pool in self.pools for voice in pool.voices)

    @property
    def pools(self) -> tuple[SingerPool, ...]:
        """The singer pools of the finished songs, one for each take."""
        return self.takes or (self.singers,)


def _espeak(languages: tuple[str, ...], variants: tuple[str, ...]) -> tuple[Voice, ...]:
    return tuple(Voice("espeak", language + variant) for language in languages for variant in variants)


def _flite(*names: str) -> tuple[Voice, ...]:
    return tuple(Voice("flite", name) for name in names)


def _interleave(*families: tuple[Voice, ...], size: int = 240) -> tuple[Voice, ...]:
    """Return a list in which all families are equally frequent, independent of their size."""
    return tuple(family[i % len(family)] for i in range(size // len(families)) for family in families)


_FREE_FONTS = ("sf2/FluidR3_GM.sf2", "sf2/MuseScore_General_Full.sf2", "sf2/sf_GMbank.sf2")
#: Selects `TimidityPlayer` instead of FluidSynth.
FREEPATS = "freepats"
_TEST_FONTS = ("sf2/TimGM6mb.sf2",)
_TEST_DRUM_FONTS = ("sf2/TimGM6mb.sf2", "sf2/Red_Zeppelin_4_LV2.sf2")
_TRAINING_VOICES = _interleave(
    _espeak(_ESPEAK_LANGUAGES, _ESPEAK_VARIANTS)[::7], _espeak(_ESPEAK_LANGUAGES, _ESPEAK_VARIANTS)[3::7],
    _flite("rms", "awb", "kal", "kal16"), (FORMANT_VOICE,),
    size=400,
)  # fmt: skip
_TRAINING_SINGERS = SingerPool(_TRAINING_VOICES)
#: `kal` is `kal16` at half the sample rate, so it is half as frequent.
_FLITE = _flite("rms", "awb", "kal16", "rms", "awb", "kal16", "kal")
#: Every language and every variant, in some of the combinations (7 and 20 are coprime).
_ESPEAK = _espeak(_ESPEAK_LANGUAGES, _ESPEAK_VARIANTS)[::7]
#: A third each of flite, formant and espeak-ng voices, all converted.
_CONVERTED = SingerPool(_interleave(_FLITE, (FORMANT_VOICE,), _ESPEAK, size=396), converted=True)
#: Half of the pitch-corrected voices are formant voices.
_TUNED = SingerPool(
    _interleave(_FLITE, (FORMANT_VOICE,), (FORMANT_VOICE,), _ESPEAK, size=400), converted=True, tuned=True
)
_CZECH_SINGERS = SingerPool(tuple(Voice("festival", f"czech_{name}") for name in ("dita", "machac", "krb")))
_NEAR_SINGERS = SingerPool(_interleave(_espeak(_HELD_OUT_LANGUAGES, _ESPEAK_VARIANTS[:13]), _flite("slt")))
_FAR_SINGERS = SingerPool(
    tuple(Voice("festival", name) for name in ("suo_fi_lj_diphone", "lp_diphone", "msu_ru_nsh_clunits"))
)

#: The demo songs in `data/`: MIT-licensed fonts, and voices with licences that leave their output free.
DEMO = Palette(
    fonts=_FREE_FONTS[:2],
    drum_fonts=_FREE_FONTS[:2],
    singers=SingerPool((Voice("espeak", "en-us+f2"), *_flite("rms", "awb"))),
    synthetic=True,
)

_SETS: dict[str, Palette] = {
    "train": Palette(fonts=_FREE_FONTS, drum_fonts=_FREE_FONTS, singers=_TRAINING_SINGERS, synthetic=True),
    "varied": Palette(
        fonts=_FREE_FONTS, drum_fonts=_FREE_FONTS, singers=_TRAINING_SINGERS, synthetic=True, varied=True,
    ),
    "wide": Palette(
        fonts=(*_FREE_FONTS, FREEPATS), drum_fonts=(*_FREE_FONTS, FREEPATS), singers=_TRAINING_SINGERS,
        synthetic=True, varied=True,
        one_shots=(*oneshots.KITS, oneshots.SONIC_PI), mixed_kits=0.5, any_bass=0.25, oscillator_bass=0.3,
        oscillators=0.2,
    ),
    # Validation songs for the choice of checkpoints: voices of an engine that no training set uses.
    "choose": Palette(fonts=_FREE_FONTS, drum_fonts=_FREE_FONTS, singers=_CZECH_SINGERS, synthetic=True),
    # Test songs: other soundfonts, and unseen voices of seen (`near`) or unseen (`far`) engines.
    "near": Palette(
        fonts=_TEST_FONTS, drum_fonts=_TEST_DRUM_FONTS, singers=_NEAR_SINGERS, synthetic=False,
    ),
    "far": Palette(fonts=_TEST_FONTS, drum_fonts=_TEST_DRUM_FONTS, singers=_FAR_SINGERS, synthetic=False),
}  # fmt: skip

#: The test sets.
HELD_OUT = ("near", "far")


def recast_name(name: str) -> str:
    """Return the name of the set with the same songs and vocals by training voices."""
    return f"{name}-recast"


_CONVERTED_SETS = {
    "cast": replace(_SETS["wide"], takes=(_CONVERTED, _CONVERTED, _CONVERTED, _TUNED)),
    "imagined": replace(_SETS["wide"], takes=(_CONVERTED, _TUNED), additive=0.35),
    "shells": replace(_SETS["wide"], takes=(_CONVERTED, _TUNED), additive=0.35, modal_kits=0.6),
}
_RECASTS = {recast_name(name): replace(_SETS[name], takes=(_TRAINING_SINGERS,)) for name in HELD_OUT}
PALETTES = _SETS | _CONVERTED_SETS | _RECASTS
