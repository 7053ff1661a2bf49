"""Findings of the checks, and the report of them without secrets."""

import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from msaas_client.command.exits import ExitCode

#: Proxies, which may have a user and a password: `[http://][ann:password@]host:port`.
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY")
#: Variables that change the behaviour.
_VARIABLES = (
    *("MSAAS_URL", "MODEL_REPO", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "OMP_NUM_THREADS"),
    *("CUDA_VISIBLE_DEVICES", *_PROXIES, "NO_PROXY"),
)
#: Variables of which a report says only whether they are set.
_SECRETS = ("MSAAS_API_KEY", "HF_TOKEN")
_PACKAGES = (
    *("msaas-client", "msaas", "msaas-worker", "demucs", "torch", "numpy", "soundfile", "lameenc"),
    *("requests", "urllib3", "click", "tqdm"),
)
_USER_IN_URL = re.compile(r"//[^/\s]+@")
_TOKEN = re.compile(r"\b(?:hf_|whsec_)[A-Za-z0-9+/=_-]+|(?i:bearer)\s+[A-Za-z0-9._~+/=-]{8,}")
_MASK = "***"


class Outcome(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check. `facts` has the figures."""

    name: str
    outcome: Outcome
    detail: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.FAILED

    def to_json(self) -> str:
        """Return a JSON object with secrets masked."""
        found = {"check": self.name, "outcome": self.outcome, "detail": self.detail, "facts": self.facts}
        return json.dumps(_mask_all(found))


def code_of(findings: Iterable[Finding]) -> ExitCode:
    """Return the exit code: that of the first check that failed."""
    failed = (each.exit_code for each in findings if each.outcome is Outcome.FAILED)
    return next(failed, ExitCode.DONE)


def write_report(findings: Iterable[Finding]) -> str:
    """Return a text to attach to a bug report: findings, versions and settings, with secrets masked."""
    lines = ["# msaas doctor", "", f"Python {platform.python_version()} on {platform.platform()}", ""]
    lines += [f"- {each.name}: {each.outcome}. {each.detail}" for each in findings]
    figures = {each.name: _mask_all(each.facts) for each in findings if each.facts}
    lines += ["", "## Figures", "", json.dumps(figures, indent=1)]
    lines += ["", "## Packages", "", *(f"{name} {_version_of(name)}" for name in _PACKAGES)]
    lines += ["", "## Settings", "", *(f"{name}={os.environ.get(name, '')}" for name in _VARIABLES)]
    lines += [f"{name} is {'set' if os.environ.get(name) else 'not set'}" for name in _SECRETS]
    return mask_secrets("\n".join([*lines, f"command: {Path(sys.argv[0]).name}", ""]))


def mask_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Replace keys, tokens, users in URLs and the home folder."""
    for name in _SECRETS:
        if value := environment.get(name, "").strip():
            text = text.replace(value, _MASK)
    for name in (*_PROXIES, *map(str.lower, _PROXIES)):
        user, at, _ = environment.get(name, "").rpartition("@")
        text = text.replace(user + at, f"{_MASK}@") if at else text
    text = _TOKEN.sub(_MASK, _USER_IN_URL.sub(f"//{_MASK}@", text))
    home = str(Path.home())
    return text.replace(home, "~") if home != "/" else text


def _mask_all(value: Any) -> Any:
    """Mask the texts of a JSON value. In JSON itself a secret may have another form."""
    match value:
        case str():
            return mask_secrets(value)
        case Mapping():
            return {name: _mask_all(each) for name, each in value.items()}
        case list() | tuple():
            return [_mask_all(each) for each in value]
    return value


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"
