"""API keys are known here by their SHA-256 only, and compared in constant time."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from msaas.errors import MissingKey, WrongKey

#: Shorter ones can be guessed; `openssl rand -hex 20` makes 40.
_FEWEST_CHARACTERS = 16
_HASHED = re.compile(r"sha256:([0-9a-f]{64})")
_BEARER = "bearer"


@dataclass(frozen=True)
class ApiKeys:
    """Shown as `***`: a hash of a key is nobody's business either."""

    digests: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.digests)

    def __repr__(self) -> str:
        return "***" if self else ""

    def check(self, authorization: str | None) -> bytes:
        """Return the digest of the key that `Authorization: Bearer <key>` holds.

        Raises:
            MissingKey: there is none.
            WrongKey: it is none of ours.
        """
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != _BEARER or not key.strip():
            raise MissingKey("Send it as Authorization: Bearer.")
        digest = _digest(key.strip())
        # All are compared, so that time does not tell which.
        if not sum(hmac.compare_digest(digest, known) for known in self.digests):
            raise WrongKey
        return digest


def parse_api_keys(text: str) -> ApiKeys:
    """Read keys or `sha256:<hex>` of keys, with commas between, or one a line in the file of `@/path`.

    Raises:
        ValueError: there is no key, or one that can be guessed.
    """
    entries = _lines(Path(text[1:])) if text.startswith("@") else text.split(",")
    digests = tuple(_parse_key(entry.strip()) for entry in entries if entry.strip())
    if not digests:
        raise ValueError("It holds no key.")
    return ApiKeys(digests)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"Its file cannot be read: {type(error).__name__}.") from None
    return [line for line in lines if not line.startswith("#")]


def _parse_key(entry: str) -> bytes:
    if hashed := _HASHED.fullmatch(entry):
        return bytes.fromhex(hashed.group(1))
    if len(entry) < _FEWEST_CHARACTERS:
        raise ValueError(f"A key has fewer than {_FEWEST_CHARACTERS} characters.")
    return _digest(entry)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
