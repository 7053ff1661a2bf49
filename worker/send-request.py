"""Store a sample song and push its job in the message format."""

from argparse import ArgumentParser
from pathlib import Path

from msaas.bootstrap import open_queue, open_song_store
from msaas.errors import Unavailable
from msaas.jobs import Job
from msaas.settings import StoreSettings
from msaas.songs import song_hash

_SAMPLES = Path(__file__).resolve().parents[1] / "data"


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("song", nargs="?", type=Path, default=min(_SAMPLES.glob("*.mp3")))
    song = parser.parse_args().song
    settings = StoreSettings.from_env()
    job_id = song_hash(song.read_bytes())
    try:
        song_store = open_song_store(settings)
        song_store.prepare()
        with open(song, "rb") as mp3:
            song_store.put_song(job_id, mp3, size_bytes=song.stat().st_size)
        state = open_queue(settings).enqueue(Job.of(job_id))
    except Unavailable as error:
        raise SystemExit(
            f"{error}\nSet REDIS_HOST, REDIS_PORT and MINIO_HOST or STORE_DIR as `make up` prints them."
        ) from None
    print(f"{job_id} {state.value}: {song.name}")


if __name__ == "__main__":
    main()
