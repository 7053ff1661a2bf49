"""The songs API, `/songs` and `/auth`: its guard and its presenter of errors."""

from flask import Blueprint, g, request

from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.clients import address_of
from msaas_rest.http.envelope import render_envelope
from msaas_rest.http.failures import present_failures
from msaas_rest.http.session_cookie import read_token
from msaas_rest.songs import accounts, library, results, workers
from msaas_rest.songs.visitor import visitor_of

AUTH_PREFIX = "/auth"
SONGS_PREFIX = "/songs"
#: Blueprints of routes that need no session, and work with one that has ended.
_WITHOUT_SESSION = {accounts.LOGIN, workers.WORKERS}


def songs_api(deps: Dependencies) -> Blueprint:
    """Return the blueprint of every route below `/songs` and `/auth`."""
    api = Blueprint("songs_api", __name__)
    present_failures(api, render_envelope)
    _guard(api, deps)
    api.register_blueprint(accounts.login_routes(deps), url_prefix=AUTH_PREFIX)
    api.register_blueprint(accounts.account_routes(deps), url_prefix=AUTH_PREFIX)
    api.register_blueprint(library.routes(deps), url_prefix=SONGS_PREFIX)
    api.register_blueprint(results.routes(deps), url_prefix=SONGS_PREFIX)
    api.register_blueprint(workers.routes(deps), url_prefix=SONGS_PREFIX)
    return api


def _guard(api: Blueprint, deps: Dependencies) -> None:
    """Identify the caller by the session. A session that has ended is an error, never an anonymous caller."""

    @api.before_request
    def find_visitor() -> None:
        catalogue = deps.catalogue.open()
        if not _WITHOUT_SESSION.intersection(request.blueprints):
            g.visitor = visitor_of(
                read_token(request), address=address_of(request), sessions=catalogue.sessions
            )
