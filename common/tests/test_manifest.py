import pytest

from common.tests.goldens import golden
from msaas.errors import UnknownStem
from msaas.manifest import Manifest, StemFile

SONG = "a" * 64
MANIFEST = Manifest(
    SONG,
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


def test_a_manifest_is_this_text() -> None:
    assert MANIFEST.encode().decode() == golden("manifest.json")
    assert Manifest.decode(golden("manifest.json").encode()) == MANIFEST


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"null", b"[]", b"{}", b'{"stems": 1}', b'{"stems": {"bass": 1}}', b'{"stems": {}}', b"\xff"],
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the one error it may raise
        Manifest.decode(text)


def test_a_manifest_with_a_field_too_many_is_refused() -> None:
    text = MANIFEST.encode().replace(b'"samples"', b'"sample_count": 1, "samples"')
    with pytest.raises(ValueError, match="not a manifest"):
        Manifest.decode(text)


def test_a_manifest_answers_only_what_it_holds() -> None:
    assert MANIFEST.answers(model="htdemucs", stems=("drums", "bass"))
    assert not MANIFEST.answers(model="starter", stems=("drums", "bass"))
    assert not MANIFEST.answers(model="htdemucs", stems=("drums", "bass", "vocals"))
    assert not MANIFEST.without("bass").answers(model="htdemucs", stems=("drums", "bass"))


def test_a_stem_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(UnknownStem):
        MANIFEST.without("piano")
