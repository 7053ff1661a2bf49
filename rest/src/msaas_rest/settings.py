"""Settings of the REST service."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, model_validator
from pydantic_settings import NoDecode

from msaas.models import DEFAULT_MODEL
from msaas.settings import DatabaseSettings, ModelName, Networks, Port, QueueSettings, StoreSettings
from msaas_rest.http.api_keys import ApiKeys, parse_api_keys
from msaas_rest.http.cors import parse_origins

_IN_FLIGHT_MB = 4096
#: The largest upload is in base64 and lies on the disk twice, and one client has half of the space.
_UPLOADS_IN_FLIGHT = 8


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


def _rate(text: str) -> str:
    """Return `text` if it is a list of rates. Raises `ValueError`."""
    parse_many(text)
    return text


class RestSettings(StoreSettings, QueueSettings, DatabaseSettings):
    host: str = "127.0.0.1"
    port: Port = 5000
    demucs_model: ModelName = DEFAULT_MODEL
    max_upload_mb: int = Field(default=512, ge=1)
    #: The limit of `POST /songs/upload`.
    max_song_upload_mb: int = Field(default=75, ge=1)
    max_duration_s: int = Field(default=7200, ge=1)
    #: Further accepted names in Host. Addresses, localhost and the names of the Service always work.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    debug_endpoints: bool = False
    #: The S3 store as clients reach it: links of a finished job lead there, signed for an hour.
    public_s3_url: Annotated[str, AfterValidator(_s3_url)] | None = None
    public_s3_region: str = "us-east-1"
    #: Without keys, `/apiv1` is open to every client that can reach it.
    api_keys: Annotated[InstanceOf[ApiKeys], NoDecode, BeforeValidator(_keys)] = ApiKeys()
    #: Limit of each client's calls to `/apiv1`, as in `100/minute; 1000/hour`.
    rate_limit: Annotated[str, AfterValidator(_rate)] | None = None
    #: With this many waiting jobs no further song is accepted.
    max_queued: int | None = Field(default=None, ge=1)
    #: Disk space of all uploads in progress, in MiB. One client has half of it. Beyond it uploads wait.
    max_in_flight_mb: int | None = None

    #: Private networks that songs may be fetched from: `1` for all of them, or CIDRs.
    fetch_allow_private: Networks = ()
    #: Web sites whose pages may call the API: `*` for all of them, or origins such as https://songs.example.
    cors_origins: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_names), AfterValidator(parse_origins)
    ] = ()

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * 1024 * 1024

    @property
    def max_song_upload_bytes(self) -> int:
        return self.max_song_upload_mb * 1024 * 1024

    @property
    def _least_in_flight_mb(self) -> int:
        return _UPLOADS_IN_FLIGHT * max(self.max_upload_mb, self._max_song_mb)

    @property
    def _max_song_mb(self) -> int:
        """The limit of the songs API, which does not exist without a database."""
        return self.max_song_upload_mb if self.database_url else 0

    @property
    def max_in_flight_bytes(self) -> int:
        least_mb = self._least_in_flight_mb
        return (self.max_in_flight_mb or max(_IN_FLIGHT_MB, least_mb)) * 1024 * 1024

    @model_validator(mode="after")
    def _check_in_flight(self) -> "RestSettings":
        least_mb = self._least_in_flight_mb
        if self.max_in_flight_mb is not None and self.max_in_flight_mb < least_mb:
            name = "MAX_UPLOAD_MB" if self.max_upload_mb >= self._max_song_mb else "MAX_SONG_UPLOAD_MB"
            raise ValueError(f"MAX_IN_FLIGHT_MB is less than {_UPLOADS_IN_FLIGHT} × {name} = {least_mb}")
        return self
