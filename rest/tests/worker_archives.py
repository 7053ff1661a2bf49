"""Archives as external workers send them, and the request that brings one."""

import base64
import io
import tarfile
from typing import Any

import requests
from rest.tests.service import FRAME, Service

from msaas.stem_tar import TAR_STEMS

TOKEN = "a-token-of-workers"
#: Different for each stem.
STEMS = {stem: FRAME * (100 + number) for number, stem in enumerate(TAR_STEMS)}
OTHER_STEMS = {stem: FRAME * (200 + number) for number, stem in enumerate(TAR_STEMS)}


def archive(stems: dict[str, bytes] = STEMS) -> bytes:
    """Return the tar that Python's `tarfile` writes, as unchanged workers do."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for stem, mp3 in stems.items():
            header = tarfile.TarInfo(f"{stem}.mp3")
            header.size = len(mp3)
            tar.addfile(header, io.BytesIO(mp3))
    return file.getvalue()


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(token: str = TOKEN, *, user: str = "w") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


def send_result(
    service: Service, song_hash: str, body: bytes | None = None, *, headers: dict[str, str] | None = None
) -> requests.Response:
    sent: dict[str, Any] = bearer() if headers is None else headers
    return service.call(
        "POST",
        f"/songs/{song_hash}/upload_result",
        data=archive() if body is None else body,
        headers={"Content-Type": "application/x-tar", **sent},
    )
