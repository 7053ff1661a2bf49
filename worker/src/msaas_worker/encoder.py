"""Stems become MP3s while the model still works: 320 kbit/s, clipping avoided as by the demucs CLI."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import lameenc
import numpy as np

from msaas_worker.decoded import CHANNELS, SAMPLERATE, Audio

_BIT_RATE_KBIT_S = 320
BYTES_PER_S = _BIT_RATE_KBIT_S * 1000 // 8
#: Of a frame of MPEG-1 layer III.
FRAME_SAMPLES = 1152
#: LAME's best that is still fast; 2 is what the demucs CLI uses.
_QUALITY = 2
#: A stem whose peak times this is above full scale is scaled down as a whole.
_HEADROOM = np.float32(1.01)
_FULL_SCALE = np.float32(2**15 - 1)
#: So much is encoded at once: a region may be a minute long, and its first seconds can be heard before.
_BLOCK_SAMPLES = SAMPLERATE


class Audience(Protocol):
    """Who hears the stems while they are made."""

    def attend(self, stems: Sequence["StemEncoder"]) -> None: ...

    def listens(self) -> bool:
        """Once it does not, it never will again."""

    def notice(self) -> None:
        """There are more bytes to hear, or there never will be."""

    def close(self) -> None:
        """The job is over: nobody hears anything more."""


class Nobody:
    """Implements `Audience`."""

    def attend(self, stems: Sequence["StemEncoder"]) -> None:
        pass

    def listens(self) -> bool:
        return False

    def notice(self) -> None:
        pass

    def close(self) -> None:
        pass


class StemEncoder:
    """Encodes one stem, hoping that it does not clip; should it, it is encoded again from what was kept.

    Meanwhile `encoded_bytes` of it can be read: the stem's own first bytes, but clipped if it clips.
    """

    def __init__(self, folder: Path, stem: str, pool: ThreadPoolExecutor, audience: Audience) -> None:
        self.stem = stem
        #: The stem, when it is finished.
        self.path = folder / f"{stem}.mp3"
        self.encoded_bytes = 0
        #: Grows while there is work, with the second encoding, too.
        self.encoded_blocks = 0
        #: Nothing more will be read of it.
        self.is_whole = False
        self._stream = self.path
        self._scaled = folder / f"{stem}.scaled.mp3"
        self._kept = folder / f"{stem}.f32"
        self._pool = pool
        self._audience = audience
        self._mp3 = open(self._stream, "wb")  # noqa: SIM115 - closed by `close`
        self._frames = open(self._kept, "wb")  # noqa: SIM115 - closed by `close`
        self._lame = _lame()
        self._peak = np.float32(0)
        self._pending: Future[None] | None = None

    def write(self, block: Audio) -> None:
        """Hand over `[2, n]` samples; waits while the block before is still being encoded."""
        self._settle()
        self._pending = self._pool.submit(self._encode, block)

    def read(self, start: int, end: int) -> bytes:
        """Return these bytes, fewer where the stem ends."""
        with open(self._stream, "rb") as file:
            file.seek(start)
            return file.read(end - start)

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
        if self._is_worth_encoding():
            for start in range(0, len(frames), _BLOCK_SAMPLES):
                self._append(self._lame.encode(_pcm(frames[start : start + _BLOCK_SAMPLES])))

    def _is_worth_encoding(self) -> bool:
        return self._divisor == 1 or self._audience.listens()

    def _append(self, mp3: bytes) -> None:
        self.encoded_blocks += 1
        self._mp3.write(mp3)
        self._mp3.flush()
        self.encoded_bytes += len(mp3)
        self._audience.notice()

    @property
    def _divisor(self) -> np.float32:
        return max(_HEADROOM * self._peak, np.float32(1))

    def _finish(self) -> None:
        self._frames.close()
        if self._is_worth_encoding():
            self._append(self._lame.flush())
        self._mp3.close()
        self.is_whole = True
        self._audience.notice()
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
def encoders(
    folder: Path, stems: tuple[str, ...], *, audience: Audience = Nobody()
) -> Iterator[list[StemEncoder]]:
    """One encoder for each stem, each in a thread of its own: LAME works without the interpreter's lock."""
    with ThreadPoolExecutor(len(stems), thread_name_prefix="encode") as pool:
        all_of_them = [StemEncoder(folder, stem, pool, audience) for stem in stems]
        audience.attend(all_of_them)
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


def _blocks(path: Path) -> Iterator[Audio]:
    with open(path, "rb") as file:
        while (frames := np.fromfile(file, np.float32, count=_BLOCK_SAMPLES * CHANNELS)).size:
            yield frames.reshape(-1, CHANNELS)
