"""What the local stack reads from the environment; all else goes through to its parts untouched."""

from pathlib import Path

from pydantic import Field

from msaas.settings import Port, Settings


class LocalSettings(Settings):
    """Without REDIS_HOST or MINIO_HOST the stack brings its own queue or store."""

    redis_host: str = ""
    minio_host: str = ""
    host: str = "127.0.0.1"
    port: Port = 5000
    workers: int = Field(default=1, ge=1)
    #: Where the queue's log, the songs and the stems of the local stack lie.
    msaas_home: Path = Path(".msaas")

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def log_dir(self) -> Path:
        return self.msaas_home / "log"
