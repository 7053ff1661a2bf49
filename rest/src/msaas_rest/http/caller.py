"""The caller of an authorised request, and what it may do."""

from dataclasses import dataclass

from msaas.errors import ScopeMissing
from msaas_rest.http.api_keys import Scope


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The client of an authorised request.

    `owner` stands for it in the queue. `name` is that of its key: with a name it sees only what keys of that
    name sent.
    """

    owner: str
    name: str = ""
    scope: Scope = Scope.ADMIN

    @property
    def sees_all(self) -> bool:
        return not self.name or self.scope is Scope.ADMIN

    def require(self, scope: Scope) -> None:
        """Raises `ScopeMissing` if the key of the caller has a smaller scope."""
        if self.scope < scope:
            raise ScopeMissing(
                f"Key {self.name!r} has the scope `{self.scope.name.lower()}`. This call needs "
                f"`{scope.name.lower()}`. Ask the operator for another key."
            )
