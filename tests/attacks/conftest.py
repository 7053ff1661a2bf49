"""The services that are attacked, as the tests of `rest` start them."""

from rest.tests.conftest import start

__all__ = ["start"]
