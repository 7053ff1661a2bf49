"""Models: one row each, with the stems in the order of the network's outputs."""

from collections.abc import Iterable
from dataclasses import dataclass

from msaas.errors import UnknownModel, UnknownStem

FOUR_STEMS = ("drums", "bass", "other", "vocals")
SIX_STEMS = (*FOUR_STEMS, "guitar", "piano")

STARTER = "starter"
DEFAULT_MODEL = "htdemucs"

#: The statements of the author of demucs about the published weights, which contradict each other.
_DEMUCS_WEIGHTS = (
    'contradictory: "not covered by the MIT license" (author, 2022 and 2023, demucs issues 327 and 508); '
    '"license: mit" on the hub card of htdemucs (2026-07)'
)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model a request can name.

    `family` selects the code that loads it. `samplerate`, in Hz, must be that of the weights.
    """

    name: str
    family: str
    stems: tuple[str, ...]
    code_license: str = "MIT"
    weights_license: str = _DEMUCS_WEIGHTS
    source: str
    samplerate: int = 44_100
    #: Of the file of weights, None if it is not published or there are several files.
    sha256: str | None = None
    size_bytes: int | None = None


def _demucs(name: str, repository: str, *, stems: tuple[str, ...] = FOUR_STEMS) -> Model:
    return Model(
        name=name,
        family="demucs",
        stems=stems,
        source=f"https://huggingface.co/adefossez/{repository}",
    )


_ROWS = (
    _demucs("htdemucs", "HTDemucs"),
    _demucs("htdemucs_ft", "HTDemucs-ft"),
    _demucs("htdemucs_6s", "HTDemucs-6s", stems=SIX_STEMS),
    _demucs("hdemucs_mmi", "Demucs-hdemucs_mmi"),
    _demucs("mdx", "Demucs-mdx"),
    _demucs("mdx_extra", "Demucs-mdx_extra"),
    Model(
        name=STARTER,
        family=STARTER,
        stems=FOUR_STEMS,
        weights_license="MIT",
        source="part of this package",
        sha256="c73c0ada60f35f6a0d513e53e86da0fcfc0fc65788250b7d2d45bb836f99fbd6",
        size_bytes=1_423_456,
    ),
)
MODELS: dict[str, Model] = {row.name: row for row in _ROWS}
#: Every stem of any model.
STEMS: tuple[str, ...] = tuple(dict.fromkeys(stem for row in _ROWS for stem in row.stems))

#: Begins the name of all that is not the stem behind it.
_COMPLEMENT = "no_"

#: Names of earlier systems: quantised copies of the same networks, which demucs no longer loads.
_MODEL_ALIASES = {"mdx_extra_q": "mdx_extra", "mdx_q": "mdx"}
#: Clients ask for the bass as `base`, too.
_STEM_ALIASES = {"base": "bass"}
#: Every name that a request may use for a model, for a stem, and for a stem or a complement.
MODEL_NAMES: tuple[str, ...] = (*MODELS, *_MODEL_ALIASES)
STEM_NAMES: tuple[str, ...] = (*STEMS, *_STEM_ALIASES)
PART_NAMES: tuple[str, ...] = (*STEM_NAMES, *(f"{_COMPLEMENT}{stem}" for stem in STEM_NAMES))


def parse_model(name: str) -> str:
    """Return the name in the table that `name` means.

    Raises:
        UnknownModel: listing the models of the table. A free name would be code execution: demucs
            loads any hub repository, whose metadata names the class to call.
    """
    model = _MODEL_ALIASES.get(name, name)
    if model not in MODELS:
        raise UnknownModel(f"Model {name[:64]!r} is unknown. Choose one of {', '.join(MODELS)}.")
    return model


def complement(stem: str) -> str:
    """Return the name of the song without `stem`, as demucs has it."""
    return f"{_COMPLEMENT}{stem}"


def parse_part(name: str) -> str:
    """Return the stem, or the complement of a stem, that `name` means.

    Raises:
        UnknownStem: listing the known stems.
    """
    if name.startswith(_COMPLEMENT):
        return complement(parse_stem(name.removeprefix(_COMPLEMENT)))
    return parse_stem(name)


def parse_stem(name: str, *, stems: Iterable[str] = STEMS) -> str:
    """Return the stem that `name` means; `base` is the bass.

    Raises:
        UnknownStem: listing the known stems.
    """
    stem = _STEM_ALIASES.get(name, name)
    if stem not in stems:
        raise UnknownStem(f"Stem {name[:64]!r} is unknown. Choose one of {', '.join(stems)}.")
    return stem
