"""Messages about the service: models, limits, the store, probes."""

from typing import Annotated

from pydantic import Field

from msaas_rest.openapi.messages.base import Message


class Model(Message):
    """A model. `weights_license` repeats the statements of the authors, contradictions included."""

    name: str
    family: str
    stems: list[str]
    samplerate: Annotated[int, Field(description="Hz")]
    code_license: str
    weights_license: str
    source: str
    sha256: Annotated[str | None, Field(description="SHA-256 of the weights, if it is known")]
    size_bytes: Annotated[int | None, Field(description="Size of the weights, if it is known")]
    available: Annotated[
        bool | None, Field(description="Workers run it now. `null` while the queue does not answer")
    ]
    default: Annotated[bool, Field(description="It runs for requests that name none.")]


class Models(Message):
    """The models that a request can name."""

    default: str
    models: list[Model]


Available = Annotated[
    bool | None,
    Field(description="`null` if it depends on the workers, while the queue does not answer"),
]


class Input(Message):
    """A kind of file. `available` is false if no worker can read it."""

    name: str
    extension: str
    available: Available


class Format(Message):
    """A format of stems. The first of `bit_rates` (kbit/s) and of `bits` is the default."""

    name: str
    extension: str
    media_type: str
    bit_rates: list[int]
    bits: list[str]
    available: Available


class Limits(Message):
    """Limits, kinds of input and formats of stems."""

    max_upload_mb: int
    max_song_upload_mb: int
    max_duration_s: float
    inputs: list[Input]
    default_format: str
    formats: list[Format]


class Buckets(Message):
    """The names of all objects, by bucket."""

    buckets: dict[str, list[str]]


class Reason(Message):
    """The result in words."""

    reason: str


class Alive(Message):
    """The process is up."""

    status: str


class Ready(Message):
    """Songs can be accepted. Without a worker they wait."""

    queue: str
    store: str
    workers: Annotated[int, Field(ge=0)]


class Home(Message):
    """The name of the service, and the prefix of its API."""

    service: str
    api: str
