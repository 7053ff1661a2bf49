"""Models come from the hub's layout on loopback: whole, cut, damaged, silent, cached or not."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worker.tests.hub import FakeHub, hub_running
from worker.tests.models import as_safetensors, tiny

from msaas.errors import ModelUnavailable
from msaas_worker.separators import hub
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.library import load_separator
from msaas_worker.separators.repository import Repository

WEIGHTS = "adefossez/HTDemucs/955717e8.safetensors"


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    files = {
        "adefossez/HTDemucs/htdemucs.yaml": b"models: ['955717e8']\n",
        WEIGHTS: as_safetensors(tiny()),
    }
    with hub_running(FakeHub(files)) as fake:
        yield fake


def load(fake: FakeHub, cache: Path, *, silence_s: float = 10.0) -> str:
    repository = Repository(None, Hub(cache, fake.endpoint, silence_s))
    return load_separator("htdemucs", repository, device="cpu", precision="exact").weights_sha256


def test_a_model_is_fetched_once_and_then_comes_from_the_cache(fake: FakeHub, tmp_path: Path) -> None:
    first = load(fake, tmp_path)
    asked = list(fake.asked)
    assert load(fake, tmp_path) == first
    assert fake.asked == asked


def test_the_cache_answers_when_the_hub_is_gone(fake: FakeHub, tmp_path: Path) -> None:
    first = load(fake, tmp_path)
    assert load(FakeHub(endpoint="http://127.0.0.1:9"), tmp_path) == first


def test_a_download_that_is_cut_is_tried_again(fake: FakeHub, tmp_path: Path) -> None:
    fake.cuts = 1
    assert load(fake, tmp_path)
    assert sum(line.startswith("GET") and line.endswith(".safetensors") for line in fake.asked) == 2


def test_a_download_that_is_cut_for_good_leaves_no_model(fake: FakeHub, tmp_path: Path) -> None:
    fake.cuts = 100
    with pytest.raises(ModelUnavailable, match="MODEL_REPO"):
        load(fake, tmp_path, silence_s=2)
    fake.cuts = 0
    assert load(fake, tmp_path)


def test_weights_that_are_not_what_the_hub_announced_are_refused(fake: FakeHub, tmp_path: Path) -> None:
    fake.etags[WEIGHTS] = "0" * 64
    with pytest.raises(ModelUnavailable, match="damaged"):
        load(fake, tmp_path)


def test_weights_damaged_in_the_cache_are_refused(fake: FakeHub, tmp_path: Path) -> None:
    load(fake, tmp_path)
    (weights,) = tmp_path.rglob("955717e8.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.resolve().write_bytes(content)
    with pytest.raises(ModelUnavailable, match="damaged"):
        load(fake, tmp_path)


@pytest.mark.parametrize("cache", ["/proc/msaas", "/sys/msaas", "/dev/null/msaas"])
def test_a_cache_that_cannot_be_written_is_done_without(cache: str, fake: FakeHub) -> None:
    assert load(fake, Path(cache))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_is_done_without(fake: FakeHub, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert load(fake, tmp_path)


def test_a_hub_that_is_silent_is_given_up(fake: FakeHub, tmp_path: Path) -> None:
    fake.silence_s = 5.0
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="no answer"):
        load(fake, tmp_path, silence_s=0.5)
    assert time.monotonic() - began < 2.5


def test_a_hub_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as error:
        load(FakeHub(endpoint="http://127.0.0.1:9"), tmp_path, silence_s=3)
    for advice in ("htdemucs.yaml", "MODEL_REPO", "http://127.0.0.1:9", "MODEL_FALLBACK=starter"):
        assert advice in str(error.value)


def test_a_model_that_the_hub_does_not_have_is_unavailable(fake: FakeHub, tmp_path: Path) -> None:
    del fake.files["adefossez/HTDemucs/htdemucs.yaml"]
    with pytest.raises(ModelUnavailable):
        load(fake, tmp_path)


def test_an_error_of_the_client_is_an_unavailable_model(
    fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mocked: the client's own failures cannot be had at will."""
    cached = hub.hf_hub_download

    def broken(*args: Any, **kwargs: Any) -> str:
        if kwargs.get("local_files_only"):
            return cached(*args, **kwargs)
        raise RuntimeError("Bad file descriptor")

    monkeypatch.setattr(hub, "hf_hub_download", broken)
    with pytest.raises(ModelUnavailable, match="RuntimeError: Bad file descriptor"):
        load(fake, tmp_path)
