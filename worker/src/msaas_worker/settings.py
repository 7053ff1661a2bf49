"""What a worker reads from its environment."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from msaas.errors import InvalidCallback
from msaas.settings import StoreSettings
from msaas.webhook_secrets import parse_webhook_secret

Network = IPv4Network | IPv6Network


def _networks(value: Any) -> Any:
    """`1` is everything, `0` nothing, else a list of CIDRs."""
    if not isinstance(value, str):
        return value
    if value.strip() in {"", "0"}:
        return ()
    names = "0.0.0.0/0,::/0" if value.strip() == "1" else value
    return tuple(ip_network(name.strip(), strict=False) for name in names.split(","))


def _signing(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        try:
            parse_webhook_secret(secret.get_secret_value())
        except InvalidCallback as error:
            raise ValueError(error.detail) from None
    return secret


class WorkerSettings(StoreSettings):
    #: A folder with `<name>.yaml` beside the weights; asked before the hub.
    model_repo: Path | None = None
    #: What does the work when the model is nowhere: nothing, or the small model of this package.
    model_fallback: Literal["", "starter"] = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "exact", "fast"] = "auto"
    #: Whether a song can be heard while it is separated: pieces of its stems in the store, until they stand.
    publish_pieces: bool = True
    #: On SIGTERM a job that needs no longer than this is finished, any other given back.
    drain_seconds: float = Field(default=0.0, ge=0)
    #: Songs and stems older than this are deleted; without it they stay.
    retention_hours: float | None = Field(default=None, gt=0)
    #: Signs callbacks as Standard Webhooks: base64, with or without `whsec_` before it.
    webhook_secret: Annotated[SecretStr | None, AfterValidator(_signing)] = None
    #: Private networks that callbacks may reach: `1` for all of them, or CIDRs.
    callback_allow_private: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()

    @property
    def signing_secret(self) -> str | None:
        return self.webhook_secret.get_secret_value() if self.webhook_secret else None
