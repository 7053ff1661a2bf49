"""The options of a recipe reach the separator."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from worker.tests.songs import song_mp3

from msaas.models import FOUR_STEMS
from msaas.recipe import Recipe
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.audio.decoded import Audio, DecodedSong
from msaas_worker.separation import separate_song
from tests.unattended import MemorySink

pytestmark = pytest.mark.process


class Noted(Exception):
    """The arguments are noted, and the song need not be separated."""


@dataclass
class NotingSeparator:
    """Implements `Separator`. It notes the arguments of `separate` and ends the attempt."""

    model: str = "htdemucs"
    weights_sha256: str = ""
    engine: str = ""
    device: str = "cpu"
    arguments: dict[str, Any] = field(default_factory=dict)

    def computed_with(self, stems: tuple[str, ...]) -> tuple[str, ...]:
        return stems

    def separate(self, song: DecodedSong, **arguments: Any) -> Iterator[Audio]:
        self.arguments = {name: value for name, value in arguments.items() if name != "on_progress"}
        raise Noted


@pytest.mark.parametrize(
    ("recipe", "arguments"),
    [
        (Recipe(), {"stems": FOUR_STEMS, "overlap": 0.25, "shifts": 0}),
        (Recipe(overlap=0.5, shifts=2), {"stems": FOUR_STEMS, "overlap": 0.5, "shifts": 2}),
        (Recipe(stems=("bass",)), {"stems": ("bass",), "overlap": 0.25, "shifts": 0}),
        (Recipe(two_stems="vocals"), {"stems": ("vocals",), "overlap": 0.25, "shifts": 0}),
    ],
    ids=["default", "overlap and shifts", "stems", "two stems"],
)
def test_options_of_the_recipe_reach_the_separator(
    recipe: Recipe, arguments: dict[str, Any], tmp_path: Path
) -> None:
    song, separator = tmp_path / "song.mp3", NotingSeparator()
    song.write_bytes(song_mp3(1))
    with pytest.raises(Noted):
        separate_song(song, recipe, separator, MemorySink(), UnattendedAttempt(), max_duration_s=60)
    assert separator.arguments == arguments
