"""Each change of a job is one Lua step on the server, so that no crash can come in between."""

from importlib.resources import files

from redis.commands.core import Script

from msaas.redis_clients import Client

#: Only a new job may be refused for lack of memory: whoever ends one makes room.
_REFUSED_WHEN_FULL = {"enqueue"}
_JOB_STEPS = (
    "enqueue",
    "take",
    "beat",
    "claim",
    "renew",
    "finish",
    "fail",
    "give_back",
    "bury",
    "leave",
    "reap",
    "open_entries",
    "stale_pieces",
)
_CALLBACK_STEPS = ("put_down", "due", "settle", "redeliver")
_NAMES = (*_JOB_STEPS, *_CALLBACK_STEPS)


def _source(name: str) -> str:
    folder = files("msaas") / "lua"
    flags = "" if name in _REFUSED_WHEN_FULL else " flags=allow-oom"
    return f"#!lua{flags}\n{(folder / 'prelude.lua').read_text()}\n{(folder / f'{name}.lua').read_text()}"


class Scripts:
    """The steps, by name, on one client. Needs Redis 7 or Valkey 7.2 for the `#!lua` flags."""

    def __init__(self, client: Client) -> None:
        self._scripts: dict[str, Script] = {name: client.register_script(_source(name)) for name in _NAMES}

    def __getitem__(self, name: str) -> Script:
        return self._scripts[name]
