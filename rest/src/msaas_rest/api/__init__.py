"""The machine API, `/apiv1`: its prefix, its guards and its presenter of errors."""

from flask import Blueprint, Response, g, request

from msaas_rest.api import debug, history, limits, models
from msaas_rest.api.jobs import routes as jobs
from msaas_rest.api.separate import routes as separate
from msaas_rest.api.tracks import routes as tracks
from msaas_rest.api.visibility import check_visible
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.api_keys import Scope
from msaas_rest.http.caller import Caller
from msaas_rest.http.clients import address_of, caller_of
from msaas_rest.http.failures import present_failures
from msaas_rest.http.problems import render_problem
from msaas_rest.http.rate_limit import RateLimit

PREFIX = "/apiv1"
_READING = ("GET", "HEAD", "OPTIONS")


def machine_api(deps: Dependencies) -> Blueprint:
    """Return the blueprint of every route below `/apiv1`."""
    api = Blueprint("apiv1", __name__, url_prefix=PREFIX)
    present_failures(api, render_problem)
    _guard(api, deps)
    features = [
        separate,
        jobs,
        tracks,
        history,
        models,
        limits,
        *([debug] if deps.settings.debug_endpoints else []),
    ]
    for feature in features:
        api.register_blueprint(feature.routes(deps))
    return api


def _guard(api: Blueprint, deps: Dependencies) -> None:
    """Count, identify and authorise the caller, on paths without a route as well: those have no blueprint."""
    settings, keys = deps.settings, deps.settings.api_keys
    rate_limit = RateLimit(settings.rate_limit, limiter=deps.limiter) if settings.rate_limit else None

    def identify() -> Caller:
        """Return the caller. A request with a wrong key counts for its address."""
        client = address_of(request)
        try:
            caller = caller_of(request, keys=keys)
            client = caller.owner
            return caller
        finally:
            if rate_limit:
                rate_limit.check(request, client=client)

    @api.before_app_request
    def check_caller() -> None:
        if request.path.startswith(PREFIX):
            g.caller = identify()
            g.caller.require(Scope.READ if request.method in _READING else Scope.WRITE)
            g.mask = check_visible(request.view_args or {}, caller=g.caller, registry=deps.registry)

    @api.after_app_request
    def name_the_hidden_job(response: Response) -> Response:
        """The answer about a hidden job names the id of the request."""
        if g.get("mask"):
            response.set_data(g.mask.restore(response.get_data()))
        return response
