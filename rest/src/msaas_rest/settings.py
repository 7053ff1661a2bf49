"""Settings of the REST service."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, SecretStr, model_validator
from pydantic_settings import NoDecode

from msaas.models import DEFAULT_MODEL
from msaas.settings import (
    BrokerAddr,
    BrokerSettings,
    DatabaseSettings,
    ModelName,
    Networks,
    Port,
    QueueSettings,
    StoreSettings,
)
from msaas.stem_tar import TarLimits
from msaas_rest.http.api_keys import MIN_CHARACTERS, ApiKeys, parse_api_keys
from msaas_rest.http.cors import parse_origins
from msaas_rest.http.disk_budget import SHARE

_MIB = 1024 * 1024
_IN_FLIGHT_MB = 4096
#: The largest upload is in base64 and lies on the disk twice, and one client has half of the space.
_UPLOADS_IN_FLIGHT = 8
#: The result of a worker lies on the disk as the archive and as its stems.
RESULT_COPIES = 2


def _names(value: Any) -> Any:
    """Read `a.example, b.example`."""
    if not isinstance(value, str):
        return value
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _keys(value: Any) -> Any:
    return parse_api_keys(value) if isinstance(value, str) else value


def _s3_url(text: str) -> str:
    """Return `text` if it is `http[s]://host[:port]`. Raises `ValueError`."""
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.username:
        raise ValueError("Input should be http://host or https://host, with an optional port")
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError("Input should have no path: a signature covers the path")
    return f"{url.scheme}://{url.netloc}"


def _worker_token(token: SecretStr | None) -> SecretStr | None:
    """Return the token, None for an empty one. Raises `ValueError` for one that can be guessed."""
    if token is None or not token.get_secret_value():
        return None
    if len(token.get_secret_value()) < MIN_CHARACTERS:
        raise ValueError(f"Input should have at least {MIN_CHARACTERS} characters")
    return token


def _rate(text: str) -> str:
    """Return `text` if it is a list of rates. Raises `ValueError`."""
    parse_many(text)
    return text


class RestSettings(StoreSettings, QueueSettings, DatabaseSettings, BrokerSettings):
    host: str = "127.0.0.1"
    port: Port = 5000
    demucs_model: ModelName = DEFAULT_MODEL
    max_upload_mb: int = Field(default=512, ge=1)
    #: The limit of `POST /songs/upload`.
    max_song_upload_mb: int = Field(default=75, ge=1)
    max_duration_s: int = Field(default=7200, ge=1)
    #: Further accepted names in Host. Addresses, localhost and the names of the Service always work.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    #: Networks of proxies whose `X-Forwarded-For` names the client: CIDRs, or `1` for all.
    trusted_proxies: Networks = ()
    debug_endpoints: bool = False
    #: The S3 store as clients reach it: links of a finished job lead there, signed for an hour.
    public_s3_url: Annotated[str, AfterValidator(_s3_url)] | None = None
    public_s3_region: str = "us-east-1"
    #: Without keys, `/apiv1` is open to every client that can reach it.
    api_keys: Annotated[InstanceOf[ApiKeys], NoDecode, BeforeValidator(_keys)] = ApiKeys()
    #: Whether anybody may register and upload to `/songs`. By default only without `API_KEYS`.
    registration: Literal["open", "closed"] | None = None
    #: Limit of each client's calls, as in `100/minute; 1000/hour`.
    rate_limit: Annotated[str, AfterValidator(_rate)] | None = None
    #: With this many waiting jobs no further song is accepted.
    max_queued: int | None = Field(default=None, ge=1)
    #: Songs of an account, and those of all anonymous clients together. Beyond them uploads are refused.
    max_songs_per_uploader: int | None = Field(default=None, ge=1)
    #: Disk space of all uploads in progress, in MiB. One client has half of it. Beyond it uploads wait.
    max_in_flight_mb: int | None = None

    #: The queue of songs that come by `/songs`. Jobs of `/apiv1` are always in Redis.
    queue: Literal["redis", "rabbitmq"] = "redis"
    #: Of `QUEUE=rabbitmq`.
    broker_addr: BrokerAddr = SecretStr("localhost:5672")
    #: The limit of the broker, by default that of its version.
    broker_max_message_mb: int | None = Field(default=None, ge=1)
    #: External workers send it with their results. Without it none is accepted.
    worker_token: Annotated[SecretStr | None, AfterValidator(_worker_token)] = None

    #: Private networks that songs may be fetched from: `1` for all of them, or CIDRs.
    fetch_allow_private: Networks = ()
    #: Web sites whose pages may call the API: `*` for all of them, or origins such as https://songs.example.
    cors_origins: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_names), AfterValidator(parse_origins)
    ] = ()

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * _MIB

    @property
    def max_song_upload_bytes(self) -> int:
        return self.max_song_upload_mb * _MIB

    @property
    def has_open_registration(self) -> bool:
        """With keys the service is for known clients. An account that anybody makes would bypass the keys."""
        if self.registration is None:
            return not self.api_keys
        return self.registration == "open"

    @property
    def broker_max_message_bytes(self) -> int | None:
        return None if self.broker_max_message_mb is None else self.broker_max_message_mb * _MIB

    @model_validator(mode="after")
    def _check_queue(self) -> "RestSettings":
        for name in ("database_url", "worker_token"):
            if self.queue == "rabbitmq" and not getattr(self, name):
                raise ValueError(f"QUEUE=rabbitmq needs {name.upper()}")
        return self

    @property
    def result_limits(self) -> TarLimits:
        """The limits of a result of an external worker."""
        return TarLimits.of_songs(max_duration_s=self.max_duration_s)

    @property
    def max_in_flight_bytes(self) -> int:
        least_mb = max(self._least_in_flight_mb.values())
        return (self.max_in_flight_mb or max(_IN_FLIGHT_MB, least_mb)) * _MIB

    @property
    def _least_in_flight_mb(self) -> dict[str, int]:
        """The disk space that uploads need at least, by the setting that decides on it."""
        least = {"MAX_UPLOAD_MB": _UPLOADS_IN_FLIGHT * self.max_upload_mb}
        if self.database_url:
            least["MAX_SONG_UPLOAD_MB"] = _UPLOADS_IN_FLIGHT * self.max_song_upload_mb
        if self.database_url and self.worker_token:
            result_mb = -(-self.result_limits.archive_bytes // _MIB)
            least["MAX_DURATION_S"] = round(RESULT_COPIES * result_mb / SHARE)
        return least

    @model_validator(mode="after")
    def _check_in_flight(self) -> "RestSettings":
        least = self._least_in_flight_mb
        name = max(least, key=least.__getitem__)
        if self.max_in_flight_mb is not None and self.max_in_flight_mb < least[name]:
            raise ValueError(f"MAX_IN_FLIGHT_MB is less than {least[name]}, which {name} needs")
        return self
