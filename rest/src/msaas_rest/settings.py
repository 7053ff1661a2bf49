"""What the REST service reads from its environment, beside what all services read."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from msaas.settings import Port, StoreSettings


def _names(value: Any) -> Any:
    """Read `a.example, b.example`."""
    return (
        tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value
    )


class RestSettings(StoreSettings):
    host: str = "127.0.0.1"
    port: Port = 5000
    #: Further names clients call us by; addresses, localhost and our Kubernetes names always work.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    debug_endpoints: bool = False
    #: What uploads under way may hold together; beyond it clients are asked to come back.
    max_in_flight_mb: int = Field(default=512, ge=1)

    @property
    def max_in_flight_bytes(self) -> int:
        return self.max_in_flight_mb * 1024 * 1024
