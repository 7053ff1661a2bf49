"""`msaas doctor` on a healthy, a half-configured and a broken installation."""

import json
import socket
import time
from pathlib import Path

import pytest
from rest.tests.song_site import SongSite, file
from worker.tests.models import tiny, write_repo

from client.tests.stack import Stack, run
from msaas_client.doctor.findings import Finding, Outcome, mask_secrets
from tests.servers import free_port

pytestmark = [pytest.mark.server, pytest.mark.slow]

STEMS = ("drums", "bass", "other", "vocals")


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights: htdemucs at a size for tests."""
    return write_repo(tmp_path_factory.mktemp("models"), [tiny()])


def outcomes(shown: str) -> dict[str, str]:
    """Return the outcome of each check."""
    return {line.split()[1]: line.split()[0] for line in shown.splitlines()}


def test_healthy_installation_passes_every_check(stack: Stack, repo: Path, tmp_path: Path) -> None:
    done = run(stack.url, "doctor", "--json", "--repo", repo, cwd=tmp_path)
    found = {each["check"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert {name: each["outcome"] for name, each in found.items()} == {
        "server": "ok",
        "key": "ok",
        "models": "warning",
        "formats": "ok",
        "machine": found["machine"]["outcome"],
        "weights": "ok",
        "separation": "ok",
    }, done.stdout
    assert done.returncode == 0
    facts = found["separation"]["facts"]
    assert set(facts["snr_db"]) == set(STEMS)
    assert min(facts["snr_db"].values()) >= facts["least_db"]
    assert facts["speed_ratio"] == pytest.approx(facts["demucs_seconds"] / facts["seconds"], rel=0.2)
    assert facts["device"] == "cpu"
    assert found["server"]["facts"]["workers"] == 1


@pytest.mark.parametrize(("patience", "least", "most"), [("0", 1, 1), ("2", 3, 9)])
def test_patience_is_the_time_for_a_busy_server(patience: str, least: int, most: int, tmp_path: Path) -> None:
    """No real server is busy for ever: the site answers 503."""
    answers = {"/readyz": file(b'{"queue": "ok", "store": "ok"}'), "/apiv1/jobs": file(b"", status=503)}
    with SongSite(answers) as site:
        done = run(site.url(""), "doctor", "--no-engine", "--patience", patience, cwd=tmp_path)
        tries = sum(each.startswith("/apiv1/jobs") for each in site.requested)
    assert outcomes(done.stdout)["key"] == "failed"
    assert least <= tries <= most


def test_flags_choose_the_checks_the_model_and_the_device(repo: Path, tmp_path: Path) -> None:
    flags = ("--no-server", "-m", "htdemucs_ft", "-d", "cpu", "--repo", repo)
    done = run("", "doctor", *flags, cwd=tmp_path)
    found = outcomes(done.stdout)
    assert (done.returncode, found["server"], found["weights"]) == (1, "skipped", "failed")
    assert "Model htdemucs_ft is not on this machine" in done.stdout
    done = run("", "doctor", "--no-server", "-m", "starter", "-d", "cpu", cwd=tmp_path)
    assert (done.returncode, outcomes(done.stdout)["weights"]) == (0, "ok"), done.stdout
    assert "starter is verified and loaded" in done.stdout


def test_silent_server_counts_as_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        done = run(url, "doctor", "--no-engine", cwd=tmp_path)
    assert (done.returncode, outcomes(done.stdout)["server"]) == (3, "failed")
    assert time.monotonic() - began < 15


def test_half_configured_installation_is_explained(idle_stack: Stack, tmp_path: Path) -> None:
    hub = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = run(idle_stack.url, "doctor", cwd=tmp_path, **hub)
    found = outcomes(done.stdout)
    assert (done.returncode, found["server"], found["models"]) == (1, "warning", "warning")
    assert "no worker runs: songs wait" in done.stdout
    assert found["weights"] == "failed"
    assert "Model htdemucs is not on this machine: MODEL_REPO is not set" in done.stdout
    assert "separation" not in found


def test_broken_installation_is_explained(repo: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "models"
    damaged.mkdir()
    for path in repo.iterdir():
        content = bytearray(path.read_bytes())
        if path.suffix == ".th":
            content[len(content) // 2] ^= 1
        (damaged / path.name).write_bytes(content)
    url = f"http://127.0.0.1:{free_port()}"
    done = run(url, "doctor", "--repo", damaged, cwd=tmp_path)
    found = outcomes(done.stdout)
    assert (done.returncode, found["server"], found["weights"]) == (3, "failed", "failed")
    assert f"{url} does not answer: Connection refused" in done.stdout
    assert "is damaged: its SHA-256 begins with" in done.stdout


@pytest.mark.parametrize("user", ["http://ann:password", "ann:password", "http://ann:p@password"])
def test_report_has_no_secrets(user: str, stack: Stack, tmp_path: Path) -> None:
    proxy = f"{user}@proxy.example:3128"
    secrets = {
        "MSAAS_API_KEY": "the-secret-key",
        "HF_TOKEN": "hf_abcdefghijkl",
        "HTTPS_PROXY": proxy,
        "NO_PROXY": "127.0.0.1",
    }
    done = run(stack.url, "doctor", "--no-engine", "--report", "report.md", cwd=tmp_path, **secrets)
    assert done.returncode == 0
    report = (tmp_path / "report.md").read_text()
    assert "- server: ok." in report
    assert "msaas-client 0.1.0" in report
    assert "MSAAS_API_KEY is set" in report
    assert "HTTPS_PROXY=***@proxy.example:3128" in report
    for secret in ("the-secret-key", "hf_abcdefghijkl", "ann:", "password"):
        assert secret not in report + done.stdout + done.stderr


def test_tokens_and_the_home_folder_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    text = "GET //ann:p@w@host/a with Bearer abc.def+/= in /home/ann/models"
    assert mask_secrets(text, {}) == "GET //***@host/a with *** in ~/models"
    for name in ("HTTPS_PROXY", "http_proxy"):
        assert mask_secrets("by ann:p@w@host", {name: "ann:p@w@host:3128"}) == "by ***@host"


def test_json_is_valid_without_a_key(keyed_stack: Stack, tmp_path: Path) -> None:
    """The error of a missing key names the header `Authorization: Bearer <key>`."""
    done = run(keyed_stack.url, "doctor", "--no-engine", "--json", cwd=tmp_path)
    found = {each["check"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert (done.returncode, found["key"]["outcome"]) == (4, "failed")
    assert "Bearer <key>" in found["key"]["detail"]


def test_secrets_in_json_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote has another form in JSON."""
    monkeypatch.setenv("MSAAS_API_KEY", 'the"key')
    facts = {"urls": ["//ann:pw@host"], "sent": 'the"key'}
    found = json.loads(Finding(name="key", outcome=Outcome.OK, detail='the"key', facts=facts).to_json())
    assert (found["detail"], found["facts"]) == ("***", {"urls": ["//***@host"], "sent": "***"})


@pytest.mark.parametrize("error", ['ImportError("libcudart.so is missing")', 'RuntimeError("no CUDA")'])
def test_broken_engine_is_a_finding_and_in_the_report(error: str, stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(f"raise {error}")
    arguments = ("doctor", "--report", "report.md")
    done = run(stack.url, *arguments, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    name, text = error.rstrip('")').split('("')
    assert (done.returncode, outcomes(done.stdout)["engine"]) == (1, "failed"), done.stderr
    assert f"{name}: {text}" in done.stdout
    assert f"- engine: failed. {name}: {text}" in (tmp_path / "report.md").read_text()


def test_folder_of_a_report_must_exist(stack: Stack, tmp_path: Path) -> None:
    done = run(stack.url, "doctor", "--report", "absent/report.md", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "absent/report.md" in done.stderr


def test_foreign_service_accepts_no_songs(tmp_path: Path) -> None:
    with SongSite({"/readyz": file(b"{}")}) as site:
        done = run(site.url(""), "doctor", "--no-engine", cwd=tmp_path)
    assert outcomes(done.stdout)["server"] == "failed"
    assert "queue: unknown, store: unknown" in done.stdout
