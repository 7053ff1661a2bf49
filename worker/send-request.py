"""Pushes one sample job in the message format, its song being in the store before."""

import sys
from argparse import ArgumentParser
from pathlib import Path

from msaas.jobs import Job
from msaas.redis_queue import RedisQueue
from msaas.settings import StoreSettings, load_or_exit
from msaas.songs import song_hash

_SAMPLES = Path(__file__).resolve().parents[1] / "data"


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("song", nargs="?", type=Path, default=min(_SAMPLES.glob("*.mp3")))
    song = parser.parse_args().song
    settings = load_or_exit(StoreSettings)
    job = Job(song_hash(song.read_bytes()))
    tracks = settings.tracks()
    tracks.prepare()
    with open(song, "rb") as mp3:
        tracks.put_song(job.songhash, mp3, size_bytes=song.stat().st_size)
    state = RedisQueue(settings.redis_address, keys=settings.keys, policy=settings.policy).enqueue(job)
    sys.stdout.write(f"{job.songhash} {state.value}: {song.name}\n")


if __name__ == "__main__":
    main()
