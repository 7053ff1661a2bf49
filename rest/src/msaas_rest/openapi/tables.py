"""Routes of models, limits and the store."""

from openapi_pydantic import Operation, PathItem

from msaas.models import DEFAULT_MODEL, STARTER
from msaas_rest.openapi.fields import EXAMPLE_HASH
from msaas_rest.openapi.messages.service import Buckets, Limits, Models, Reason
from msaas_rest.openapi.operations import AUTHORISED, CHANGING, STORED, Reply, operation

TAG = "service"
_MODELS = {
    "default": DEFAULT_MODEL,
    "models": [
        {
            "name": STARTER,
            "family": STARTER,
            "stems": ["drums", "bass", "other", "vocals"],
            "samplerate": 44100,
            "code_license": "MIT",
            "weights_license": "MIT",
            "source": "part of this package",
            "sha256": 64 * "0",
            "size_bytes": 1_423_456,
            "available": True,
            "default": False,
        }
    ],
}
_LIMITS = {
    "max_upload_mb": 512,
    "max_song_upload_mb": 75,
    "max_duration_s": 7200,
    "inputs": [{"name": "MP3", "extension": "mp3", "available": True}],
    "default_format": "mp3",
    "formats": [
        {
            "name": "flac",
            "extension": "flac",
            "media_type": "audio/flac",
            "bit_rates": [],
            "bits": ["24", "16"],
            "available": True,
        }
    ],
}
_BUCKETS = {
    "buckets": {
        "input-tracks": [f"{EXAMPLE_HASH}.mp3"],
        "output-tracks": [f"{EXAMPLE_HASH}-vocals.mp3", f"{EXAMPLE_HASH}.json"],
    }
}


def paths() -> dict[str, PathItem]:
    models = Reply(description="The models", model=Models, example=_MODELS)
    limits = Reply(description="The limits", model=Limits, example=_LIMITS)
    return {
        "/apiv1/models": PathItem(
            get=operation(TAG, "List models", name="list_models", replies={200: models}, raises=AUTHORISED)
        ),
        "/apiv1/limits": PathItem(
            get=operation(
                TAG,
                "List limits, kinds of input and formats",
                name="list_limits",
                replies={200: limits},
                raises=AUTHORISED,
            )
        ),
    }


def debug_paths() -> dict[str, PathItem]:
    """Return the routes that exist with `DEBUG_ENDPOINTS=1` only."""
    names = Reply(description="The names", model=Buckets, example=_BUCKETS)
    listing = operation(
        TAG, "List the store", name="list_buckets", replies={200: names}, raises=(*AUTHORISED, *STORED)
    )
    return {
        "/apiv1/bucket": PathItem(get=listing),
        "/apiv1/delete_contents": PathItem(
            get=_delete_contents("delete_contents_by_get"), delete=_delete_contents("delete_contents")
        ),
    }


def _delete_contents(name: str) -> Operation:
    emptied = Reply(description="Emptied", model=Reason, example={"reason": "Contents deleted"})
    return operation(
        TAG,
        "Empty the store",
        name=name,
        replies={200: emptied},
        raises=(*AUTHORISED, *STORED, *CHANGING),
    )
