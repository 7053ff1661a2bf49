"""Messages of accounts."""

from typing import Annotated

from pydantic import Field

from msaas_rest.openapi.fields import Time
from msaas_rest.openapi.messages.base import Envelope, Message


class Registration(Message):
    username: str
    password1: str
    password2: Annotated[str, Field(description="The same again")]


class Credentials(Message):
    username: str
    password: str


class Password(Message):
    password: str


class NewPassword(Message):
    password: Annotated[str, Field(description="The present one")]
    password1: str
    password2: Annotated[str, Field(description="The same again")]


class User(Message):
    id: int
    username: str
    created_at: Time


class UserData(Message):
    user: User


class UserReply(Envelope):
    data: UserData


class Session(Message):
    """A session of the user. `agent` is the program that opened it, by its own account."""

    id: int
    agent: str
    created_at: Time
    last_seen_at: Time
    expires_at: Time
    is_current: Annotated[bool, Field(description="The session of this request")]


class SessionsData(Message):
    sessions: list[Session]


class SessionsReply(Envelope):
    data: SessionsData
