"""Archives as external workers send them, and the request that brings one."""

import base64
import io
import json
import tarfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import requests
from rest.tests.service import FRAME, Service

from msaas.stem_tar import TAR_STEMS

TOKEN = "a-token-of-workers"
#: Different for each stem.
STEMS = {stem: FRAME * (100 + number) for number, stem in enumerate(TAR_STEMS)}
OTHER_STEMS = {stem: FRAME * (200 + number) for number, stem in enumerate(TAR_STEMS)}


def peaks_of(stems: dict[str, bytes]) -> dict[str, bytes]:
    """Return peaks as long as the stems, which have 1,152 samples a frame. Each stem has other ones."""
    pairs = {stem: -(-1152 * (len(mp3) // len(FRAME)) // 512) for stem, mp3 in stems.items()}
    return {stem: bytes([255 - number, number]) * pairs[stem] for number, stem in enumerate(stems)}


PEAKS = peaks_of(STEMS)
ANALYSIS: dict[str, Any] = {
    "version": 1,
    "duration_s": 2.5,
    "loudness": {"integrated_lufs": -14.0, "sample_peak_dbfs": None},
    "key": {
        "name": "A minor",
        "confidence": 0.8,
        "alternatives": [{"name": "C major", "confidence": 0.1}],
    },
    "tempo": {"bpm": 120.5, "confidence": 0.9, "alternatives": []},
    "beats": {"times_s": [0.5, 1.0, 1.5], "confidence": 0.9, "bars": None},
}
#: Further files of a result, by their names.
EXTRAS = {
    **{f"{stem}.peaks": peaks for stem, peaks in PEAKS.items()},
    "analysis.json": json.dumps(ANALYSIS, separators=(",", ":")).encode(),
}


def archive(stems: dict[str, bytes] = STEMS, *, extras: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Return the tar that Python's `tarfile` writes, as unchanged workers do. They send no `extras`."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in {**{f"{stem}.mp3": mp3 for stem, mp3 in stems.items()}, **extras}.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
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


def objects_of(service: Service) -> dict[str, tuple[str, float]]:
    """Return the objects of results: their content and their time, by their names."""
    return {each.key: (each.etag, each.modified_at) for each in service.song_store.outputs()}
