"""Throughput of the queue: whole jobs a second on one Redis with `appendfsync always`.

python -m bench.queue_rate --jobs 500 --clients 1 8
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

from msaas.jobs import Job
from msaas.queue.consumer import Result
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.jobs import RedisQueue
from msaas.songs import song_hash
from tests.servers import redis_running

#: A job of some minutes publishes its progress about this often.
_RENEWALS = 20
_RESULT = Result(model="htdemucs", device="cpu", stems=("drums", "bass", "other", "vocals"))


def run_jobs(address: RedisAddress, *, client: int, jobs: int) -> None:
    """Enqueue, take, claim, renew and finish one job after the other."""
    queue = RedisQueue(address)
    consumer = queue.consumer(f"bench-{client}")
    for number in range(jobs):
        queue.enqueue(Job(job_id=song_hash(f"{client} {number}".encode())))
        payload = consumer.take(timeout_s=5)
        assert payload
        claim = consumer.claim(Job.decode(payload), payload=payload)
        for step in range(_RENEWALS):
            consumer.renew(claim, progress=step / _RENEWALS)
        consumer.finish(claim, _RESULT)


def measure_rate(address: RedisAddress, *, clients: int, jobs: int) -> float:
    threads = [
        threading.Thread(target=run_jobs, args=(address,), kwargs={"client": client, "jobs": jobs // clients})
        for client in range(clients)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clients * (jobs // clients) / (time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args()
    sys.stdout.write("| clients | jobs a second | bytes a finished job |\n|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder, redis_running(Path(folder), aof=True) as redis:
        for clients in options.clients:
            redis.client().flushall()
            before = redis.client().info("memory")["used_memory"]
            found = measure_rate(redis.address, clients=clients, jobs=options.jobs)
            size = (redis.client().info("memory")["used_memory"] - before) / options.jobs
            sys.stdout.write(f"| {clients} | {found:.0f} | {size:.0f} |\n")


if __name__ == "__main__":
    main()
