"""What the REST service reads from its environment, beside what all services read."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf
from pydantic_settings import NoDecode

from msaas.settings import Port, StoreSettings
from msaas_rest.keys import ApiKeys, parse_api_keys
from msaas_rest.rates import parse_rate


def _names(value: Any) -> Any:
    """Read `a.example, b.example`."""
    return (
        tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value
    )


def _keys(value: Any) -> Any:
    return parse_api_keys(value) if isinstance(value, str) else value


class RestSettings(StoreSettings):
    host: str = "127.0.0.1"
    port: Port = 5000
    #: Further names clients call us by; addresses, localhost and our Kubernetes names always work.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    debug_endpoints: bool = False
    #: Without one, `/apiv1` is open to whoever reaches it.
    api_keys: Annotated[InstanceOf[ApiKeys], NoDecode, BeforeValidator(_keys)] = ApiKeys()
    #: How often each client may call `/apiv1`, as in `100/minute; 1000/hour`.
    rate_limit: Annotated[str, AfterValidator(parse_rate)] | None = None
    #: With so many jobs waiting no further song is taken; uploads under way may exceed it a little.
    max_queued: int | None = Field(default=None, ge=1)
    #: What uploads under way may hold together; beyond it clients are asked to come back.
    max_in_flight_mb: int = Field(default=512, ge=1)

    @property
    def max_in_flight_bytes(self) -> int:
        return self.max_in_flight_mb * 1024 * 1024
