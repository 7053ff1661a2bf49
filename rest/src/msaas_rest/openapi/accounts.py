"""Routes of accounts."""

from openapi_pydantic import Header, Operation, PathItem, Schema

from msaas import errors
from msaas_rest.openapi.messages.accounts import (
    Credentials,
    NewPassword,
    Password,
    Registration,
    SessionsReply,
    UserReply,
)
from msaas_rest.openapi.messages.base import Envelope
from msaas_rest.openapi.operations import CHANGING, Reply, in_path, schema_of
from msaas_rest.openapi.songs import BODY, LOGGED_IN, OPEN, body_of, describe, success

TAG = "accounts"
#: Errors of routes that compute the hash of a password.
_HASHING = (errors.TooManyRequests, errors.QueueUnavailable)
_COOKIE = {"Set-Cookie": Header(description="The session", param_schema=schema_of(str))}
_TIME = "2026-11-29T19:44:33.398Z"
_SESSION = {
    "id": 12,
    "agent": "curl/8.5.0",
    "created_at": _TIME,
    "last_seen_at": _TIME,
    "expires_at": "2026-12-29T19:44:33.398Z",
    "is_current": True,
}


def paths() -> dict[str, PathItem]:
    return {
        "/auth/register": PathItem(post=_register()),
        "/auth/login": PathItem(post=_login()),
        "/auth/logout": PathItem(post=_logout()),
        "/auth/account": PathItem(get=_show(), delete=_delete()),
        "/auth/password": PathItem(post=_password()),
        "/auth/sessions": PathItem(get=_sessions(), delete=_revoke_others()),
        "/auth/sessions/{session_id}": PathItem(delete=_revoke()),
    }


def _done(description: str, *, sets_cookie: bool = False) -> dict[int, Reply]:
    headers = _COOKIE if sets_cookie else {}
    return {200: Reply(description=description, model=Envelope, example=success(), headers=headers)}


def _register() -> Operation:
    return describe(
        TAG,
        "Register, and log in",
        name="register",
        body=body_of(Registration),
        replies=_done("Registered", sets_cookie=True),
        raises=(*OPEN, *CHANGING, *BODY, *_HASHING, errors.UsernameTaken, errors.RegistrationClosed),
    )


def _login() -> Operation:
    return describe(
        TAG,
        "Log in",
        name="log_in",
        body=body_of(Credentials),
        replies=_done("Logged in", sets_cookie=True),
        raises=(*OPEN, *CHANGING, *BODY, *_HASHING, errors.LoginFailed),
    )


def _logout() -> Operation:
    return describe(
        TAG,
        "Log out",
        name="log_out",
        replies=_done("Logged out", sets_cookie=True),
        raises=(*OPEN, *CHANGING),
    )


def _show() -> Operation:
    example = success({"user": {"id": 3, "username": "ann", "created_at": _TIME}})
    return describe(
        TAG,
        "Show the user of the session",
        name="show_account",
        replies={200: Reply(description="The user", model=UserReply, example=example)},
        raises=LOGGED_IN,
    )


def _delete() -> Operation:
    return describe(
        TAG,
        "Delete the account, with its songs",
        name="delete_account",
        body=body_of(Password),
        replies=_done("Deleted", sets_cookie=True),
        raises=(*LOGGED_IN, *CHANGING, *BODY, *_HASHING, errors.UserNotFound),
    )


def _password() -> Operation:
    return describe(
        TAG,
        "Change the password, and end all other sessions",
        name="change_password",
        body=body_of(NewPassword),
        replies=_done("Changed", sets_cookie=True),
        raises=(*LOGGED_IN, *CHANGING, *BODY, *_HASHING, errors.UserNotFound),
    )


def _sessions() -> Operation:
    example = success({"sessions": [_SESSION]})
    return describe(
        TAG,
        "List the sessions of the user, the latest login first",
        name="list_sessions",
        replies={200: Reply(description="The sessions", model=SessionsReply, example=example)},
        raises=LOGGED_IN,
    )


def _revoke_others() -> Operation:
    return describe(
        TAG,
        "End all sessions but this one",
        name="revoke_other_sessions",
        replies=_done("Ended"),
        raises=(*LOGGED_IN, *CHANGING),
    )


def _revoke() -> Operation:
    number = Schema(type="string", pattern="^[1-9][0-9]*$")
    return describe(
        TAG,
        "End a session",
        name="revoke_session",
        parameters=[in_path("session_id", "Id of the session", number, example="12")],
        replies=_done("Ended"),
        raises=(*LOGGED_IN, *CHANGING, errors.SessionNotFound),
    )
