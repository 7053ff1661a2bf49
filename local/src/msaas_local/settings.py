"""Settings of the local stack. All other variables pass through to its processes."""

from pathlib import Path

from pydantic import Field

from msaas.models import DEFAULT_MODEL
from msaas.settings import DatabaseSettings, ModelName, Port, QueueSettings


class LocalSettings(QueueSettings, DatabaseSettings):
    """Without REDIS_HOST the stack starts its own queue, without MINIO_HOST its store is a directory.

    Without DATABASE_URL its database is a file of SQLite.
    """

    redis_host: str = ""
    minio_host: str = ""
    store_dir: Path | None = None
    demucs_model: ModelName = DEFAULT_MODEL
    host: str = "127.0.0.1"
    port: Port = 5000
    workers: int = Field(default=1, ge=1)
    #: Port of the keeper's `/metrics`. Each worker has the next one; 0 serves none.
    metrics_port: Port = 0
    #: The folder of the queue's log, the songs, the stems and the log files.
    msaas_home: Path = Path(".msaas")

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def redis_dir(self) -> Path:
        return self.msaas_home / "redis"

    @property
    def log_dir(self) -> Path:
        return self.msaas_home / "log"
