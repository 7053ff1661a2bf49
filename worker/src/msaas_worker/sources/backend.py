"""The backend: takes the archive of stems of a song by POST."""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import AuthBase

from msaas.errors import BackendUnavailable, ResultRefused, SeparationFailed, SongDeleted
from msaas.logs import get_logger
from msaas.printable import printable
from msaas.result_facts import ResultFacts
from msaas.stem_tar import ExtraFiles, StemTar
from msaas.webhooks.sender import parse_retry_after
from msaas_worker.attempt import Attempt
from msaas_worker.sources.policy import SourcePolicy

#: They are about the token of this worker, and true for every song.
_REJECTS_WORKER = {401, 403}
#: Further answers, beside 5xx, after which the same request may succeed.
_TEMPORARY = {408, 425, 429}
#: Every other 5xx may be a defect of the backend that this result meets each time.
_OUTAGES = {502, 503, 504}
#: The song was deleted: its result is not wanted any more.
_GONE = 410
_MAX_REASON_BYTES = 1000
_WAIT_S = 0.2
_HEADERS = {"Content-Type": "application/x-tar", "User-Agent": "msaas"}

log = get_logger()


@dataclass(frozen=True)
class Authorization(AuthBase):
    """The value of the header of each request. requests would read one from a `.netrc` otherwise."""

    value: str = field(default="", repr=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.value:
            request.headers["Authorization"] = self.value
        return request


@dataclass(frozen=True, kw_only=True)
class Backend:
    """`url` has neither a user nor a token, so that it may be logged."""

    url: str
    authorization: Authorization = Authorization()
    policy: SourcePolicy = SourcePolicy()

    @classmethod
    def at(cls, addr: str, *, token: str | None, policy: SourcePolicy = SourcePolicy()) -> Self:
        """Return the backend at a URL. `token` is sent as a Bearer, else the user of the URL by Basic."""
        url = urlsplit(addr)
        value = f"Bearer {token}" if token else ""
        if not token and url.username is not None:
            pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
            value = f"Basic {base64.b64encode(pair.encode()).decode()}"
        host = url.netloc.rpartition("@")[2]
        return cls(
            url=f"{url.scheme}://{host}{url.path.rstrip('/')}",
            authorization=Authorization(value),
            policy=policy,
        )

    def upload(
        self,
        song_hash: str,
        stems: Mapping[str, Path],
        attempt: Attempt,
        *,
        facts: ResultFacts = ResultFacts(),
        extras: ExtraFiles = ExtraFiles(),
    ) -> None:
        """Send the stems until the backend has stored them.

        A result that is refused with `extras` is sent once more without them: a backend that runs in several
        versions publishes songs by a newer one.

        Raises:
            LeaseLost: the song is not this worker's any more.
            SongDeleted: the song was deleted from the backend.
            ResultRefused: the backend does not want the result, now or later.
            BackendUnavailable: the backend was away for `upload_patience_s`.
            SeparationFailed: it failed for this time, perhaps because of this result.
        """
        policy = self.policy
        failure: _Failed
        delay_s, give_up_at = policy.first_upload_delay_s, time.monotonic() + policy.upload_patience_s
        while True:
            attempt.verify()
            try:
                with attempt.pause_watchdog():
                    return self._post(song_hash, StemTar(stems, extras=extras, check=attempt.check), facts)
            except ResultRefused as error:
                if not extras:
                    raise
                log.warning("extras_refused", backend=self.url, reason=error.detail)
                extras = ExtraFiles()
                continue
            except _Rejected as error:
                log.error("upload_failed", backend=self.url, reason=error.detail)
                failure, wait_s = error, max(delay_s, policy.rejected_delay_s)
            except _Failed as error:
                log.warning("upload_failed", backend=self.url, reason=error.detail)
                failure, wait_s = error, max(delay_s, error.retry_after_s)
            if time.monotonic() + wait_s > give_up_at:
                raise failure if failure.is_outage else SeparationFailed(failure.detail)
            _wait(wait_s, attempt)
            delay_s = min(2 * delay_s, policy.max_upload_delay_s)

    def _post(self, song_hash: str, archive: StemTar, facts: ResultFacts) -> None:
        try:
            with (
                archive,
                requests.post(
                    f"{self.url}/songs/{song_hash}/upload_result",
                    data=archive,
                    headers=_HEADERS | facts.headers(),
                    auth=self.authorization,
                    timeout=(self.policy.connect_s, self.policy.answer_s),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                _check(response)
        except requests.exceptions.UnrewindableBodyError:
            # requests prepares the next request of a 307 or 308, also if it is not to be sent.
            raise _redirected("307 or 308") from None
        except requests.exceptions.RequestException as error:
            # The text of the error may have the URL of a proxy with its password.
            raise _Failed(f"The backend cannot be reached ({type(error).__name__}).") from None


class _Failed(BackendUnavailable):
    """The backend is unavailable."""

    def __init__(self, detail: str, *, retry_after_s: float = 0.0, is_outage: bool = True) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.is_outage = is_outage


class _Rejected(_Failed):
    """The backend does not accept this worker."""


def _check(response: requests.Response) -> None:
    """Raise the error of an answer that is not 2xx."""
    status = response.status_code
    if 200 <= status < 300:
        return
    if status in _REJECTS_WORKER:
        raise _Rejected(f"The backend rejects this worker (HTTP {status}). Set WORKER_TOKEN to its token.")
    if 300 <= status < 400:
        raise _redirected(str(status))
    if status in _TEMPORARY or status >= 500:
        after_s = parse_retry_after(response.headers.get("Retry-After", "").strip(), now=time.time())
        raise _Failed(
            f"The backend answered HTTP {status}.",
            retry_after_s=after_s,
            is_outage=status in _TEMPORARY or status in _OUTAGES,
        )
    if status == _GONE:
        raise SongDeleted("The song was deleted from the backend.")
    reason = printable(next(response.iter_content(_MAX_REASON_BYTES), b"").decode(errors="replace"))
    raise ResultRefused(f"The backend refused the result (HTTP {status}): {reason}")


def _redirected(status: str) -> _Rejected:
    return _Rejected(f"The backend redirects (HTTP {status}). Set BACKEND_ADDR to its final address.")


def _wait(seconds: float, attempt: Attempt) -> None:
    """Wait, unless the song is lost meanwhile. Raises `LeaseLost`."""
    until = time.monotonic() + seconds
    while (left_s := until - time.monotonic()) > 0:
        attempt.report_progress()
        time.sleep(min(_WAIT_S, left_s))
