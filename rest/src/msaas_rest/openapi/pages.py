"""Routes outside `/apiv1`: pages, probes, and the document itself. They need no key."""

from typing import Any

from openapi_pydantic import Operation, PathItem, Schema
from pydantic import BaseModel

from msaas import errors
from msaas_rest.openapi.messages.service import Alive, Home, Ready
from msaas_rest.openapi.operations import GUARDED, Reply, bytes_of, in_path, operation, schema_of, text_of

TAG = "pages and probes"
_SCRIPTS = ("text/javascript", "text/css")
_PICTURES = ("image/svg+xml", "font/woff2")


def paths() -> dict[str, PathItem]:
    return {
        "/": PathItem(get=_home()),
        "/assets/{file}": PathItem(
            get=_file("A file of the home page", *_SCRIPTS, *_PICTURES, name="asset", example="index.js")
        ),
        "/healthz": PathItem(get=_probe("healthz", "Liveness", Alive, {"status": "up"})),
        "/readyz": PathItem(get=_readiness()),
        "/metrics": PathItem(get=_metrics()),
        "/openapi.json": PathItem(get=_document()),
        "/docs": PathItem(get=_docs()),
        "/docs/{file}": PathItem(
            get=_file("A file of the page", *_SCRIPTS, name="docs_file", example="page.js")
        ),
    }


def _home() -> Operation:
    page = Reply(
        description="A page for a browser, JSON for every other client",
        model=Home,
        example={"service": "msaas", "api": "/apiv1"},
        content=text_of("text/html"),
    )
    return operation(TAG, "Home page", name="home", replies={200: page})


def _file(summary: str, *media: str, name: str, example: str) -> Operation:
    return operation(
        TAG,
        summary,
        name=name,
        parameters=[in_path("file", "Name of the file", schema_of(str), example=example)],
        replies={200: Reply(description="The file", content=bytes_of(*media))},
        raises=GUARDED,
        statuses=[404],
    )


def _probe(name: str, summary: str, model: type[BaseModel], example: Any) -> Operation:
    reply = Reply(description=summary, model=model, example=example)
    return operation(TAG, summary, name=name, replies={200: reply})


def _readiness() -> Operation:
    ready = Reply(
        description="Songs can be accepted",
        model=Ready,
        example={"queue": "ok", "store": "ok", "workers": 1},
    )
    raises = (errors.QueueUnavailable, errors.QueueFull, errors.StoreUnavailable)
    return operation(TAG, "Readiness", name="readyz", replies={200: ready}, raises=raises)


def _metrics() -> Operation:
    metrics = Reply(description="Metrics", content=text_of("text/plain"))
    return operation(TAG, "Metrics of Prometheus", name="metrics", replies={200: metrics})


def _document() -> Operation:
    content = {"application/json": bytes_of("application/json")["application/json"]}
    content["application/json"].media_type_schema = Schema(type="object")
    document = Reply(description="This document", content=content)
    return operation(TAG, "This document", name="openapi", replies={200: document}, raises=GUARDED)


def _docs() -> Operation:
    page = Reply(description="The page, or how to get it", content=text_of("text/html"))
    return operation(TAG, "This document as a page", name="docs", replies={200: page}, raises=GUARDED)
