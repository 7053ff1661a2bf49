"""Manifests: their JSON, their tolerance, and the recipes they answer."""

import json

import pytest

from common.tests.goldens import golden
from msaas.errors import UnknownStem
from msaas.manifest import Manifest, StemFile
from msaas.models import FOUR_STEMS
from msaas.recipe import Recipe

SONG = "a" * 64
MANIFEST = Manifest(
    job_id=SONG,
    model="htdemucs",
    weights_sha256="d" * 64,
    engine="demucs 4.1.0",
    samples=30 * 44100,
    samplerate=44100,
    stems={
        "drums": StemFile(f"{SONG}-drums.mp3", 1_200_001, "c" * 64),
        "bass": StemFile(f"{SONG}-bass.mp3", 1_200_000, "b" * 64),
    },
)
WHOLE = Manifest(
    **{**vars(MANIFEST), "stems": {stem: StemFile(f"{SONG}-{stem}.mp3", 1, "c" * 64) for stem in FOUR_STEMS}}
)


def with_json(**fields: object) -> bytes:
    return json.dumps({**json.loads(WHOLE.encode()), **fields}).encode()


def test_manifest_has_its_golden_json() -> None:
    assert MANIFEST.encode().decode() == golden("manifest.json")
    assert Manifest.decode(golden("manifest.json").encode()) == MANIFEST


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"null", b"[]", b"{}", b'{"stems": 1}', b'{"stems": {"bass": 1}}', b'{"stems": {}}', b"\xff"],
)
def test_other_text_is_not_a_manifest(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the one error it may raise
        Manifest.decode(text)


def newer_manifest() -> bytes:
    stems = json.loads(WHOLE.encode())["stems"]
    return with_json(sample_count=1, stems={name: {**entry, "codec": "x"} for name, entry in stems.items()})


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert Manifest.decode(newer_manifest()) == WHOLE


def test_edit_keeps_fields_of_a_newer_version() -> None:
    before, after = json.loads(newer_manifest()), Manifest.decode(newer_manifest()).without("bass").encode()
    del before["stems"]["bass"]
    assert json.loads(after) == before


def test_manifest_answers_the_recipe_and_model_it_was_made_with() -> None:
    assert WHOLE.answers(Recipe(), model="htdemucs")
    assert not WHOLE.answers(Recipe(), model="starter")
    assert not WHOLE.answers(Recipe(model="mdx"), model="mdx")
    assert not WHOLE.answers(Recipe(model="mdx"), model="htdemucs")


@pytest.mark.parametrize("options", [{}, {"model": "htdemucs"}])
@pytest.mark.parametrize("recipe", [Recipe(), Recipe(model="htdemucs")])
def test_option_that_names_the_model_that_ran_makes_no_difference(
    options: dict[str, str], recipe: Recipe
) -> None:
    assert Manifest.decode(with_json(options=options)).answers(recipe, model="htdemucs")


def test_manifest_without_a_stem_answers_no_recipe() -> None:
    assert not WHOLE.without("bass").answers(Recipe(), model="htdemucs")


def test_result_with_options_of_a_newer_version_answers_no_known_recipe() -> None:
    newer = Manifest.decode(with_json(options={"format": "flac", "bits": 24}))
    assert not newer.answers(Recipe(), model="htdemucs")


def test_removing_a_missing_stem_fails() -> None:
    with pytest.raises(UnknownStem, match=f"Job {SONG} has no stem 'piano'"):
        MANIFEST.without("piano")
