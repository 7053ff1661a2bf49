"""Control characters, long values and secrets in logs, and a flood of the log of the local stack."""

import json
import os
from pathlib import Path
from typing import Any

import requests
from bench.attacks.release import Release
from bench.attacks.target import MIB, Attack, Check, Target, head_of
from rest.tests.service import Service

from msaas_rest.settings import RestSettings
from tests.attacks.test_log_injection import MAX_CHARS, attack
from tests.servers import wait_until

_FLOOD = """
import sys, time
from pathlib import Path
from msaas_local.supervisor import Supervisor
try:
    from msaas_local.processes import Process
except ImportError:
    from msaas_local.parts import Part as Process
program = '''
import time
for number in range(100):
    print(("x" * 1023 + "\\\\n") * 1024, end="", flush=True)
open("ended", "w").close()
time.sleep(60)
'''
supervisor = Supervisor(Path("logs"), print)
supervisor.start([Process("flood", (sys.executable, "-c", program))])
while not Path("ended").exists():
    supervisor.watch()
    time.sleep(0.1)
supervisor.watch()
print(sum(file.stat().st_size for file in Path("logs").iterdir()))
supervisor.stop()
"""


class AnyService(Service):
    """A service of any release: its replies are not compared with the OpenAPI document of this one."""

    def call(
        self, method: str, path: str, *, session: requests.Session | None = None, **kwargs: Any
    ) -> requests.Response:
        return requests.request(method, self.url + path, timeout=60, **kwargs)


def inject(target: Target) -> str:
    service = AnyService(
        process=target.process, url=target.url, settings=RestSettings(port=target.port), log=target.log
    )
    sent = attack(service)
    own, sent_on = _lines(target)
    values = [value for line in own for value in _values(line)]
    strange = [value for value in [*values, *sent_on] if not value.isprintable()]
    long = [value for value in values if len(value) > MAX_CHARS]
    return (
        f"{sent} requests: control characters in {len(strange)} of {len(values) + len(sent_on)} values and "
        f"lines, {len(long)} values longer than {MAX_CHARS:,} characters (longest {max(map(len, values)):,})"
    )


def _lines(target: Target) -> tuple[list[str], list[str]]:
    """Return the lines of `rest` and those for the service `logs`, after the last request."""
    marker = "the-last-request"
    target.get("/apiv1/track/" + "f" * 64 + f"/{marker}")
    wait_until(lambda: marker in target.log.read_text(errors="replace"), timeout_s=10)
    client = target.redis.client()
    wait_until(lambda: marker.encode() in b"".join(client.lrange("logging", 0, 0)), timeout_s=10)
    sent_on = [line.decode() for line in client.lrange("logging", 0, -1)]
    return target.log.read_text(errors="replace").rstrip("\n").split("\n"), sent_on


def _values(line: str) -> list[str]:
    """Return the texts of a JSON line, or another line as it is."""
    try:
        fields = json.loads(line)
    except ValueError:
        return [line]
    return [value for value in fields.values() if isinstance(value, str)]


def send_secrets(target: Target) -> str:
    """Put a secret of its own into each place of a request."""
    # In lower case, as some parsers make it.
    secrets = {place: f"secret{number:02}of{os.urandom(4).hex()}" for number, place in enumerate(_PLACES)}
    for place, send in _PLACES.items():
        send(target, secrets[place])
    own, sent_on = _lines(target)
    text = "\n".join([*own, *sent_on])
    reached = [place for place, secret in secrets.items() if secret in text]
    return f"{len(reached)} of {len(secrets)} places reach a log: {', '.join(reached) or 'none'}"


def _post(target: Target, **fields: Any) -> None:
    requests.post(f"{target.url}/apiv1/separate", json={"mp3": "QUJD", **fields}, timeout=60)


def _post_raw(target: Target, headers: str, body: str = "") -> None:
    target.send_raw(head_of("/apiv1/separate", method="POST", headers=headers) + body)


def _send_chunks(target: Target, chunks: str) -> None:
    """Send a body that is read, and one that is not."""
    _post_raw(target, _CHUNKED, chunks)
    target.send_raw(head_of("/apiv1/queue", headers=_CHUNKED) + chunks)


_CHUNKED = "Content-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n"
_PLACES: dict[str, Any] = {
    "path": lambda target, secret: target.get(f"/apiv1/track/{'f' * 64}/{secret}"),
    "query string": lambda target, secret: target.get(f"/apiv1/queue?key={secret}"),
    "Host": lambda target, secret: target.get("/apiv1/queue", Host=f"{secret}.example"),
    "Content-Type": lambda target, secret: _post_raw(
        target, f"Content-Type: text/{secret}\r\nContent-Length: 1\r\n", "x"
    ),
    "Authorization": lambda target, secret: target.get("/apiv1/queue", Authorization=f"Bearer {secret}"),
    "Cookie": lambda target, secret: target.get("/apiv1/queue", Cookie=f"session={secret}"),
    "model": lambda target, secret: _post(target, model=secret),
    "`callback.secret`": lambda target, secret: _post(
        target, callback={"url": "http://x.example/", "secret": secret}
    ),
    "`callback.url`": lambda target, secret: _post(
        target, callback={"url": f"http://user:{secret}@x.example/{secret}?{secret}"}
    ),
    "chunk size": lambda target, secret: _send_chunks(target, f"{secret}\r\nx\r\n0\r\n\r\n"),
    "trailer": lambda target, secret: _send_chunks(target, f"1\r\nx\r\n0\r\n{secret}\r\n\r\n"),
    "header without colon": lambda target, secret: _post_raw(target, f"{secret}\r\nContent-Length: 0\r\n"),
    "request line": lambda target, secret: target.send_raw(f"{secret}\r\n\r\n"),
}


def flood_the_log(release: Release, folder: Path) -> str:
    kept = int(release.run(f"import os; os.chdir({str(folder)!r})\n{_FLOOD}").split("\n")[-1])
    return f"{kept / MIB:.0f} MiB kept"


_DEBUG = {"LOG_LEVEL": "debug"}
ATTACKS = (
    Attack(row=7, damage="control characters and long texts in requests", run=inject, environment=_DEBUG),
    Attack(row=7, damage="secrets in requests", run=send_secrets, environment=_DEBUG),
)
CHECKS = (Check(row=15, damage="a process of the local stack logs 100 MiB at once", run=flood_the_log),)
