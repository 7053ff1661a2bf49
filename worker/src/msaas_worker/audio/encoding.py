"""Encoding of the stems: fed while the model runs, clipping avoided as in the demucs CLI."""

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from msaas.recipe import RESCALE, UNCLIPPED
from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE, Audio
from msaas_worker.audio.encoders.opening import open_encoder
from msaas_worker.audio.peaks import PAIR_SAMPLES, PeakMeter
from msaas_worker.audio.stem_format import StemFormat, StemResampler
from msaas_worker.audio.tags import Tags

#: A stem is scaled down as a whole if its peak times this exceeds full scale.
_HEADROOM = np.float32(1.01)
#: Samples encoded at once: a region may last a minute, and its first seconds can be played before.
_BLOCK_SAMPLES = SAMPLERATE


class StemObserver(Protocol):
    """Observes the stems while they are encoded."""

    def start_observing(self, stems: Sequence["StemEncoder"]) -> None: ...

    def is_active(self) -> bool:
        """Once False, it stays False."""

    def on_bytes(self) -> None:
        """A stem has more bytes, or is whole."""

    def close(self) -> None: ...


class NullObserver:
    """Implements `StemObserver`."""

    def start_observing(self, stems: Sequence["StemEncoder"]) -> None:
        pass

    def is_active(self) -> bool:
        return False

    def on_bytes(self) -> None:
        pass

    def close(self) -> None:
        pass


class StemEncoder:
    """Encodes one stem, at the rate of its format.

    With `rescale` it is encoded unscaled. If it clips, the scaled samples are encoded again from disk.
    Meanwhile the first bytes can be read, clipped if the stem clips.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        form: StemFormat,
        *,
        tags: Tags,
        pool: ThreadPoolExecutor,
        observer: StemObserver,
    ) -> None:
        self.stem = stem
        #: The stem, once it is finished.
        self.path = folder / f"{stem}.{form.extension}"
        #: Grows with both encodings.
        self.encoded_blocks = 0
        #: No further bytes will follow.
        self.is_whole = False
        self._stream = self.path
        self._form = form
        self._tags = tags.of_stem(stem)
        self._pool = pool
        self._observer = observer
        self._resampler = StemResampler(form)
        self._encoder = open_encoder(self._stream, form, self._tags)
        #: The bytes in front of the sound.
        self.head_bytes = self._encoder.final_bytes
        #: The bytes of the sound that can be read.
        self.sound_bytes = 0
        self._kept = _KeptFrames(folder / f"{stem}.f32") if form.clip == RESCALE else None
        self._pending: Future[None] | None = None
        self._is_aborted = False
        self._peaks = PeakMeter()

    def write(self, block: Audio) -> None:
        """Encode `[2, n]` samples at 44.1 kHz in the background; waits for the block before."""
        self._wait_for_block()
        self._pending = self._pool.submit(self._encode, block)

    def read(self, start: int, end: int) -> bytes:
        """Return these bytes of the sound, fewer at the end of the stem. From 0 on the head is with them."""
        first = self.head_bytes + start if start else 0
        with open(self._stream, "rb") as file:
            file.seek(first)
            return file.read(self.head_bytes + end - first)

    def peaks(self, *, until_s: float | None = None) -> bytes:
        """Return the peaks up to this second of the song, by default all, as they sound in `path`.

        Those of fragments are not scaled down: the stem is, once it is whole.
        """
        if until_s is None:
            return self._peaks.encode(divisor=self._kept.divisor if self._kept else np.float32(1))
        return self._peaks.encode(pairs=int(until_s * self._form.rate_hz) // PAIR_SAMPLES)

    def finish(self) -> Future[None]:
        self._wait_for_block()
        return self._pool.submit(self._finish)

    def abort(self) -> None:
        """End the encoding at its next block, from any thread."""
        self._is_aborted = True

    def close(self) -> None:
        self._encoder.close()
        if self._kept:
            self._kept.close()

    def _wait_for_block(self) -> None:
        if self._pending:
            self._pending.result()

    def _encode(self, block: Audio) -> None:
        self._encode_resampled(self._resampler.feed(block))

    def _encode_resampled(self, block: Audio) -> None:
        frames = np.ascontiguousarray(block.T)
        self._peaks.feed(frames)
        if self._kept:
            self._kept.append(frames)
        if self._is_worth_encoding():
            for start in range(0, len(frames), _BLOCK_SAMPLES):
                self._check()
                self._encoder.write(self._clip(frames[start : start + _BLOCK_SAMPLES]))
                self._note_bytes()

    def _check(self) -> None:
        if self._is_aborted:
            raise CancelledError

    def _is_worth_encoding(self) -> bool:
        return not self._clips or self._observer.is_active()

    @property
    def _clips(self) -> bool:
        return self._kept is not None and bool(self._kept.divisor > 1)

    def _clip(self, frames: Audio) -> Audio:
        return frames if self._form.clip == UNCLIPPED else np.clip(frames, -1, 1)

    def _note_bytes(self) -> None:
        self.encoded_blocks += 1
        self.sound_bytes = self._encoder.final_bytes - self.head_bytes
        self._observer.on_bytes()

    def _finish(self) -> None:
        self._encode_resampled(self._resampler.flush())
        self._peaks.finish()
        if self._is_worth_encoding():
            self._encoder.finish()
            self._note_bytes()
        self.is_whole = True
        self._observer.on_bytes()
        if self._kept:
            self._kept.close()
            if self._clips:
                self._encode_again(self._kept)
            self._kept.path.unlink()

    def _encode_again(self, kept: "_KeptFrames") -> None:
        if not self._observer.is_active():
            self._encoder.close()
            # An encoder that has nothing to write yet has no file.
            self._stream.unlink(missing_ok=True)
        scaled = self.path.with_suffix(f".scaled.{self._form.extension}")
        encoder = open_encoder(scaled, self._form, self._tags)
        try:
            for frames in kept.blocks():
                self._check()
                encoder.write(frames / kept.divisor)
                self.encoded_blocks += 1
            encoder.finish()
        finally:
            encoder.close()
        self.path = scaled


class _KeptFrames:
    """All frames of a stem on disk, and their peak."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 - closed by `close`
        self._peak = np.float32(0)

    def append(self, frames: Audio) -> None:
        self._file.write(frames.data)
        self._peak = max(self._peak, np.abs(frames).max(initial=np.float32(0)))

    @property
    def divisor(self) -> np.float32:
        """Return the number that scales the frames down so that they do not clip, 1 if they do not."""
        return max(_HEADROOM * self._peak, np.float32(1))

    def blocks(self) -> Iterator[Audio]:
        with open(self.path, "rb") as file:
            while (frames := np.fromfile(file, np.float32, count=_BLOCK_SAMPLES * CHANNELS)).size:
                yield frames.reshape(-1, CHANNELS)

    def close(self) -> None:
        self._file.close()


@contextmanager
def open_encoders(
    folder: Path,
    stems: tuple[str, ...],
    form: StemFormat,
    *,
    tags: Tags = Tags(),
    observer: StemObserver = NullObserver(),
) -> Iterator[list[StemEncoder]]:
    """Yield one encoder a stem, each in a thread of its own: encoders release the interpreter's lock."""
    opened: list[StemEncoder] = []
    with ThreadPoolExecutor(len(stems), thread_name_prefix="encode") as pool:
        try:
            for stem in stems:
                opened.append(StemEncoder(folder, stem, form, tags=tags, pool=pool, observer=observer))
            observer.start_observing(opened)
            yield opened
        except BaseException:
            for encoder in opened:
                encoder.abort()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for encoder in opened:
                encoder.close()
