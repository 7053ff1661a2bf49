"""A program that uses the library, as the guide shows it. mypy checks it with `strict`."""

import sys
from pathlib import Path

from msaas_client import Client, ClientError, Job, Options


def show(job: Job) -> None:
    sys.stderr.write(f"{job.state} {job.progress:.0%}\n")


def main(url: str, song: str, folder: str) -> None:
    with Client(url) as client:
        submission = client.separate(song, Options(two_stems="vocals", format="flac"))
        job = client.wait(submission.id, on_change=show)
        paths: dict[str, Path] = client.download_all(job, folder)
    sys.stdout.write(f"{paths['vocals']}\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ClientError as error:
        sys.exit(str(error))
