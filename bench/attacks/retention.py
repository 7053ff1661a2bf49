"""Retention: results that it removed, and songs that are sent during a sweep."""

import os
import time
from collections import Counter

from bench.attacks.songs import MODEL, wait_for_end
from bench.attacks.target import FRAME, INPUT, OUTPUT, Attack, Target, song_id_of, store_result

from tests.faults.songs import song
from tests.servers import wait_until

_EXPIRED_S = 300.0
_DAY_S = 24 * 3600
#: Half a minute: the sweeps are a tenth of it apart.
_RETENTION = {"RETENTION_HOURS": "0.01"}
_OLD = FRAME * 50
#: Sweeps with the code of the release, and sends the song before a call of the store. It prints `sent` then.
_SWEEP = """
import sys, threading, urllib.request
from pathlib import Path
step, host, port, store, url, song = sys.argv[1:]
sent = []

def send():
    body, headers = Path(song).read_bytes(), {"Content-Type": "audio/mpeg"}
    urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60).read()

class Stepped:
    def __init__(self, store):
        self.store, self.steps = store, 0
    def __getattr__(self, name):
        def call(*args, **kwargs):
            if self.steps == int(step):
                sent.append(threading.Thread(target=send))
                sent[0].start()
                # A request that needs longer waits for the sweep.
                sent[0].join(timeout=0.3)
            self.steps += 1
            return getattr(self.store, name)(*args, **kwargs)
        return call

try:
    from msaas.queue.redis.clients import RedisAddress
    from msaas.queue.redis.jobs import RedisQueue
    from msaas.queue.redis.song_registry import RedisSongRegistry
    from msaas.storage.directory import DirectoryStore
    from msaas.storage.song_store import SongStore
    from msaas_keeper.retention import Retention
    address = RedisAddress(host, int(port))
    queue, songs = RedisQueue(address), SongStore(Stepped(DirectoryStore(Path(store))))
    parts = {"queue": queue, "registry": RedisSongRegistry(address), "song_store": songs}
    parts["spared"] = [queue.referenced_songs]
except ImportError:
    from msaas.directory_store import DirectoryStore
    from msaas.redis_clients import RedisAddress
    from msaas.redis_queue import RedisQueue
    from msaas.tracks import Tracks
    from msaas_worker.retention import Retention
    parts = {"tracks": Tracks(Stepped(DirectoryStore(Path(store))))}
    parts["spared"] = [RedisQueue(RedisAddress(host, int(port))).open_songs]
Retention(age_s=12 * 3600, **parts).sweep()
for each in sent:
    each.join()
    print("sent")
"""


def expire_a_result(target: Target) -> str:
    """Make a result old, wait for retention, and ask for it."""
    content = song(9, seconds=1)
    assert target.post(content).ok
    with target.running("msaas_worker"):
        wait_for_end(target, song_id_of(content))
    _make_old(target)
    with target.running("msaas_worker", "msaas_keeper", **_RETENTION):
        wait_until(lambda: not _stored(target), timeout_s=_EXPIRED_S)
        state = target.get(f"/apiv1/job/{song_id_of(content)}")
        stem = target.get(f"/apiv1/track/{song_id_of(content)}/bass.mp3")
    shown = f"200, `{state.json()['state']}`" if state.ok else f"{state.status_code}"
    return f"the job is {shown}, its stem {stem.status_code}"


def send_during_a_sweep(target: Target) -> str:
    """Send a finished song that is old, before each call that a sweep makes to the store."""
    endings: Counter[str] = Counter()
    while _send_at_step(target, endings.total()):
        endings[_ending(target)] += 1
    return f"at {endings.total()} steps of a sweep: {', '.join(f'{n} {name}' for name, n in endings.items())}"


def _send_at_step(target: Target, step: int) -> bool:
    """Sweep. Return whether the sweep has so many steps that the song was sent."""
    target.redis.client().flushall()
    store_result(target.store, _OLD, stem_bytes=1000)
    _make_old(target)
    song_file = target.folder / "old.mp3"
    song_file.write_bytes(_OLD)
    address, url = target.redis.address, f"{target.url}/apiv1/separate"
    words = (str(step), address.host, str(address.port), str(target.store), url, str(song_file))
    return target.release.run(_SWEEP, *words) == "sent"


def _ending(target: Target) -> str:
    song_id = song_id_of(_OLD)
    if target.get(f"/apiv1/track/{song_id}/bass.mp3").ok:
        return "with stems"
    is_stored = (target.store / INPUT / f"{song_id}.mp3").exists()
    found = target.get(f"/apiv1/job/{song_id}")
    is_queued = found.ok and found.json()["state"] == "queued"
    return "queued again" if is_queued and is_stored else "with neither stems nor job"


def _make_old(target: Target) -> None:
    """Date all objects back by a day, and forget that a client asked for them a moment ago."""
    day_ago = time.time() - _DAY_S
    for path in _stored(target):
        os.utime(path, (day_ago, day_ago))
    client = target.redis.client()
    for key in client.scan_iter("toWorkers:requested:*"):
        client.delete(key)


def _stored(target: Target) -> list[str]:
    return [str(path) for bucket in (INPUT, OUTPUT) for path in (target.store / bucket).glob("[!.]*")]


ATTACKS = (
    Attack(
        row=11,
        damage="a finished job after retention removed its result",
        run=expire_a_result,
        environment=MODEL,
    ),
    Attack(row=11, damage="a song is sent during a sweep of retention", run=send_during_a_sweep),
)
