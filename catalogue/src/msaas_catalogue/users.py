"""The rules of usernames, and users as values."""

import re
import unicodedata

from msaas_catalogue.fields import to_s, to_s_or_none
from msaas_catalogue.tables import USERNAME_CHARS, UserRow
from msaas_catalogue.values import User

#: Letters and digits of any language, and `_ . - @ +`.
_NAME = re.compile(r"[\w.@+-]+")


def parse_username(text: str) -> str:
    """Return the name in the form that is stored: NFKC, case-folded.

    Raises:
        ValueError: the text has no such form. The error has the rule that it breaks.
    """
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text[:1000]).strip().casefold())
    if not name:
        raise ValueError("The username is missing.")
    if len(name) > USERNAME_CHARS:
        raise ValueError(f"The username has more than {USERNAME_CHARS} characters.")
    if not _NAME.fullmatch(name):
        raise ValueError("The username has other characters than letters, digits and `_ . - @ +`.")
    return name


def user_of(row: UserRow) -> User:
    return User(
        id=row.id, name=row.name, created_at=to_s(row.created_at), disabled_at=to_s_or_none(row.disabled_at)
    )
