"""The key of a song: the correlation of its pitch classes with profiles of the 24 keys."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TONICS = {
    "major": ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"),
    "minor": ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"),
}
#: How often each pitch class occurs in music in C major and in C minor: Albrecht and Shanahan, "The Use of
#: Large Corpora to Train a New Type of Key-Finding Algorithm", Music Perception 31 (2013).
_PROFILES = {
    "major": (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    "minor": (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
}
#: The weights of overtones that a tone adds to other pitch classes, by their distance in semitones: a fifth
#: by the third partial, a major third by the fifth.
_OVERTONES = {0: 1.0, 7: 0.3, 4: 0.2}
#: Turns differences of correlations into probabilities. Fitted to songs of `training`.
_SHARPNESS = 12.0
#: Of keys in the result beside the best one, if they are likely.
_ALTERNATIVES = 3
_LEAST_CONFIDENCE = 0.05


@dataclass(frozen=True)
class Key:
    """A key, and its probability among the 24 keys."""

    tonic: int
    mode: str
    confidence: float

    @property
    def name(self) -> str:
        return f"{_TONICS[self.mode][self.tonic]} {self.mode}"

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "confidence": round(self.confidence, 3)}


@dataclass(frozen=True)
class FoundKey:
    """The most likely key, and the next ones."""

    best: Key
    alternatives: tuple[Key, ...]

    def as_json(self) -> dict[str, Any]:
        others = [key.as_json() for key in self.alternatives]
        return {**self.best.as_json(), "alternatives": others}


def find_key(classes: NDArray[np.float64]) -> FoundKey | None:
    """Return the key of the weights `[12]` of the pitch classes, None if they are all equal."""
    spread = classes.std()
    if spread <= 1e-9 * classes.sum():
        return None
    scores = np.array([_correlations(np.sqrt(classes), profile) for profile in _PROFILES.values()])
    chances = np.exp(_SHARPNESS * (scores - scores.max()))
    chances /= chances.sum()
    order = np.argsort(chances, axis=None)[::-1]
    keys = [
        Key(int(index % 12), tuple(_PROFILES)[index // 12], float(chances.flat[index])) for index in order
    ]
    likely = [key for key in keys[1 : 1 + _ALTERNATIVES] if key.confidence >= _LEAST_CONFIDENCE]
    return FoundKey(keys[0], tuple(likely))


def _correlations(classes: NDArray[np.float64], profile: tuple[float, ...]) -> list[float]:
    """Return the correlation with the profile of tones with overtones, in each of the 12 keys."""
    sounding = sum(weight * np.roll(profile, distance) for distance, weight in _OVERTONES.items())
    return [float(np.corrcoef(classes, np.roll(sounding, tonic))[0, 1]) for tonic in range(12)]
