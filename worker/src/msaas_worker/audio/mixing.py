"""From the separated stems to those of the result: complements, and sums that are exact to the last bit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from msaas.recipe import Recipe
from msaas_worker.audio.decoded import Audio, DecodedSong
from msaas_worker.audio.quantisation import dequantise, limit, quantise


def choose(regions: Iterator[Audio], stems: tuple[str, ...], *, among: tuple[str, ...]) -> Iterator[Audio]:
    """Yield the rows of `stems` of the regions `[among, 2, n]`."""
    rows = [among.index(stem) for stem in stems]
    yield from regions if stems == among else (region[rows] for region in regions)


@dataclass(frozen=True)
class Mixdown:
    """The way from the stems of the model to those of the result.

    `mix` gets the regions `[separated, 2, n]` and the song, and yields regions `[outputs, 2, n]`.
    """

    separated: tuple[str, ...]
    outputs: tuple[str, ...]
    mix: Callable[[Iterator[Audio], DecodedSong], Iterator[Audio]]

    @classmethod
    def of(cls, recipe: Recipe, *, model: str) -> Self:
        """Return the mixdown of a recipe. Raises `UnknownStem`."""
        return cls(
            separated=recipe.separated(model=model),
            outputs=recipe.outputs(model=model),
            mix=partial(_mix, recipe),
        )


def _mix(recipe: Recipe, regions: Iterator[Audio], song: DecodedSong) -> Iterator[Audio]:
    """Yield the regions `[stems of the result, 2, n]` of the separated regions `[separated stems, 2, n]`."""
    if not recipe.two_stems and not recipe.exact_sum:
        yield from regions
        return
    for region, part in _with_song(regions, song):
        stems = with_complement(region, part) if recipe.two_stems else region
        yield make_exact(stems, part, bits=int(recipe.format_bits)) if recipe.exact_sum else stems


def _with_song(regions: Iterator[Audio], song: DecodedSong) -> Iterator[tuple[Audio, Audio]]:
    """Yield each region with the same part of the song."""
    start = 0
    for region in regions:
        stop = start + region.shape[-1]
        yield region, song.read(start, stop)
        start = stop


def with_complement(stem: Audio, song: Audio) -> Audio:
    """Return the stem `[1, 2, n]` and the rest of the song `[2, n]`."""
    return np.concatenate([stem, song - stem])


def make_exact(stems: Audio, song: Audio, *, bits: int) -> Audio:
    """Return stems `[stems, 2, n]` of integer samples that add up to the integer samples of the song.

    The last stem takes the difference, as far as its range allows. The stem before it takes the rest, and so
    on. The song is within the same range, so nothing is left over. The integers are those of `quantise`, as
    floats, which hold 24 bits exactly.
    """
    integers = quantise(stems, bits)
    missing = quantise(song, bits) - integers.sum(axis=0)
    for stem in reversed(integers):
        wanted = stem + missing
        stem[:] = limit(wanted, bits)
        missing = wanted - stem
    return dequantise(integers, bits)
