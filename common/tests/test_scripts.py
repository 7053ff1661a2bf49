"""The Lua steps: their headers name what they take."""

import re
from importlib.resources import files

import pytest

from msaas.queue.redis.scripts import STEPS, Scripts, read_step
from tests.servers import RedisServer


def body(name: str) -> str:
    return (files("msaas.queue.redis") / "lua" / f"{name}.lua").read_text()


def test_every_script_is_a_step() -> None:
    folder = files("msaas.queue.redis") / "lua"
    assert {each.name for each in folder.iterdir()} == {f"{name}.lua" for name in (*STEPS, "prelude")}


@pytest.mark.parametrize("name", STEPS)
def test_step_says_what_it_does_and_names_its_keys(name: str) -> None:
    assert re.match(r"-- [A-Z].*\.", body(name))
    assert read_step(name).keys


@pytest.mark.parametrize("name", STEPS)
def test_step_uses_every_name_of_its_header(name: str) -> None:
    step, code = read_step(name), re.sub(r"^--.*$", "", body(name), flags=re.MULTILINE)
    assert len({*step.keys, *step.args}) == len(step.keys) + len(step.args)
    assert [each for each in (*step.keys, *step.args) if not re.search(rf"\b{each}\b", code)] == []


@pytest.mark.parametrize("name", [*STEPS, "prelude"])
def test_script_names_no_key_itself(name: str) -> None:
    assert not re.search(r"'(job:|toWorker|:\w)", body(name))


def test_call_refuses_missing_and_foreign_names(redis_server: RedisServer) -> None:
    scripts = Scripts(redis_server.client())
    with pytest.raises(TypeError, match="worker, lease"):
        scripts.call("heartbeat", keys={"workers": "w"}, args={"worker": "a"})
    with pytest.raises(TypeError, match="workers"):
        scripts.call("heartbeat", keys={"workers": "w", "job": "j"}, args={"worker": "a", "lease": 1})
