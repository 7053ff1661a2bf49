"""API keys: kept as SHA-256, compared in constant time."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from msaas.errors import MissingKey, WrongKey

#: Shorter keys can be guessed. `openssl rand -hex 20` makes 40 characters.
_MIN_CHARACTERS = 16
_HASHED = re.compile(r"sha256:([0-9a-f]{64})")
_BEARER = "bearer"


@dataclass(frozen=True)
class ApiKeys:
    """The hashes of the accepted keys. Shown as `***`: hashes are secrets, too."""

    digests: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.digests)

    def __repr__(self) -> str:
        return "***" if self else ""

    def check(self, authorization: str | None) -> bytes:
        """Return the digest of the key that `Authorization: Bearer <key>` holds.

        Raises:
            MissingKey: the header is missing.
            WrongKey: the key is unknown.
        """
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != _BEARER or not key.strip():
            raise MissingKey("The API key is missing. Send it as `Authorization: Bearer <key>`.")
        digest = _digest(key.strip())
        # Compare with all, so that the time shows nothing.
        if not sum(hmac.compare_digest(digest, known) for known in self.digests):
            raise WrongKey("The API key is unknown. Ask the operator for a valid key.")
        return digest


def parse_api_keys(text: str) -> ApiKeys:
    """Read keys or `sha256:<hex>` of keys, separated by commas, or one a line in the file of `@/path`.

    Raises:
        ValueError: there is no key, or one is too short.
    """
    entries = _lines(Path(text[1:])) if text.startswith("@") else text.split(",")
    digests = tuple(_parse_key(entry.strip()) for entry in entries if entry.strip())
    if not digests:
        raise ValueError("The list of keys is empty.")
    return ApiKeys(digests)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The file of keys cannot be read: {type(error).__name__}.") from None
    return [line for line in lines if not line.startswith("#")]


def _parse_key(entry: str) -> bytes:
    if hashed := _HASHED.fullmatch(entry):
        return bytes.fromhex(hashed.group(1))
    if len(entry) < _MIN_CHARACTERS:
        raise ValueError(f"A key has fewer than {_MIN_CHARACTERS} characters.")
    return _digest(entry)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
