"""The address of a broker: `host:port`, or a URL `amqp[s]://user:password@host:port/vhost`."""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

_PORT, _TLS_PORT = 5672, 5671
_USER = _PASSWORD = "guest"  # noqa: S105 - the default of RabbitMQ, from its own machine only


@dataclass(frozen=True, kw_only=True)
class BrokerAddress:
    """`user` and `password` are those of the broker. The text of an address shows neither."""

    host: str
    port: int = _PORT
    vhost: str = "/"
    has_tls: bool = False
    user: str = field(default=_USER, repr=False)
    password: str = field(default=_PASSWORD, repr=False)

    @classmethod
    def parse(cls, text: str, *, user: str | None = None, password: str | None = None) -> Self:
        """Read an address. A user and a password in it have precedence over `user` and `password`.

        Raises:
            ValueError: the text is not an address. The message does not show the text.
        """
        url = urlsplit(text if "://" in text else f"amqp://{text}")
        if url.scheme not in ("amqp", "amqps") or not url.hostname or url.query or url.fragment:
            raise ValueError("Input should be host:port or amqp[s]://user:password@host:port/vhost")
        try:
            port = url.port
        except ValueError:
            raise ValueError("The port should be a number from 0 to 65535") from None
        has_tls = url.scheme == "amqps"
        return cls(
            host=url.hostname,
            port=port or (_TLS_PORT if has_tls else _PORT),
            vhost=unquote(url.path.removeprefix("/")) or "/",
            has_tls=has_tls,
            user=unquote(url.username) if url.username else user or _USER,
            password=unquote(url.password) if url.password else password or _PASSWORD,
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
