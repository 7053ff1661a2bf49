"""Message of the analysis of a song.

An external worker may send one. `FailFast` bounds the errors of a long list, of which each takes memory.
"""

from typing import Annotated

from pydantic import FailFast, Field

from msaas_rest.openapi.messages.base import Message

_Confidence = Annotated[float, Field(ge=0, le=1, description="How likely it is right")]


class Loudness(Message):
    """Loudness of the whole song. None for silence."""

    integrated_lufs: Annotated[float | None, Field(description="By BS.1770, with gates")]
    sample_peak_dbfs: Annotated[float | None, Field(description="The highest sample")]


class Key(Message):
    """A key such as `A minor`."""

    name: str
    confidence: _Confidence


class KeyWithAlternatives(Key):
    """The most likely key, and the next ones."""

    alternatives: Annotated[list[Key], FailFast()]


class Tempo(Message):
    """A tempo in beats per minute."""

    bpm: float
    confidence: _Confidence


class TempoWithAlternatives(Tempo):
    """The most likely tempo, and the next ones."""

    alternatives: Annotated[list[Tempo], FailFast()]


class Bars(Message):
    """Each bar begins with beat `first_downbeat`, or a multiple of `beats_per_bar` after it."""

    beats_per_bar: int
    first_downbeat: Annotated[int, Field(ge=0, description="Index among the beats")]
    confidence: _Confidence


class Beats(Message):
    """The beats of the song, in seconds from its start."""

    times_s: Annotated[list[float], FailFast()]
    confidence: _Confidence
    bars: Bars | None


class Analysis(Message):
    """Facts about a song. What is not certain enough to be of use is None."""

    version: int
    duration_s: float
    loudness: Loudness
    key: Annotated[KeyWithAlternatives | None, Field(description="Of bass and other")]
    tempo: Annotated[TempoWithAlternatives | None, Field(description="Of the drums")]
    beats: Annotated[Beats | None, Field(description="Of the drums")]
