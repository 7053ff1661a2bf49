"""Compare HTTP servers for the app of `rest`: waits of honest clients among 1,500 that misbehave, and memory.

    python -m bench.http_servers                     # every server that is installed
    python -m bench.http_servers gunicorn waitress   # these

Needs the servers that are compared: pip install gunicorn waitress granian a2wsgi.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.attacks.crowd import be_silent, crowd, linger, measure, trickle
from tests.servers import free_port, redis_running, wait_until

_THREADS = 256
_EACH = 500
_REQUESTS = 100


def _app() -> Any:
    from msaas_rest.app import create_app
    from msaas_rest.bootstrap import bootstrap
    from msaas_rest.settings import RestSettings

    return create_app(bootstrap(RestSettings.from_env()))


def _serve_gunicorn(port: int) -> None:
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):
        def load_config(self) -> None:
            options = {"bind": f"127.0.0.1:{port}", "worker_class": "gthread", "threads": _THREADS}
            for name, value in {**options, "worker_connections": 4 * _THREADS, "loglevel": "error"}.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return _app()

    Server().run()


def _serve_waitress(port: int) -> None:
    import waitress

    waitress.serve(_app(), host="127.0.0.1", port=port, threads=64, connection_limit=8192, channel_timeout=30)


def _serve_granian(port: int) -> None:
    from granian import Granian
    from granian.constants import Interfaces

    Granian(
        "bench.http_servers:_app",
        factory=True,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        blocking_threads=64,
        backpressure=8192,
    ).serve()


def _serve_a2wsgi(port: int) -> None:
    import uvicorn
    from a2wsgi import WSGIMiddleware

    app: Any = WSGIMiddleware(_app(), workers=64)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def _serve_own(port: int) -> None:
    from msaas_rest.http.server import serve
    from msaas_rest.settings import RestSettings

    serve(RestSettings.from_env())


SERVERS: dict[str, Callable[[int], None]] = {
    "gunicorn": _serve_gunicorn,
    "waitress": _serve_waitress,
    "granian": _serve_granian,
    "a2wsgi": _serve_a2wsgi,
    "own": _serve_own,
}
ATTACKS = {
    "none": (),
    "lingering": (linger,),
    "silent": (be_silent,),
    "trickling": (trickle,),
    "all": (linger, be_silent, trickle),
}


def compare(name: str, folder: Path) -> None:
    """Print a row for each attack."""
    with redis_running(folder / "redis") as redis:
        port = free_port()
        environment = {
            **os.environ,
            "REDIS_HOST": redis.address.host,
            "REDIS_PORT": str(redis.address.port),
            "STORE_DIR": str(folder),
            "PORT": str(port),
        }
        command = [sys.executable, "-m", "bench.http_servers", "--serve", name, str(port)]
        server = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: _answers(port), timeout_s=60)
            for attack, clients in ATTACKS.items():
                asyncio.run(_attack(name, attack, clients, port=port, pid=server.pid))
        finally:
            for process in (*psutil.Process(server.pid).children(recursive=True), server):
                process.kill()
            server.wait()


def _answers(port: int) -> bool:
    with suppress(OSError):
        return asyncio.run(measure(port, "/healthz", requests=2)).failed == 0
    return False


async def _attack(name: str, attack: str, clients: Any, *, port: int, pid: int) -> None:
    async with crowd(*clients, port=port, each=_EACH):
        waits = await measure(port, "/apiv1/queue", requests=_REQUESTS)
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        memory_mib = sum(process.memory_info().rss for process in processes) / 2**20
        threads = sum(process.num_threads() for process in processes)
    print(f"| {name} | {attack} | {waits} | {memory_mib:.0f} MiB | {threads} |", flush=True)
    await asyncio.sleep(2)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        return SERVERS[sys.argv[2]](int(sys.argv[3]))
    print(
        "| server | 500 clients each | GET /apiv1/queue of others | memory | threads |\n|---|---|---|---|---|"
    )
    for name in sys.argv[1:] or SERVERS:
        with tempfile.TemporaryDirectory() as folder:
            compare(name, Path(folder))


if __name__ == "__main__":
    main()
