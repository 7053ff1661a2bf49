"""Settings of the REST service."""

from typing import Annotated, Any

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf
from pydantic_settings import NoDecode

from msaas.models import DEFAULT_MODEL
from msaas.settings import ModelName, Port, StoreSettings
from msaas_rest.http.api_keys import ApiKeys, parse_api_keys


def _names(value: Any) -> Any:
    """Read `a.example, b.example`."""
    if not isinstance(value, str):
        return value
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _keys(value: Any) -> Any:
    return parse_api_keys(value) if isinstance(value, str) else value


def _rate(text: str) -> str:
    """Return `text` if it is a list of rates. Raises `ValueError`."""
    parse_many(text)
    return text


class RestSettings(StoreSettings):
    host: str = "127.0.0.1"
    port: Port = 5000
    demucs_model: ModelName = DEFAULT_MODEL
    max_upload_mb: int = Field(default=100, ge=1)
    max_duration_s: int = Field(default=7200, ge=1)
    #: Further accepted names in Host. Addresses, localhost and the names of the Service always work.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    debug_endpoints: bool = False
    #: Without keys, `/apiv1` is open to every client that can reach it.
    api_keys: Annotated[InstanceOf[ApiKeys], NoDecode, BeforeValidator(_keys)] = ApiKeys()
    #: Limit of each client's calls to `/apiv1`, as in `100/minute; 1000/hour`.
    rate_limit: Annotated[str, AfterValidator(_rate)] | None = None
    #: With this many waiting jobs no further song is accepted.
    max_queued: int | None = Field(default=None, ge=1)
    #: Memory that all uploads hold together, in MiB. Beyond it clients are asked to come back.
    max_in_flight_mb: int = Field(default=512, ge=1)

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * 1024 * 1024

    @property
    def max_in_flight_bytes(self) -> int:
        return self.max_in_flight_mb * 1024 * 1024
