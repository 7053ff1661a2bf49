"""Stems become MP3s while the model still works: 320 kbit/s, clipping avoided as by the demucs CLI."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import lameenc
import numpy as np

from msaas_worker.decoded import CHANNELS, SAMPLERATE, Audio

_BIT_RATE_KBIT_S = 320
#: LAME's best that is still fast; 2 is what the demucs CLI uses.
_QUALITY = 2
#: A stem whose peak times this is above full scale is scaled down as a whole.
_HEADROOM = np.float32(1.01)
_FULL_SCALE = np.float32(2**15 - 1)
_PIECE_SAMPLES = 10 * SAMPLERATE


class StemEncoder:
    """Encodes one stem, hoping that it does not clip; should it, it is encoded again from what was kept."""

    def __init__(self, folder: Path, stem: str, pool: ThreadPoolExecutor) -> None:
        self.path = folder / f"{stem}.mp3"
        self._kept = folder / f"{stem}.f32"
        self._pool = pool
        self._mp3 = open(self.path, "wb")  # noqa: SIM115 - closed by `close`
        self._frames = open(self._kept, "wb")  # noqa: SIM115 - closed by `close`
        self._lame = _lame()
        self._peak = np.float32(0)
        self._pending: Future[None] | None = None

    def write(self, block: Audio) -> None:
        """Hand over `[2, n]` samples; waits while the block before is still being encoded."""
        self._settle()
        self._pending = self._pool.submit(self._encode, block)

    def finish(self) -> Future[None]:
        self._settle()
        return self._pool.submit(self._finish)

    def close(self) -> None:
        self._mp3.close()
        self._frames.close()

    def _settle(self) -> None:
        if self._pending:
            self._pending.result()

    def _encode(self, block: Audio) -> None:
        frames = np.ascontiguousarray(block.T)
        self._frames.write(frames.data)
        self._peak = max(self._peak, np.abs(frames).max(initial=np.float32(0)))
        if self._divisor == 1:
            self._mp3.write(self._lame.encode(_pcm(frames)))

    @property
    def _divisor(self) -> np.float32:
        return max(_HEADROOM * self._peak, np.float32(1))

    def _finish(self) -> None:
        self._frames.close()
        if self._divisor > 1:
            self._encode_again()
        self._mp3.write(self._lame.flush())
        self._mp3.close()
        self._kept.unlink()

    def _encode_again(self) -> None:
        self._mp3.seek(0)
        self._mp3.truncate()
        self._lame = _lame()
        for frames in _pieces(self._kept):
            self._mp3.write(self._lame.encode(_pcm(frames / self._divisor)))


@contextmanager
def encoders(folder: Path, stems: tuple[str, ...]) -> Iterator[list[StemEncoder]]:
    """One encoder for each stem, each in a thread of its own: LAME works without the interpreter's lock."""
    with ThreadPoolExecutor(len(stems), thread_name_prefix="encode") as pool:
        all_of_them = [StemEncoder(folder, stem, pool) for stem in stems]
        try:
            yield all_of_them
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for encoder in all_of_them:
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


def _pieces(path: Path) -> Iterator[Audio]:
    with open(path, "rb") as file:
        while (frames := np.fromfile(file, np.float32, count=_PIECE_SAMPLES * CHANNELS)).size:
            yield frames.reshape(-1, CHANNELS)
