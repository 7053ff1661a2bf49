"""Verified keys: once each, and never after a failure."""

import pytest

from msaas.storage.verified import Verified


def test_key_is_verified_once() -> None:
    verified, calls = Verified(), []
    for key in ("a", "b", "a"):
        verified.verify_once(key, lambda key=key: calls.append(key))
    assert calls == ["a", "b"]


def test_failed_verification_is_repeated() -> None:
    verified, calls = Verified(), []

    def fail() -> None:
        calls.append("a")
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):  # noqa: PT011 - the error of this test
            verified.verify_once("a", fail)
    assert calls == ["a", "a"]


def test_latest_keys_are_remembered() -> None:
    verified, calls = Verified(size=2), []
    for key in ("a", "b", "c", "c", "a"):
        verified.verify_once(key, lambda key=key: calls.append(key))
    assert calls == ["a", "b", "c", "a"]
