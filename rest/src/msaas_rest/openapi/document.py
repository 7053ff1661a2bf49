"""The OpenAPI document, assembled from the routes of each feature."""

from importlib.metadata import version
from typing import Any

from openapi_pydantic import Components, Info, License, OpenAPI, SecurityScheme, Server
from openapi_pydantic.util import construct_open_api_with_schema_class

from msaas_rest.openapi import (
    accounts,
    fetching,
    following,
    history,
    library,
    pages,
    results,
    sending,
    tables,
    workers,
)
from msaas_rest.openapi.operations import general_responses

_DESCRIPTION = """\
Send a song, follow its job, fetch its stems. Success is 200, and an error is `application/problem+json`
(RFC 9457). Each `GET` answers `HEAD` as well, except those that change something. A request that is not
valid HTTP is 400, an unknown path 404, an unknown method 405. With `API_KEYS` each route below `/apiv1`
needs `Authorization: Bearer <key>`. Routes below `/songs` and `/auth` answer `{"ok", "errors", "data"}`. They
know users by the cookie of a session, `msaas`, or `__Host-msaas` over https."""


def describe_api(*, debug_endpoints: bool) -> dict[str, Any]:
    """Return the document as JSON."""
    features = (sending, following, fetching, history, tables, library, results, workers, accounts, pages)
    paths = {path: item for feature in features for path, item in feature.paths().items()}
    if debug_endpoints:
        paths |= tables.debug_paths()
    api = OpenAPI(
        openapi="3.1.1",
        info=Info(
            title="Music Separation as a Service",
            version=version("msaas-rest"),
            description=_DESCRIPTION,
            license=License(name="MIT", identifier="MIT"),
        ),
        servers=[Server(url="/")],
        paths=paths,
        components=Components(
            responses=dict(general_responses()),
            securitySchemes={
                "key": SecurityScheme(type="http", scheme="bearer"),
                "worker": SecurityScheme(type="http", scheme="bearer"),
                "session": SecurityScheme.model_validate({"type": "apiKey", "in": "cookie", "name": "msaas"}),
            },
        ),
    )
    document = construct_open_api_with_schema_class(api)
    return {"openapi": api.openapi, **document.model_dump(mode="json", by_alias=True, exclude_defaults=True)}
