"""S3 servers, and what clients need of one."""

from dataclasses import dataclass

import urllib3

from msaas.storage.s3 import S3Store, connect
from tests.servers.base import Server

ACCESS_KEY, SECRET_KEY = "test:tester", "testing-secret"


@dataclass(frozen=True)
class S3Access:
    """The values of MINIO_HOST, MINIO_ACCESS_KEY and MINIO_SECRET_KEY."""

    host: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MINIO_HOST": self.host,
            "MINIO_ACCESS_KEY": self.access_key,
            "MINIO_SECRET_KEY": self.secret_key,
        }

    def store(self) -> S3Store:
        return connect(self.host, access_key=self.access_key, secret_key=self.secret_key)


class S3Server(Server):
    @property
    def access(self) -> S3Access:
        return S3Access(f"127.0.0.1:{self.port}")

    def answers(self) -> bool:
        try:
            urllib3.request("GET", f"http://127.0.0.1:{self.port}/", retries=False, timeout=2)
        except urllib3.exceptions.HTTPError:
            return False
        return True
