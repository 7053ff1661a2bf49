"""Each service works with the rights of its own user of Redis, and has no others.

The tests of the queue run once more with the users that start.sh makes, and so do real processes.
"""

import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.tests.backends import POLICY, QueueBench, shift_times
from msaas.jobs import Job, JobState
from msaas.queue.history import HistoryQueue
from msaas.queue.idempotency import IdempotentRequest
from msaas.queue.protocol import JobQueue, Request
from msaas.queue.redis.history import RedisHistory
from msaas.queue.redis.idempotency import RedisIdempotency
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.song_registry import RedisSongRegistry
from msaas.queue.song_registry import SongRegistry, Visibility
from msaas.removal import Removal
from msaas.storage.directory import DirectoryStore
from msaas.storage.song_store import SongStore
from tests.faults.songs import song
from tests.manifests.redis_users import (
    START,
    ServerWithUsers,
    SharedOutbox,
    SharedQueue,
    SharedRegistry,
    password_of,
)
from tests.processes import ServiceProcess
from tests.servers import REDIS_BINARIES, absent, free_port, wait_until

pytestmark = [pytest.mark.process, pytest.mark.long]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of the queue on one server, and those of this module on both."""
    if "server" in metafunc.fixturenames:
        is_of_the_queue = "bench" in metafunc.fixturenames
        kinds = ["valkey"] if is_of_the_queue else ["valkey", "redis"]
        metafunc.parametrize("server", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerWithUsers]:
    binary = REDIS_BINARIES[request.param]()
    if not binary:
        absent("redis-server")
    server = ServerWithUsers(tmp_path_factory.mktemp(request.param), binary=str(binary))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture(autouse=True)
def _no_denial(server: ServerWithUsers, request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty the server. A denied command fails the test, also where its service goes on without it."""
    server.client().flushall()
    server.client().acl_log_reset()
    yield
    if "may_not" not in request.node.name:
        assert server.denials() == []


@pytest.fixture
def bench(server: ServerWithUsers) -> QueueBench:
    client, keys = server.client(), Keys()
    return QueueBench(
        SharedQueue(server),  # type: ignore[arg-type]
        SharedRegistry(server),  # type: ignore[arg-type]
        RedisHistory(server.address_of("keeper")),
        SharedOutbox(server),  # type: ignore[arg-type]
        push=lambda payload: server.client("client").lpush(keys.waiting, payload),
        pass_time=lambda seconds: shift_times(client, keys, seconds),
        dead=lambda: client.lrange(keys.dead, 0, -1),
    )


@pytest.fixture
def queue(bench: QueueBench) -> JobQueue:
    return bench.queue


@pytest.fixture
def registry(bench: QueueBench) -> SongRegistry:
    return bench.registry


@pytest.fixture
def history(bench: QueueBench) -> HistoryQueue:
    return bench.history


def _tests_of_the_queue() -> dict[str, Callable[..., None]]:
    modules = [import_module(f"common.tests.{path.stem}") for path in _files()]
    return {
        f"{name}_of_{module.__name__.rpartition('.')[2]}": test
        for module in modules
        for name, test in vars(module).items()
        if name.startswith("test_")
        and {"bench", "queue", "registry"} & inspect.signature(test).parameters.keys()
    }


def _files() -> list[Path]:
    folder = Path(__file__).parents[2] / "common" / "tests"
    return [*sorted(folder.glob("test_queue*.py")), folder / "test_outbox.py", folder / "test_stand_ins.py"]


globals().update(_tests_of_the_queue())


def test_rest_keeps_and_releases_idempotency_keys(server: ServerWithUsers) -> None:
    idempotency = RedisIdempotency(server.address_of("rest"))
    kept, failed = IdempotentRequest("ann", "a", "song"), IdempotentRequest("ann", "b", "song")
    assert idempotency.begin(kept) is idempotency.begin(failed) is None
    idempotency.complete(kept, reply={"hash": "a"})
    idempotency.release(failed)
    assert idempotency.begin(kept) == {"hash": "a"}
    assert idempotency.begin(failed) is None


def test_killed_server_starts_with_every_job(server: ServerWithUsers) -> None:
    """Servers replay the transactions of their log with the permissions of the user `default`."""
    queue = RedisQueue(server.address_of("rest"), policy=POLICY)
    for job_id in ("a", "b", "c"):
        queue.enqueue(Job(job_id=job_id), request=Request(id="1", owner="ann"))
    server.kill()
    server.start()
    assert queue.waiting() == ["a", "b", "c"]
    assert [status.state for status in queue.statuses(["a", "b", "c"]) if status] == [JobState.QUEUED] * 3


def test_passwords_are_in_no_argument_and_not_in_the_environment(server: ServerWithUsers) -> None:
    (process,) = server.processes
    for file in ("cmdline", "environ"):
        assert b"password-of" not in Path(f"/proc/{process.pid}/{file}").read_bytes()
    users = server.folder / "users.acl"
    assert users.stat().st_mode & 0o077 == 0
    assert "password-of" not in users.read_text()


def test_start_names_the_password_that_is_missing(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PASSWORD_rest": "x"}
    started = subprocess.run(["sh", str(START)], env=environment, capture_output=True, text=True, check=False)
    assert started.returncode == 1
    assert "PASSWORD_worker is missing" in started.stderr


#: Work of other services.
FORBIDDEN: dict[str, list[str]] = {
    "rest": ["LPUSH toWorkers:dead x", "HSET toWorkers:abilities a b", "SET toWorkers:lock:retention 1"],
    "worker": ["GET toWorkers:rates:x", "DEL toWorkers:lock:retention", "DEL toWorkers:requested:x"],
    "keeper": ["GET toWorkers:rates:x", "BLMOVE toWorkers x LEFT LEFT 0", "HGETALL toWorkers:abilities"],
    "logs": ["LPUSH toWorkers x", "LRANGE toWorkers 0 -1", "HGETALL job:x", "LPUSH logging x"],
    "client": [
        "RPOP toWorkers",
        "HGETALL job:x",
        "LPUSH logging x",
        "DEL toWorkers",
        "LPUSH toWorkers:dead x",
    ],
}
_ADMINISTRATION = [
    "FLUSHALL",
    "CONFIG GET *",
    "KEYS *",
    "ACL LIST",
    "SHUTDOWN",
    "MONITOR",
    "EVAL x 0",
    "CLIENT LIST",
]


@pytest.mark.parametrize("user", FORBIDDEN)
def test_user_may_not_do_the_work_of_others(server: ServerWithUsers, user: str) -> None:
    client = server.client(user)
    assert client.ping()
    for command in [*FORBIDDEN[user], *_ADMINISTRATION, "SET other 1", "SUBSCRIBE news"]:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())


def test_clients_without_a_user_may_not_do_anything(server: ServerWithUsers) -> None:
    client = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))
    for command in ("PING", "GET x", "LPUSH toWorkers x"):
        with pytest.raises((redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError)):
            client.execute_command(*command.split())


def test_probe_may_not_do_more_than_ping(server: ServerWithUsers) -> None:
    client = redis.Redis(port=server.port, username="probe", password="of no meaning")
    assert client.ping()
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.lrange("logging", 0, -1)


def test_every_key_of_the_queue_has_its_users() -> None:
    """A new key would be readable by the operator only."""
    rules = (START.parent / "users.acl").read_text()
    patterns = set(re.findall(r"%\w+~(\S+)", rules))
    keys = Keys()
    examples = [
        getattr(keys, name)
        for name, value in vars(Keys).items()
        if isinstance(value, property) and not name.endswith("_prefix")
    ]
    examples += [keys.lock("x"), keys.processing("x"), keys.claims("x"), keys.delivery("x"), keys.job("x")]
    unknown = [
        each
        for each in examples
        if not any(re.fullmatch(pattern.replace("*", ".*"), each) for pattern in patterns)
    ]
    assert unknown == []


@pytest.mark.parametrize("user", ["rest", "keeper"])
def test_both_services_remove_a_private_song(server: ServerWithUsers, user: str, tmp_path: Path) -> None:
    queue, song_hash = RedisQueue(server.address_of(user), policy=POLICY), "a" * 64
    song_store = SongStore(DirectoryStore(tmp_path))
    song_store.prepare()
    RedisSongRegistry(server.address_of("rest")).request_song(song_hash, visibility=Visibility.PRIVATE)
    rest = RedisQueue(server.address_of("rest"), policy=POLICY)
    rest.enqueue(Job(job_id=song_hash))
    registry = RedisSongRegistry(server.address_of(user))
    removal = Removal(queue=queue, registry=registry, song_store=song_store, is_referenced=lambda _: False)
    assert removal.remove(song_hash, job_ids=[song_hash])
    assert rest.waiting() == []
    removal.repeat()
    assert not replace(removal, is_referenced=lambda _: True).remove(song_hash)


@pytest.fixture
def environment(server: ServerWithUsers, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    def of(user: str) -> dict[str, str]:
        return {
            **os.environ,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(server.port),
            "REDIS_USERNAME": user,
            "REDIS_PASSWORD": password_of(user),
            "STORE_DIR": str(tmp_path / "store"),
            "PORT": str(rest_port),
            "RATE_LIMIT": "1000/minute",
            "MAX_QUEUED": "10",
            "RETENTION_HOURS": "24",
            "CALLBACK_ALLOW_PRIVATE": "1",
            "LOG_LEVEL": "debug",
            "TMPDIR": str(tmp_path),
        }

    rest_port = free_port()
    SongStore(DirectoryStore(tmp_path / "store")).prepare()
    return of


def test_services_separate_a_song_with_their_users(
    server: ServerWithUsers, environment: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    commands = {
        "rest": ["-m", "msaas_rest"],
        "keeper": ["-m", "msaas_keeper"],
        "worker": ["-m", "tests.faults.worker_process"],
        "logs": ["-m", "msaas_logs"],
    }
    processes = {
        user: ServiceProcess(
            [sys.executable, *command], environment=environment(user), log=tmp_path / f"{user}.log"
        )
        for user, command in commands.items()
    }
    try:
        url = f"http://127.0.0.1:{environment('rest')['PORT']}"
        processes["worker"].wait_for_event("worker_started")
        processes["rest"].wait_for_event("rest_started")
        assert requests.get(f"{url}/readyz", timeout=10).status_code == 200
        job_id = _send(url, callback=f"{url}/callback")
        wait_until(lambda: requests.get(f"{url}/apiv1/job/{job_id}", timeout=10).json()["state"] == "done")
        _send(url, callback=f"{url}/callback")
        for path in ("/metrics", "/apiv1/queue", "/apiv1/models", f"/apiv1/job/{job_id}/callbacks"):
            assert requests.get(url + path, timeout=10).status_code == 200, path
        processes["worker"].wait_for_event("webhook_failed")
        wait_until(lambda: "job_finished" in processes["logs"].output())
        server.client("client").lpush("toWorkers", "not a job")
        processes["worker"].wait_for_event("entry_dead_lettered")
        for process in (processes[name] for name in ("worker", "keeper", "rest")):
            process.terminate()
    finally:
        for process in processes.values():
            process.kill()


def _send(url: str, *, callback: str) -> str:
    files = {"mp3": ("song.mp3", song(), "audio/mpeg")}
    answer = requests.post(
        f"{url}/apiv1/separate", files=files, data={"callback": f'{{"url": "{callback}"}}'}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    job_id: str = answer.json()["songhash"]
    return job_id


def test_probes_of_the_pod_answer(server: ServerWithUsers) -> None:
    if not shutil.which("redis-cli"):
        pytest.skip("redis-cli is not installed")
    probe = (START.parent / "statefulset.yaml").read_text()
    (command,) = re.findall(r'command: \[sh, -c, "(redis-cli .*?)"\]', probe)
    command = command.replace("redis-cli", f"redis-cli -p {server.port}")
    environment = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": "probe"}
    assert subprocess.run(["sh", "-c", command], env=environment, check=False).returncode == 0
