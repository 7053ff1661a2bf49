"""Recipes: parsing, canonical form, variant ids, and their way through jobs and manifests."""

import json

import pytest

from msaas.errors import InvalidOption, MsaasError, UnknownFormat, UnknownModel, UnknownOption, UnknownStem
from msaas.jobs import Job
from msaas.models import FOUR_STEMS, SIX_STEMS
from msaas.recipe import Recipe

SONG = "a" * 64
#: Ids that clients have stored: they must never change.
VARIANTS = {
    "htdemucs_ft": "71f4707abfd9",
    "htdemucs_6s": "75847ec9b6e5",
    "mdx_extra": "726ede2b4425",
}
#: Those of further options.
OPTION_VARIANTS = {
    '{"format":"flac"}': "cc408b9b8ac0",
    '{"two_stems":"vocals"}': "3afb02ca1395",
    '{"exact_sum":true,"format":"wav"}': "45ec242d192d",
    '{"format":"opus","stems":["drums","vocals"]}': "2e91b4b547e0",
    '{"overlap":0.5,"shifts":2}': "97342930ddf8",
}


def test_default_recipe_has_the_id_of_the_song() -> None:
    assert Recipe.parse({}).job_id(SONG) == SONG
    assert Recipe.parse({"model": "htdemucs"}, default_model="htdemucs") == Recipe()
    assert Recipe.parse({"format": "mp3", "model": None}) == Recipe()


@pytest.mark.parametrize(("alias", "model"), [("mdx_extra_q", "mdx_extra"), ("mdx_q", "mdx")])
def test_names_of_earlier_systems_mean_the_model_that_runs(alias: str, model: str) -> None:
    assert Recipe.parse({"model": alias}) == Recipe(model=model)
    assert Recipe.parse({"model": alias}).job_id(SONG) == Recipe(model=model).job_id(SONG)


def test_canonical_json_does_not_depend_on_the_order_of_options() -> None:
    one = Recipe.parse({"model": "mdx", "format": "mp3"})
    other = Recipe.parse({"format": "mp3", "model": "mdx"})
    assert one.canonical_json() == other.canonical_json() == '{"model":"mdx"}'


def test_options_are_read_back() -> None:
    recipe = Recipe(model="htdemucs_6s")
    assert Recipe.parse(recipe.options()) == recipe
    assert Recipe.parse(json.loads(recipe.canonical_json())) == recipe


@pytest.mark.parametrize("value", [None, "", []])
@pytest.mark.parametrize("name", ["stems", "model", "format", "bits", "shifts", "exact_sum"])
def test_empty_options_are_ignored(name: str, value: object) -> None:
    assert Recipe.parse({name: value}) == Recipe()
    assert Job.decode(json.dumps({"songhash": SONG, name: value}).encode()).recipe() == Recipe()


@pytest.mark.parametrize("name", ["bit", "Model", "mp3", "x" * 1000])
def test_unknown_option_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownOption, match="Known options: model, stems, two_stems, format") as refused:
        Recipe.parse({name: "24"})
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("value", ["someone/model", 7])
def test_unknown_model_is_refused(value: object) -> None:
    with pytest.raises(UnknownModel):
        Recipe.parse({"model": value})


@pytest.mark.parametrize("value", ["aac", "MP3", 3])
def test_unknown_format_is_refused(value: object) -> None:
    with pytest.raises(UnknownFormat):
        Recipe.parse({"format": value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("model", value) for value in (["mdx"], {"name": "mdx"}, True, 1.5)],
        *[("stems", value) for value in (7, {"vocals": 1}, [["vocals"]], [None])],
        *[("bitrate", value) for value in (100, "100", "fast", "1e999", 320.5, True, 10**30)],
        *[("bits", value) for value in ("24", 24, "float")],
        *[("clip", value) for value in ("none", "soft", 1)],
        *[("sample_rate", value) for value in (48000, "48 kHz", 44100.5)],
        *[("exact_sum", value) for value in ("maybe", 2, 0.5, ["true"], True)],
        *[("overlap", value) for value in (-0.1, 0.8, "nan", "inf", [0.1])],
        *[("shifts", value) for value in (-1, 11, 1.5, "one")],
    ],
)
def test_invalid_value_of_an_option_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidOption) as refused:
        Recipe.parse({name: value})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"stems": "vocals", "two_stems": "vocals"}, InvalidOption),
        ({"format": "opus", "bitrate": 320}, InvalidOption),
        ({"format": "opus", "bits": 16}, InvalidOption),
        ({"format": "flac", "bitrate": 128}, InvalidOption),
        ({"format": "flac", "bits": "float"}, InvalidOption),
        ({"format": "wav", "bits": 24, "clip": "none"}, InvalidOption),
        ({"format": "wav", "bits": "float", "exact_sum": True}, InvalidOption),
        ({"format": "flac", "exact_sum": True, "stems": "vocals"}, InvalidOption),
        ({"format": "flac", "exact_sum": True, "clip": "clamp"}, InvalidOption),
        ({"format": "flac", "exact_sum": True, "sample_rate": "source"}, InvalidOption),
        ({"stems": "piano"}, UnknownStem),
        ({"stems": "vocals,no_vocals"}, UnknownStem),
        ({"two_stems": "piano", "model": "mdx"}, UnknownStem),
        ({"two_stems": "no_vocals"}, UnknownStem),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: dict[str, object], error: type[MsaasError]
) -> None:
    with pytest.raises(error):
        Recipe.parse(options, default_model="htdemucs")


@pytest.mark.parametrize(
    ("options", "recipe"),
    [
        ({"stems": "vocals, base"}, Recipe(stems=("bass", "vocals"))),
        ({"stems": ["vocals", "drums", "vocals"]}, Recipe(stems=("drums", "vocals"))),
        ({"two_stems": "base"}, Recipe(two_stems="bass")),
        ({"two_stems": "piano", "model": "htdemucs_6s"}, Recipe(two_stems="piano", model="htdemucs_6s")),
        ({"bitrate": "128"}, Recipe(bitrate=128)),
        ({"format": "flac", "bits": 16}, Recipe(format="flac", bits="16")),
        ({"format": "wav", "bits": "float", "clip": "none"}, Recipe(format="wav", bits="float", clip="none")),
        ({"format": "flac", "exact_sum": "true"}, Recipe(format="flac", exact_sum=True)),
        ({"sample_rate": "source"}, Recipe(sample_rate="source")),
        ({"overlap": "0.5", "shifts": "2"}, Recipe(overlap=0.5, shifts=2)),
        ({"overlap": 0}, Recipe(overlap=0.0)),
    ],
)
def test_options_may_be_texts_numbers_or_lists(options: dict[str, object], recipe: Recipe) -> None:
    parsed = Recipe.parse(options, default_model="htdemucs")
    assert parsed == recipe
    assert Recipe.parse(json.loads(parsed.canonical_json())) == recipe
    assert parsed.variant() == recipe.variant() != ""


@pytest.mark.parametrize(
    "options",
    [
        {"stems": "vocals,drums,bass,other"},
        {"bitrate": 320},
        {"clip": "rescale", "sample_rate": 44100, "exact_sum": False, "overlap": 0.25, "shifts": 0},
    ],
)
def test_named_defaults_are_the_default_recipe(options: dict[str, object]) -> None:
    assert Recipe.parse(options, default_model="htdemucs") == Recipe()


def test_default_of_a_format_has_the_id_of_the_format() -> None:
    assert Recipe.parse({"format": "flac", "bits": 24}) == Recipe.parse({"format": "flac"})
    assert Recipe.parse({"format": "opus", "bitrate": 160}) == Recipe.parse({"format": "opus"})


def test_stems_are_those_of_the_model_that_runs() -> None:
    assert Recipe(model="htdemucs_6s").outputs(model="htdemucs_6s") == SIX_STEMS
    assert Recipe(model="htdemucs_6s").outputs(model="starter") == FOUR_STEMS


def test_two_stems_separate_one_stem_and_have_its_complement() -> None:
    recipe = Recipe(two_stems="vocals")
    assert recipe.separated(model="htdemucs") == ("vocals",)
    assert recipe.outputs(model="htdemucs") == ("vocals", "no_vocals")


def test_model_without_a_requested_stem_is_refused() -> None:
    for recipe in (Recipe(stems=("guitar", "vocals")), Recipe(two_stems="guitar")):
        with pytest.raises(UnknownStem, match="Model starter has no stem 'guitar'"):
            recipe.outputs(model="starter")


def test_subset_of_stems_is_in_the_order_of_the_model() -> None:
    recipe = Recipe(stems=("drums", "vocals"))
    assert recipe.separated(model="htdemucs") == recipe.outputs(model="htdemucs") == ("drums", "vocals")


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(model="mdx")])
def test_recipe_travels_in_the_job(recipe: Recipe) -> None:
    job = Job.of(recipe.job_id(SONG), recipe)
    assert Job.decode(job.encode()).recipe() == recipe


def test_job_with_an_unknown_option_is_not_read_as_a_default_job() -> None:
    job = Job.decode(json.dumps({"songhash": SONG, "format_version": 2}).encode())
    with pytest.raises(UnknownOption, match="format_version"):
        job.recipe()


def test_job_whose_id_names_other_options_is_not_read_as_a_default_job() -> None:
    job = Job.decode(f'{{"songhash": "{SONG}.0123456789ab"}}'.encode())
    with pytest.raises(UnknownOption, match="0123456789ab"):
        job.recipe()


def test_default_model_of_a_job_without_a_variant_is_not_an_option() -> None:
    named = Job(job_id=SONG, options={"model": "htdemucs"})
    assert named.recipe(default_model="htdemucs") == Recipe()
    assert named.recipe(default_model="mdx") == Recipe(model="htdemucs")


def test_variant_keeps_the_model_that_is_the_default_of_this_worker() -> None:
    recipe = Recipe(model="mdx")
    assert Job.of(recipe.job_id(SONG), recipe).recipe(default_model="mdx") == recipe


@pytest.mark.parametrize("model", VARIANTS)
def test_variant_ids_never_change(model: str) -> None:
    assert Recipe(model=model).variant() == VARIANTS[model]


@pytest.mark.parametrize("text", OPTION_VARIANTS)
def test_variant_ids_of_options_never_change(text: str) -> None:
    recipe = Recipe.parse(json.loads(text))
    assert recipe.canonical_json() == text
    assert recipe.variant() == OPTION_VARIANTS[text]
