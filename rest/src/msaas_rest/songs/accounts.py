"""Routes of accounts: register, log in, log out, sessions, password, deletion."""

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, request

from msaas.errors import RegistrationClosed, SessionNotFound
from msaas.jobs import rfc3339
from msaas.logs import get_logger
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.clients import address_of
from msaas_rest.http.envelope import envelope
from msaas_rest.http.session_cookie import delete_token, read_token, set_token
from msaas_rest.http.text_fields import read_texts
from msaas_rest.songs.ids import parse_number
from msaas_rest.songs.login_limits import LoginLimits
from msaas_rest.songs.use_cases import deletions_of

if TYPE_CHECKING:
    from msaas_catalogue import Login, LoginSession

#: The blueprint of the routes that work without a session, and with one that has ended.
LOGIN = "songs_api.login"

log = get_logger()


def login_routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("login", __name__)
    limits = LoginLimits(deps.limiter)

    @blueprint.post("/register")
    def register() -> Response:
        if not deps.settings.has_open_registration:
            raise RegistrationClosed("This service registers no users. Ask its operator for an account.")
        address = address_of(request)
        fields = read_texts(request, ("username", "password1", "password2"), client=address)
        limits.count_address(address)
        login = deps.catalogue.open().accounts.register(
            fields["username"],
            password=fields["password1"],
            repeated=fields["password2"],
            agent=_agent(),
        )
        log.info("user_registered", user_id=login.user.id)
        return _with_session(login)

    @blueprint.post("/login")
    def log_in() -> Response:
        address = address_of(request)
        fields = read_texts(request, ("username", "password"), client=address)
        limits.count_login(fields["username"], address=address)
        catalogue = deps.catalogue.open()
        login = catalogue.accounts.login(fields["username"], password=fields["password"], agent=_agent())
        if before := read_token(request):
            catalogue.sessions.end(before)
        log.info("user_logged_in", user_id=login.user.id)
        return _with_session(login)

    @blueprint.post("/logout")
    def log_out() -> Response:
        if token := read_token(request):
            deps.catalogue.open().sessions.end(token)
        response = envelope()
        delete_token(response, request)
        return response

    return blueprint


def account_routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("account", __name__)
    limits = LoginLimits(deps.limiter)
    deletions = deletions_of(deps)

    @blueprint.get("/account")
    def show_account() -> Response:
        user = g.visitor.require_login().user
        facts = {"id": user.id, "username": user.name, "created_at": rfc3339(user.created_at)}
        return envelope({"user": facts})

    @blueprint.post("/password")
    def change_password() -> Response:
        login = g.visitor.require_login()
        fields = read_texts(request, ("password", "password1", "password2"), client=g.visitor.owner)
        limits.count_login(login.user.name, address=address_of(request))
        new = deps.catalogue.open().accounts.change_password(
            login.user.id,
            password=fields["password"],
            new=fields["password1"],
            repeated=fields["password2"],
            agent=_agent(),
        )
        log.info("password_changed", user_id=login.user.id)
        return _with_session(new)

    @blueprint.delete("/account")
    def delete_account() -> Response:
        login = g.visitor.require_login()
        fields = read_texts(request, ("password",), client=g.visitor.owner)
        limits.count_login(login.user.name, address=address_of(request))
        songs = deletions.delete_account(login.user.id, password=fields["password"])
        log.info("account_deleted", user_id=login.user.id, songs=songs)
        response = envelope()
        delete_token(response, request)
        return response

    @blueprint.get("/sessions")
    def list_sessions() -> Response:
        login = g.visitor.require_login()
        found = deps.catalogue.open().sessions.list_sessions(login.user.id)
        return envelope({"sessions": [_describe(each, current=login.session.id) for each in found]})

    @blueprint.delete("/sessions/<session_id>")
    def revoke_session(session_id: str) -> Response:
        login = g.visitor.require_login()
        number = parse_number(session_id)
        if number is None:
            raise SessionNotFound(f"You have no session {session_id[:140]!r}.")
        deps.catalogue.open().sessions.revoke(number, user_id=login.user.id)
        return envelope()

    @blueprint.delete("/sessions")
    def revoke_other_sessions() -> Response:
        """End all sessions but that of the caller."""
        login = g.visitor.require_login()
        deps.catalogue.open().sessions.revoke_others(user_id=login.user.id, keep=login.session.id)
        return envelope()

    return blueprint


def _agent() -> str:
    return request.headers.get("User-Agent", "")


def _with_session(login: "Login") -> Response:
    response = envelope()
    age_s = round(login.session.expires_at - login.session.created_at)
    set_token(response, request, login.token, max_age_s=age_s)
    return response


def _describe(session: "LoginSession", *, current: int) -> dict[str, Any]:
    return {
        "id": session.id,
        "agent": session.agent,
        "created_at": rfc3339(session.created_at),
        "last_seen_at": rfc3339(session.last_seen_at),
        "expires_at": rfc3339(session.expires_at),
        "is_current": session.id == current,
    }
