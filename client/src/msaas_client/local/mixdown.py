"""The results of `--two-stems`, as demucs makes them with its flag `--other-method`."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from msaas.models import MODELS, complement
from msaas.recipe import Recipe
from msaas_worker.audio.decoded import Audio, DecodedSong
from msaas_worker.audio.mixing import Mixdown


def mixdown_of(recipe: Recipe, *, model: str, other_method: str) -> Mixdown:
    """Return the mixdown of a recipe. Raises `UnknownStem`.

    `other_method` is `add`, `minus` or `none`. An exact sum needs the complement of the recipe.
    """
    mixdown = Mixdown.of(recipe, model=model)
    if recipe.two_stems is None or recipe.exact_sum:
        return mixdown
    match other_method:
        case "minus":
            return replace(mixdown, outputs=(recipe.two_stems, f"minus_{recipe.two_stems}"))
        case "none":
            return replace(mixdown, outputs=mixdown.separated, mix=lambda regions, _: regions)
    every = MODELS[model].stems
    return Mixdown(
        separated=every,
        outputs=(recipe.two_stems, complement(recipe.two_stems)),
        mix=partial(_add_others, every.index(recipe.two_stems)),
    )


def _add_others(row: int, regions: Iterator[Audio], _song: DecodedSong) -> Iterator[Audio]:
    """Yield the stem in this row, and the sum of all others."""
    for region in regions:
        others = np.delete(region, row, axis=0).sum(axis=0)
        yield np.stack([region[row], others])
