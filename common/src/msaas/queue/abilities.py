"""Abilities that workers announce: the models they run, and the programs they have."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

FFMPEG = "ffmpeg"


@dataclass(frozen=True)
class Abilities:
    """`models` has the model that a worker runs for each name. Names that it cannot serve are absent."""

    models: Mapping[str, str]
    programs: frozenset[str] = frozenset()

    def encode(self) -> str:
        return json.dumps({"models": dict(self.models), "programs": sorted(self.programs)}, sort_keys=True)

    @classmethod
    def decode(cls, text: str | bytes) -> Self:
        """Read the JSON of a neighbouring version. One of another form has no abilities."""
        try:
            found = json.loads(text)
            return cls(dict(found["models"]), frozenset(found["programs"]))
        except (ValueError, TypeError, KeyError):
            return cls({})


@dataclass(frozen=True)
class Fleet:
    """The live workers, or those that lived last if there are none."""

    workers: tuple[Abilities, ...]
    is_live: bool = True

    @classmethod
    def of(cls, announced: Mapping[str, Abilities], *, live: Collection[str]) -> Self:
        living = [abilities for worker, abilities in announced.items() if worker in live]
        return cls(tuple(living or announced.values()), is_live=bool(living))

    def stand_in(self, model: str) -> str | None:
        """Return the model that runs in place of `model`, None if a worker runs `model` itself."""
        running = {each.models[model] for each in self.workers if model in each.models}
        return min(running, default=None) if model not in running else None

    def runs(self, model: str) -> bool:
        """Return whether a live worker runs `model` itself."""
        return self.is_live and any(each.models.get(model) == model for each in self.workers)

    def lacks(self, program: str) -> bool:
        """Return whether it is known that no worker has the program."""
        return bool(self.workers) and not any(program in each.programs for each in self.workers)
