"""API keys: kept as SHA-256, compared in constant time. A key may have a name and a scope."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from msaas.errors import MissingKey, WrongKey

#: Shorter keys can be guessed. `openssl rand -hex 20` makes 40 characters.
MIN_CHARACTERS = 16
_HASHED = re.compile(r"sha256:([0-9a-f]{64})")
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_-]{0,31}):(?P<scope>read|write|admin):(?P<key>.+)")
_BEARER = "bearer"


class Scope(IntEnum):
    """Each scope includes those before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True)
class ApiKey:
    """A key without a name may do everything, and sees everything."""

    digest: bytes
    name: str = ""
    scope: Scope = Scope.ADMIN


@dataclass(frozen=True)
class ApiKeys:
    """The accepted keys. Shown as `***`: hashes are secrets, too."""

    keys: tuple[ApiKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.keys)

    def __repr__(self) -> str:
        return "***" if self else ""

    def check(self, authorization: str | None) -> ApiKey:
        """Return the key that `Authorization: Bearer <key>` holds.

        Raises:
            MissingKey: the header is missing.
            WrongKey: the key is unknown.
        """
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != _BEARER or not text.strip():
            raise MissingKey("The API key is missing. Send it as `Authorization: Bearer <key>`.")
        digest = _digest(text.strip())
        # Compare with all, so that the time shows nothing.
        found = [key for key in self.keys if hmac.compare_digest(digest, key.digest)]
        if not found:
            raise WrongKey("The API key is unknown. Ask the operator for a valid key.")
        return found[0]


def parse_api_keys(text: str) -> ApiKeys:
    """Read keys, separated by commas, or one a line in the file of `@/path`.

    A key is `<key>` or `sha256:<hex>`, with `<name>:<scope>:` before it if it has a name.

    Raises:
        ValueError: there is no key, one is too short, or one stands twice.
    """
    entries = _lines(Path(text[1:])) if text.startswith("@") else text.split(",")
    keys = tuple(_parse_key(entry.strip()) for entry in entries if entry.strip())
    if not keys:
        raise ValueError("The list of keys is empty.")
    if len({key.digest for key in keys}) < len(set(keys)):
        raise ValueError("A key stands twice, with different names or scopes.")
    return ApiKeys(keys)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The file of keys cannot be read: {type(error).__name__}.") from None
    return [line for line in lines if not line.startswith("#")]


def _parse_key(entry: str) -> ApiKey:
    if named := _NAMED.fullmatch(entry):
        return ApiKey(_parse_digest(named["key"]), named["name"], Scope[named["scope"].upper()])
    return ApiKey(_parse_digest(entry))


def _parse_digest(text: str) -> bytes:
    if hashed := _HASHED.fullmatch(text):
        return bytes.fromhex(hashed.group(1))
    if len(text) < MIN_CHARACTERS:
        raise ValueError(f"A key has fewer than {MIN_CHARACTERS} characters.")
    return _digest(text)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
