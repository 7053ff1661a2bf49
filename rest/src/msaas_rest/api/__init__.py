"""The machine API, `/apiv1`: its prefix, its guards and its presenter of errors."""

from flask import Blueprint, g, request

from msaas_rest.api import debug, limits, models
from msaas_rest.api.jobs import routes as jobs
from msaas_rest.api.separate import routes as separate
from msaas_rest.api.tracks import routes as tracks
from msaas_rest.api.visibility import check_visible, job_of_route
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.api_keys import Scope
from msaas_rest.http.clients import caller_of
from msaas_rest.http.problems import present_problems
from msaas_rest.http.rate_limit import RateLimit

PREFIX = "/apiv1"
_READING = ("GET", "HEAD", "OPTIONS")


def machine_api(deps: Dependencies) -> Blueprint:
    """Return the blueprint of every route below `/apiv1`."""
    api = Blueprint("apiv1", __name__, url_prefix=PREFIX)
    present_problems(api)
    _guard(api, deps)
    features = [separate, jobs, tracks, models, limits, *([debug] if deps.settings.debug_endpoints else [])]
    for feature in features:
        api.register_blueprint(feature.routes(deps))
    return api


def _guard(api: Blueprint, deps: Dependencies) -> None:
    """Count, identify and authorise the caller, on paths without a route as well: those have no blueprint."""
    settings, keys = deps.settings, deps.settings.api_keys
    rate_limit = None
    if settings.rate_limit:
        rate_limit = RateLimit(settings.rate_limit, settings=settings, keys=keys)

    @api.before_app_request
    def check_caller() -> None:
        if request.path.startswith(PREFIX):
            if rate_limit:
                rate_limit.check(request)
            g.caller = caller_of(request, keys=keys)
            g.caller.require(Scope.READ if request.method in _READING else Scope.WRITE)
            if job_id := job_of_route(request.view_args):
                check_visible(job_id, caller=g.caller, queue=deps.queue)
