"""The songs API, `/songs` and `/auth`: its guard and its presenter of errors."""

from flask import Blueprint, g, request

from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.clients import address_of
from msaas_rest.http.envelope import render_envelope
from msaas_rest.http.failures import present_failures
from msaas_rest.http.rate_limit import RateLimit
from msaas_rest.http.session_cookie import read_token
from msaas_rest.http.worker_token import check_worker_token
from msaas_rest.songs import accounts, library, results, workers
from msaas_rest.songs.visitor import Visitor, visitor_of

AUTH_PREFIX = "/auth"
SONGS_PREFIX = "/songs"


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
    """Identify and count the caller. A session that has ended is an error, never an anonymous caller."""
    settings = deps.settings
    rate_limit = RateLimit(settings.rate_limit, limiter=deps.limiter) if settings.rate_limit else None

    def identify() -> Visitor | None:
        """Return the caller, None for a worker: it sends a result for each song, and has no limit."""
        if workers.WORKERS in request.blueprints:
            check_worker_token(request.headers.get("Authorization"), token=settings.worker_token)
            return None
        catalogue = deps.catalogue.open()
        # A login needs no session, and works with one that has ended.
        token = None if accounts.LOGIN in request.blueprints else read_token(request)
        return visitor_of(token, address=address_of(request), sessions=catalogue.sessions)

    @api.before_request
    def check_caller() -> None:
        client: str | None = address_of(request)
        try:
            g.visitor = identify()
            client = g.visitor.owner if g.visitor else None
        finally:
            if rate_limit and client:
                rate_limit.check(request, client=client)
