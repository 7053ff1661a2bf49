"""Passwords: argon2id hashes, of which few are computed at once, and the rules of new passwords."""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from msaas.errors import TooBusy

MIN_CHARS, MAX_CHARS = 8, 256
#: A hash takes 64 MiB and a core.
_AT_ONCE = 2
_PATIENCE_S = 5.0


class Passwords:
    """Hashes and verifies `at_once` passwords. Others wait for `patience_s`, and then raise `TooBusy`."""

    def __init__(
        self,
        hasher: PasswordHasher | None = None,
        *,
        at_once: int = _AT_ONCE,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._hasher = hasher or PasswordHasher()
        self._free = threading.BoundedSemaphore(at_once)
        self._patience_s = patience_s

    def hash(self, password: str) -> str:
        with self._turn():
            return self._hasher.hash(_normal(password))

    def verify(self, password: str, *, hashed: str | None) -> bool:
        """Return whether this is the password. Without a hash, False after the same work."""
        with self._turn():
            decoy = self._decoy
            try:
                return self._hasher.verify(hashed or decoy, _normal(password)) and hashed is not None
            except (VerificationError, InvalidHashError):
                return False

    def is_outdated(self, hashed: str) -> bool:
        """Return whether the hash has other parameters than new ones."""
        return self._hasher.check_needs_rehash(hashed)

    @cached_property
    def _decoy(self) -> str:
        return self._hasher.hash("The hash that an unknown name is verified against.")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._free.acquire(timeout=self._patience_s):
            raise TooBusy("Too many logins are in progress. Try again in 5 s.")
        try:
            yield
        finally:
            self._free.release()


def _normal(password: str) -> bytes:
    """Return the form that the same keys give on each system. One that is too long is cut: no hash has it."""
    return unicodedata.normalize("NFC", password[: MAX_CHARS + 1]).encode(errors="surrogatepass")


def find_faults(password: str, *, username: str) -> list[str]:
    """Return the texts of the rules that a new password breaks."""
    if len(password) < MIN_CHARS:
        return [f"The password has fewer than {MIN_CHARS} characters."]
    if len(password) > MAX_CHARS:
        return [f"The password has more than {MAX_CHARS} characters."]
    try:
        password.encode()
    except UnicodeEncodeError:
        return ["The password has characters that are not Unicode."]
    if password.casefold() == username:
        return ["The password is the username."]
    return []
