"""The services that are attacked, as the tests of `rest` start them."""

from rest.tests.conftest import start

from tests.faults.conftest import system

__all__ = ["start", "system"]
