"""MP3 encoders of the stems: 320 kbit/s, fed while the model runs, clipping avoided as in the demucs CLI."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import lameenc
import numpy as np

from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE, Audio

_BIT_RATE_KBIT_S = 320
BYTES_PER_S = _BIT_RATE_KBIT_S * 1000 // 8
#: Samples of an MPEG-1 layer III frame.
FRAME_SAMPLES = 1152
#: LAME's quality; the demucs CLI uses 2, too.
_QUALITY = 2
#: A stem is scaled down as a whole if its peak times this exceeds full scale.
_HEADROOM = np.float32(1.01)
_FULL_SCALE = np.float32(2**15 - 1)
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
    """Encodes one stem unscaled. If it clips, the scaled samples are encoded again from disk.

    Meanwhile `encoded_bytes` of it can be read: the first bytes of the stem, clipped if it clips.
    """

    def __init__(self, folder: Path, stem: str, pool: ThreadPoolExecutor, observer: StemObserver) -> None:
        self.stem = stem
        #: The stem, once it is finished.
        self.path = folder / f"{stem}.mp3"
        self.encoded_bytes = 0
        #: Grows with both encodings.
        self.encoded_blocks = 0
        #: No further bytes will follow.
        self.is_whole = False
        self._stream = self.path
        self._scaled = folder / f"{stem}.scaled.mp3"
        self._kept = folder / f"{stem}.f32"
        self._pool = pool
        self._observer = observer
        self._mp3 = open(self._stream, "wb")  # noqa: SIM115 - closed by `close`
        self._frames = open(self._kept, "wb")  # noqa: SIM115 - closed by `close`
        self._lame = _lame()
        self._peak = np.float32(0)
        self._pending: Future[None] | None = None

    def write(self, block: Audio) -> None:
        """Encode `[2, n]` samples in the background; waits for the block before."""
        self._wait_for_block()
        self._pending = self._pool.submit(self._encode, block)

    def read(self, start: int, end: int) -> bytes:
        """Return these bytes, fewer at the end of the stem."""
        with open(self._stream, "rb") as file:
            file.seek(start)
            return file.read(end - start)

    def finish(self) -> Future[None]:
        self._wait_for_block()
        return self._pool.submit(self._finish)

    def close(self) -> None:
        self._mp3.close()
        self._frames.close()

    def _wait_for_block(self) -> None:
        if self._pending:
            self._pending.result()

    def _encode(self, block: Audio) -> None:
        frames = np.ascontiguousarray(block.T)
        self._frames.write(frames.data)
        self._peak = max(self._peak, np.abs(frames).max(initial=np.float32(0)))
        if self._is_worth_encoding():
            for start in range(0, len(frames), _BLOCK_SAMPLES):
                self._append(self._lame.encode(_pcm(frames[start : start + _BLOCK_SAMPLES])))

    def _is_worth_encoding(self) -> bool:
        return self._divisor == 1 or self._observer.is_active()

    def _append(self, mp3: bytes) -> None:
        self.encoded_blocks += 1
        self._mp3.write(mp3)
        self._mp3.flush()
        self.encoded_bytes += len(mp3)
        self._observer.on_bytes()

    @property
    def _divisor(self) -> np.float32:
        return max(_HEADROOM * self._peak, np.float32(1))

    def _finish(self) -> None:
        self._frames.close()
        if self._is_worth_encoding():
            self._append(self._lame.flush())
        self._mp3.close()
        self.is_whole = True
        self._observer.on_bytes()
        if self._divisor > 1:
            self._encode_again()
        self._kept.unlink()

    def _encode_again(self) -> None:
        lame = _lame()
        with open(self._scaled, "wb") as mp3:
            for frames in _blocks(self._kept):
                mp3.write(lame.encode(_pcm(frames / self._divisor)))
                self.encoded_blocks += 1
            mp3.write(lame.flush())
        self.path = self._scaled


@contextmanager
def open_encoders(
    folder: Path, stems: tuple[str, ...], *, observer: StemObserver = NullObserver()
) -> Iterator[list[StemEncoder]]:
    """Yield one encoder a stem, each in a thread of its own: LAME releases the interpreter's lock."""
    with ThreadPoolExecutor(len(stems), thread_name_prefix="encode") as pool:
        opened = [StemEncoder(folder, stem, pool, observer) for stem in stems]
        observer.start_observing(opened)
        try:
            yield opened
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for encoder in opened:
                encoder.close()


def _lame() -> lameenc.Encoder:
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(_BIT_RATE_KBIT_S)
    encoder.set_in_sample_rate(SAMPLERATE)
    encoder.set_channels(CHANNELS)
    encoder.set_quality(_QUALITY)
    encoder.silence()
    return encoder


def _pcm(frames: Audio) -> bytes:
    return (np.clip(frames, -1, 1) * _FULL_SCALE).astype("<i2").tobytes()


def _blocks(path: Path) -> Iterator[Audio]:
    with open(path, "rb") as file:
        while (frames := np.fromfile(file, np.float32, count=_BLOCK_SAMPLES * CHANNELS)).size:
            yield frames.reshape(-1, CHANNELS)
