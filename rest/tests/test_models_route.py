"""`GET /apiv1/models`: facts of the table, and the models that live workers run."""

import hashlib
from pathlib import Path

import pytest
from rest.tests.in_memory import client_on

import msaas
from msaas.models import MODELS, STARTER
from msaas.queue.abilities import Abilities, Fleet
from msaas.queue.memory import InMemoryQueue

STARTER_WEIGHTS = (
    Path(msaas.__file__).parents[3] / "worker/src/msaas_worker/separators/starter/starter.safetensors"
)


def rows(queue: InMemoryQueue | None = None, *, default: str = STARTER) -> dict[str, dict[str, object]]:
    answer = client_on(queue=queue or InMemoryQueue(), demucs_model=default).get("/apiv1/models")
    assert answer.json["default"] == default  # type: ignore[index]
    return {row["name"]: row for row in answer.json["models"]}  # type: ignore[index]


def test_rows_have_the_facts_of_the_table() -> None:
    found = rows()
    assert list(found) == list(MODELS)
    fields = {"name", "stems", "family", "samplerate", "code_license", "weights_license", "source"}
    assert all(
        set(row) == fields | {"sha256", "size_bytes", "available", "default"} for row in found.values()
    )
    assert "not covered by the MIT license" in str(found["htdemucs"]["weights_license"])
    assert "license: mit" in str(found["htdemucs"]["weights_license"])


def test_checksum_and_size_are_those_of_the_weights() -> None:
    weights = STARTER_WEIGHTS.read_bytes()
    row = rows()[STARTER]
    assert (row["sha256"], row["size_bytes"]) == (hashlib.sha256(weights).hexdigest(), len(weights))


@pytest.mark.parametrize("default", ["htdemucs", STARTER])
def test_one_row_is_the_default(default: str) -> None:
    assert [name for name, row in rows(default=default).items() if row["default"]] == [default]


def test_model_is_available_if_a_live_worker_runs_it() -> None:
    queue = InMemoryQueue()
    assert not any(row["available"] for row in rows(queue).values())
    consumer = queue.consumer("w1")
    assert consumer.take(timeout_s=0) is None
    # The starter runs in place of htdemucs, which is not available itself.
    consumer.announce(Abilities({"htdemucs": STARTER, STARTER: STARTER}))
    assert [name for name, row in rows(queue).items() if row["available"]] == [STARTER]


def test_model_of_a_dead_worker_is_not_available() -> None:
    announced = {"w1": Abilities({STARTER: STARTER})}
    assert Fleet.of(announced, live={"w1"}).runs(STARTER)
    assert not Fleet.of(announced, live=()).runs(STARTER)
