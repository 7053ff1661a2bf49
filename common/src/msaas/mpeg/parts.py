"""The length of each part of a file, without the delay and the padding of its encoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Self

from msaas.mpeg.headers import Stream
from msaas.mpeg.info import Info
from msaas.mpeg.walk import Frame, walk


@dataclass(slots=True)
class Part:
    """One of several joined files. `frames` counts the lost ones, too."""

    stream: Stream
    info: Info
    frames: int = 0

    @classmethod
    def of(cls, first: Frame) -> Self:
        return cls(first.header.stream, first.part or Info())

    def add(self, frame: Frame) -> None:
        self.frames += 1 + frame.lost

    @property
    def start(self) -> int:
        """Return the number of decoded samples before the song."""
        return self.info.start

    @property
    def end(self) -> int:
        """Return where the song ends, as if no frame followed. It may be before the start."""
        return self.info.end(frames=self.frames, samples=self.stream.samples)

    @property
    def seconds(self) -> float:
        return max(0, self.end - self.start) / self.stream.rate_hz

    @property
    def least_seconds(self) -> float:
        """Return the least length that the part has with any further frames."""
        return (
            max(0, self.frames * self.stream.samples - self.start - self.info.padding) / self.stream.rate_hz
        )


def measure_parts(data: bytes | mmap) -> Iterator[tuple[Part, bool]]:
    """Yield the part and whether it is complete, after each frame and at the end of each part."""
    part: Part | None = None
    for frame in walk(data):
        if part is None or frame.part:
            if part:
                yield part, True
            part = Part.of(frame)
        part.add(frame)
        yield part, False
    if part:
        yield part, True
