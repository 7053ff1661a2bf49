"""Recipes: parsing, canonical form, variant ids, and their way through jobs and manifests."""

import json

import pytest

from msaas.errors import UnknownFormat, UnknownModel, UnknownOption
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
@pytest.mark.parametrize("name", ["stems", "model", "format"])
def test_empty_options_are_ignored(name: str, value: object) -> None:
    assert Recipe.parse({name: value}) == Recipe()
    assert Job.decode(json.dumps({"songhash": SONG, name: value}).encode()).recipe() == Recipe()


@pytest.mark.parametrize("name", ["bits", "Model", "mp3", "x" * 1000])
def test_unknown_option_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownOption, match="Known options: model, format") as refused:
        Recipe.parse({name: "24"})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", ["someone/model", 7, ["mdx"], {"name": "mdx"}, True])
def test_unknown_model_is_refused(value: object) -> None:
    with pytest.raises(UnknownModel):
        Recipe.parse({"model": value})


@pytest.mark.parametrize("value", ["flac", "MP3", 3])
def test_unknown_format_is_refused(value: object) -> None:
    with pytest.raises(UnknownFormat):
        Recipe.parse({"format": value})


def test_stems_are_those_of_the_model_that_runs() -> None:
    assert Recipe(model="htdemucs_6s").stems(model="htdemucs_6s") == SIX_STEMS
    assert Recipe(model="htdemucs_6s").stems(model="starter") == FOUR_STEMS


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
