"""The format of the stems of one song, from its recipe and from its sample rate and length."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from msaas.formats import FORMATS
from msaas.recipe import CLAMP, SOURCE_RATE, Recipe
from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE, Audio, DecodedSong
from msaas_worker.audio.resampling import Resampler, rescale

_HIGH_SAMPLERATE = 48_000
#: Of layer III in MPEG-1. AAC has more, but 256 kbit/s have no use for them.
_LOSSY_RATES = (32_000, SAMPLERATE, _HIGH_SAMPLERATE)
#: A FLAC header holds larger rates in units of 10 Hz.
_MAX_ODD_FLAC_RATE = 65_535

#: Whether a format has a sample rate. The others have every rate.
_HAS_RATE: dict[str, Callable[[int], bool]] = {
    "mp3": lambda rate_hz: rate_hz in _LOSSY_RATES,
    "m4a": lambda rate_hz: rate_hz in _LOSSY_RATES,
    "opus": lambda rate_hz: rate_hz == _HIGH_SAMPLERATE,
    "flac": lambda rate_hz: rate_hz <= _MAX_ODD_FLAC_RATE or not rate_hz % 10,
}


@dataclass(frozen=True, kw_only=True)
class StemFormat:
    """Each stem has `samples` samples at `rate_hz`. `bit_rate` is in kbit/s, 0 if the format has none.

    The rate is 44.1 kHz, or that of the song if the recipe asks for it. MP3 and M4A have 32, 44.1 and
    48 kHz only: a song of another rate has stems of 48 kHz if its rate is higher than 44.1 kHz, and of
    44.1 kHz if it is lower. Opus has 48 kHz only.
    """

    name: str
    samples: int
    rate_hz: int = SAMPLERATE
    bit_rate: int = 0
    bits: str = ""
    clip: str = CLAMP

    @classmethod
    def of(cls, recipe: Recipe, song: DecodedSong) -> Self:
        rate_hz = _choose_rate(recipe, song)
        return cls(
            name=recipe.format,
            samples=_samples_at(song, rate_hz),
            rate_hz=rate_hz,
            bit_rate=recipe.format_bit_rate,
            bits=recipe.format_bits,
            # The stems of an exact sum are within full scale, and must keep their level.
            clip=CLAMP if recipe.exact_sum else recipe.clip,
        )

    @property
    def extension(self) -> str:
        return FORMATS[self.name].extension


def _choose_rate(recipe: Recipe, song: DecodedSong) -> int:
    wanted = song.source_hz if recipe.sample_rate == SOURCE_RATE else SAMPLERATE
    has_rate = _HAS_RATE.get(recipe.format, _has_every_rate)
    replacement = _HIGH_SAMPLERATE if wanted > SAMPLERATE else SAMPLERATE
    return next(rate for rate in (wanted, replacement, _HIGH_SAMPLERATE) if has_rate(rate))


def _has_every_rate(rate_hz: int) -> bool:
    return rate_hz > 0


def _samples_at(song: DecodedSong, rate_hz: int) -> int:
    """Return the length of the song at this rate: its own length if this is the song's own rate."""
    samples = rescale(song.samples, SAMPLERATE, rate_hz)
    # Parts of a file can have other rates. Then the file has no length of its own.
    is_own = rate_hz == song.source_hz and abs(song.source_samples - samples) <= _rounding(rate_hz)
    return song.source_samples if is_own else samples


def _rounding(rate_hz: int) -> float:
    """Return the difference, in samples, that rounding makes on the way to 44.1 kHz and back."""
    return 0 if rate_hz == SAMPLERATE else 1 + rate_hz / SAMPLERATE


class StemResampler:
    """Resamples blocks `[2, n]` of a stem from 44.1 kHz. The result has exactly the length of the format."""

    def __init__(self, form: StemFormat) -> None:
        self._form = form
        self._resampler = Resampler(SAMPLERATE, form.rate_hz, channels=CHANNELS)
        self._samples = 0

    def feed(self, block: Audio) -> Audio:
        return self._cut(self._resampler.feed(block))

    def flush(self) -> Audio:
        """Return the last samples. Raises `ValueError` if the stem is longer or shorter than the format."""
        rest = self._cut(self._resampler.flush())
        missing = self._form.samples - self._samples
        if abs(missing) > _rounding(self._form.rate_hz):
            raise ValueError(f"A stem has {self._samples} samples, its song {self._form.samples}.")
        return np.pad(rest, ((0, 0), (0, max(0, missing))))

    def _cut(self, block: Audio) -> Audio:
        left = max(0, self._form.samples - self._samples)
        self._samples += block.shape[-1]
        return block[:, :left]
