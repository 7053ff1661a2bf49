"""The Lua steps of the queue: each change of a job is one step on the server, so that no crash can split it.

A script names its keys and arguments in its header, `-- KEYS: a, b` and `-- ARGV: c, d`. They are its local
variables, and `Scripts.call` takes them by the same names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.commands.core import Script

from msaas.queue.history import MAX_HISTORY
from msaas.queue.protocol import ACCOUNT_PREFIX, MAX_LISTED_JOBS, MAX_REQUESTS
from msaas.queue.redis.clients import Client
from msaas.queue.redis.keys import Keys

#: A full server refuses these steps, which need memory. All others run: they end jobs or deliveries, which
#: frees memory.
_REFUSED_WHEN_FULL = {
    *("enqueue", "check_writable", "add_delivery", "redeliver"),
    *("request_song", "begin_deletion", "note_request", "restore_private_marks", "begin_request"),
}
STEPS = (
    "enqueue",
    "cancel",
    "check_writable",
    "take",
    "heartbeat",
    "announce",
    "claim",
    "renew",
    "finish",
    "fail",
    "release",
    "dead_letter",
    "deregister",
    "reap",
    "waiting_entries",
    "referenced_entries",
    "stale_fragments",
    "request_song",
    "begin_deletion",
    "begin_removal",
    "removals",
    "restore_private_marks",
    "begin_cleanup",
    "note_request",
    "forget",
    "add_delivery",
    "receive",
    "begin_request",
    "settle_request",
    "trim_history",
    "complete",
    "redeliver",
)
#: Local variables of every step.
_CONSTANTS = {
    "requests_suffix": f"'{Keys.requests_suffix}'",
    "max_requests": MAX_REQUESTS,
    "account_prefix": f"'{ACCOUNT_PREFIX}'",
    "max_listed_jobs": MAX_LISTED_JOBS,
    "max_history": MAX_HISTORY,
}
_HEADER = re.compile(r"^-- (KEYS|ARGV): (.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A script, with the names of its keys and arguments in the order of the header."""

    keys: tuple[str, ...]
    args: tuple[str, ...]
    source: str


def read_step(name: str) -> Step:
    """Return the step in `lua/<name>.lua`."""
    folder = files("msaas.queue.redis") / "lua"
    body = (folder / f"{name}.lua").read_text()
    names: dict[str, list[str]] = {"KEYS": [], "ARGV": []}
    for kind, text in _HEADER.findall(body):
        names[kind] += [each.strip() for each in text.split(",") if each.strip()]
    flags = "" if name in _REFUSED_WHEN_FULL else " flags=allow-oom"
    lines = [
        f"#!lua{flags}",
        *(f"local {name} = {value}" for name, value in _CONSTANTS.items()),
        (folder / "prelude.lua").read_text(),
    ]
    lines += [f"local {', '.join(names[kind])} = unpack({kind})" for kind in ("KEYS", "ARGV") if names[kind]]
    return Step(keys=tuple(names["KEYS"]), args=tuple(names["ARGV"]), source="\n".join([*lines, body]))


class Scripts:
    """The steps on one client. Needs Redis 7 or Valkey 7.2, for the `#!lua` flags."""

    def __init__(self, client: Client) -> None:
        self._steps = {name: read_step(name) for name in STEPS}
        self._scripts: dict[str, Script] = {
            name: client.register_script(step.source) for name, step in self._steps.items()
        }

    def call(self, name: str, *, keys: Mapping[str, str], args: Mapping[str, Any]) -> Any:
        """Run a step.

        Raises:
            TypeError: a name is missing or foreign to the header of the step.
        """
        step = self._steps[name]
        return self._scripts[name](
            keys=_in_order(name, step.keys, keys), args=_in_order(name, step.args, args)
        )


def _in_order(step: str, names: tuple[str, ...], values: Mapping[str, Any]) -> list[Any]:
    if values.keys() != set(names):
        raise TypeError(f"step {step} takes {', '.join(names)}, not {', '.join(values)}")
    return [values[name] for name in names]
