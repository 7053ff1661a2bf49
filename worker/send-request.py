"""Store a sample song and push its job in the message format."""

from argparse import ArgumentParser
from pathlib import Path
from typing import NoReturn

from msaas.bootstrap import open_queue, open_song_store
from msaas.errors import MalformedSettings, Unavailable
from msaas.jobs import Job
from msaas.settings import QueueSettings, StoreSettings
from msaas.songs import song_hash_of

_SAMPLES = Path(__file__).resolve().parents[1] / "data"
_ADVICE = "Set REDIS_HOST, REDIS_PORT and MINIO_HOST or STORE_DIR as `make up` prints them."


class SampleSettings(StoreSettings, QueueSettings):
    pass


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("song", nargs="?", type=Path, help="default: the first song of data/")
    song = parser.parse_args().song or _first_sample()
    try:
        job_id, state = send(song, SampleSettings.from_env())
    except (OSError, MalformedSettings) as error:
        fail(str(error))
    except Unavailable as error:
        fail(f"{error}\n{_ADVICE}")
    print(f"{job_id} {state}: {song.name}")


def send(song: Path, settings: SampleSettings) -> tuple[str, str]:
    """Return the id and the state of the job.

    Raises:
        OSError: the song cannot be read.
        Unavailable: the queue or the store does not answer.
    """
    with open(song, "rb") as mp3:
        job_id = song_hash_of(mp3)
        mp3.seek(0)
        song_store = open_song_store(settings)
        song_store.prepare()
        song_store.put_song(job_id, mp3, size_bytes=song.stat().st_size)
    return job_id, open_queue(settings).enqueue(Job.of(job_id)).value


def _first_sample() -> Path:
    samples = sorted(_SAMPLES.glob("*.mp3"))
    return samples[0] if samples else fail(f"{_SAMPLES} has no MP3. Name a song.")


def fail(message: str) -> NoReturn:
    raise SystemExit(message)


if __name__ == "__main__":
    main()
