"""A model is a row of one table: the stems it makes, in the order its network gives them."""

from collections.abc import Iterable

from msaas.errors import UnknownModel, UnknownStem

FOUR_STEMS = ("drums", "bass", "other", "vocals")
SIX_STEMS = (*FOUR_STEMS, "guitar", "piano")

STARTER = "starter"
DEFAULT_MODEL = "htdemucs"

MODELS: dict[str, tuple[str, ...]] = {
    "htdemucs": FOUR_STEMS,
    "htdemucs_ft": FOUR_STEMS,
    "htdemucs_6s": SIX_STEMS,
    "hdemucs_mmi": FOUR_STEMS,
    "mdx": FOUR_STEMS,
    "mdx_extra": FOUR_STEMS,
    STARTER: FOUR_STEMS,
}

#: Clients ask for the bass as `base`, too.
_ALIASES = {"base": "bass"}


def parse_model(name: str) -> str:
    """Return `name` if it is a model of the table.

    Raises:
        UnknownModel: listing the models there are. A free name would be code execution: demucs
            loads any hub repository, whose metadata names the class to call.
    """
    if name not in MODELS:
        raise UnknownModel(f"{name[:64]!r} is not one of {', '.join(MODELS)}.")
    return name


def parse_stem(name: str, *, stems: Iterable[str] = SIX_STEMS) -> str:
    """Return the stem that `name` means, `base` being the bass.

    Raises:
        UnknownStem: listing the stems there are.
    """
    stem = _ALIASES.get(name, name)
    if stem not in stems:
        raise UnknownStem(f"{name[:64]!r} is not one of {', '.join(stems)}.")
    return stem
