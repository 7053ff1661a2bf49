"""The caller of the songs API: a user with a session, or an anonymous client."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from msaas.errors import LoginRequired
from msaas.queue.protocol import ACCOUNT_PREFIX
from msaas.queue.song_registry import Visibility

if TYPE_CHECKING:
    from msaas_catalogue import Login


class Sessions(Protocol):
    def find(self, token: str) -> "Login":
        """Raises `SessionUnknown`."""


@dataclass(frozen=True)
class Visitor:
    """`login` is None for an anonymous caller. `owner` stands for the caller in the queue and in limits."""

    owner: str
    login: "Login | None" = None

    @property
    def user_id(self) -> int | None:
        return self.login.user.id if self.login else None

    @property
    def visibility(self) -> Visibility:
        """Return the visibility of an upload of this caller in the machine API."""
        return Visibility.PRIVATE if self.login else Visibility.PUBLIC

    def require_login(self) -> "Login":
        """Raises `LoginRequired` for an anonymous caller."""
        if self.login is None:
            raise LoginRequired("This call needs a login. Send the cookie of a session.")
        return self.login


def owner_of(user_id: int) -> str:
    """Return the user as the queue knows them."""
    return f"{ACCOUNT_PREFIX}{user_id}"


def visitor_of(token: str | None, *, address: str, sessions: Sessions) -> Visitor:
    """Return the caller with this token. One without a token is anonymous.

    Raises:
        SessionUnknown: the session of the token has ended.
    """
    if token is None:
        return Visitor(address)
    login = sessions.find(token)
    return Visitor(owner_of(login.user.id), login)
