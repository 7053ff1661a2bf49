"""The client: one method for each call, and those that follow a job and fetch its stems."""

import json
import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from msaas_client.downloads import download
from msaas_client.errors import InvalidReply, JobFailed, RequestFailed, Unreachable, WaitTimeout
from msaas_client.events import Event, read_events
from msaas_client.retries import RetryPolicy
from msaas_client.transport import DEFAULT_URL, Timeouts, Transport, read_json
from msaas_client.uploads import OnBytes, SongFile, hash_file, ignore_bytes
from msaas_client.values import Job, Limits, Model, Options, Readiness, State, Submission

_API = "/apiv1"
#: The status is asked for this often while the server has no room for a stream of events.
_POLL_S = 1.0
_LEAST_S = 0.1
_PAGE = 100

T = TypeVar("T")


class Client:
    """The API of one server. Several threads may use it.

    A call is repeated while the server is away or busy, as `retries` allows. Every call may raise
    `Unreachable`, `Refused`, `RequestFailed` and `InvalidReply`.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeouts: Timeouts = Timeouts(),
        retries: RetryPolicy = RetryPolicy(),
    ) -> None:
        """`url` is `http[s]://host[:port][/path]`. Raises `ValueError` for others and for invalid keys."""
        self._transport = Transport(url, api_key=api_key, timeouts=timeouts, retries=retries)

    @property
    def url(self) -> str:
        return self._transport.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    # Send a song

    def separate(
        self, song: str | Path, options: Options = Options(), *, on_bytes: OnBytes = ignore_bytes
    ) -> Submission:
        """Send a song and return the id of its job. The same song with the same options is one job.

        A song that the server has already is not uploaded again. `on_bytes` gets the bytes that were sent.
        """
        path = Path(song)
        # A request that is sent again because its reply was lost counts once.
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        song_hash = hash_file(path)
        if self.has_song(song_hash):
            try:
                return self._separate_known(song_hash, options, headers)
            except RequestFailed as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
        return self._upload(path, options, headers, on_bytes=on_bytes)

    def has_song(self, song_hash: str) -> bool:
        """Return whether the store has the song with this SHA-256."""
        try:
            self._transport.call("HEAD", f"{_API}/song/{song_hash}")
        except RequestFailed as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return False
        return True

    def _separate_known(self, song_hash: str, options: Options, headers: Mapping[str, str]) -> Submission:
        fields = {"hash": song_hash, **_texts_of(options)}
        return _submission(self._transport.call("POST", f"{_API}/separate", data=fields, headers=headers))

    def _upload(
        self, path: Path, options: Options, headers: Mapping[str, str], *, on_bytes: OnBytes
    ) -> Submission:
        with open(path, "rb") as file:
            reply = self._transport.call(
                "POST",
                f"{_API}/separate",
                params=_texts_of(options),
                headers={**headers, "Content-Type": "application/octet-stream"},
                body=SongFile(file, on_bytes=on_bytes),
            )
        return _submission(reply)

    # Follow jobs

    def job(self, job_id: str) -> Job:
        """Return the status of a job."""
        return _parse(Job.from_json, self._transport.get_json(_job_path(job_id)))

    def jobs(self, *, states: tuple[State, ...] = (), limit: int | None = None) -> Iterator[Job]:
        """Return the latest jobs, newest first: at most `limit`, those in `states` or all."""
        return islice(self._all_jobs(states, page=min(limit or _PAGE, _PAGE)), limit)

    def _all_jobs(self, states: tuple[State, ...], *, page: int) -> Iterator[Job]:
        query = {"limit": str(page), **({"state": ",".join(states)} if states else {})}
        while True:
            reply = self._transport.get_json(f"{_API}/jobs", params=query)
            yield from _parse(lambda found: [Job.from_json(each) for each in found["jobs"]], reply)
            if not reply.get("next"):
                return
            query["cursor"] = str(reply["next"])

    def follow(self, job_id: str, *, timeout_s: float | None = None) -> Iterator[Job]:
        """Yield the job now and whenever it has changed. The last one has ended.

        Events of the server are used while it has room for a stream, else the status is asked for. A
        connection that breaks is made again.

        Raises:
            WaitTimeout: the job has not ended after `timeout_s`. It goes on.
        """
        ends_at = math.inf if timeout_s is None else time.monotonic() + timeout_s
        event_id = ""
        while True:
            try:
                for event in self._events(job_id, last_id=event_id, ends_at=ends_at):
                    event_id, job = event.id, _parse(Job.from_json, event.data)
                    if job.has_ended:
                        break
                    yield job
            except (Unreachable, requests.RequestException, HTTPError):
                pass
            except RequestFailed as error:
                if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
            # Only the status has the links of the stems.
            status = self._job_until(job_id, ends_at=ends_at)
            if status:
                yield status
                if status.has_ended:
                    return
            if not status or time.monotonic() >= ends_at:
                raise WaitTimeout(f"Job {job_id} has not ended after {timeout_s:g} s.")
            time.sleep(min(_POLL_S, max(0.0, ends_at - time.monotonic())))

    def _job_until(self, job_id: str, *, ends_at: float) -> Job | None:
        """Return the status of a job, None if the server is away for the time that is left."""
        left_s = max(0.0, ends_at - time.monotonic())
        transport = self._transport.patient_for(min(left_s, self._transport.patience_s))
        try:
            reply = transport.call("GET", _job_path(job_id), most_s=max(_LEAST_S, left_s))
        except Unreachable:
            # A server that never answered is reported at once, before any time has passed.
            if left_s < self._transport.patience_s and transport.has_answered:
                return None
            raise
        return _parse(Job.from_json, read_json(reply))

    def _events(self, job_id: str, *, last_id: str, ends_at: float) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        reply = self._transport.call(
            "GET",
            f"{_job_path(job_id)}/events",
            headers=headers,
            stream=True,
            retried=False,
            most_s=max(_LEAST_S, ends_at - time.monotonic()),
        )
        with reply:
            # An event has to be read when it comes, not when a block is full.
            lines = (line.decode() for line in reply.iter_lines(chunk_size=1))
            try:
                yield from read_events(_until(ends_at, lines))
            except ValueError as error:
                raise InvalidReply(f"The events of {job_id} are invalid: {error}") from None

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[Job], None] = lambda job: None,
    ) -> Job:
        """Return the job once it is done. `on_change` gets each status.

        Raises:
            JobFailed: the job failed or was cancelled.
            WaitTimeout: it has not ended after `timeout_s`. It goes on.
        """
        for job in self.follow(job_id, timeout_s=timeout_s):
            on_change(job)
            if job.state is State.DONE:
                return job
            if job.has_ended:
                raise JobFailed(job)
        raise AssertionError("unreachable: the last job has ended")

    def cancel(
        self,
        job_id: str,
        *,
        request_id: str | None = None,
        all_requests: bool = False,
        patience_s: float | None = None,
    ) -> State:
        """Cancel all requests of this client for a job, the one with `request_id`, or those of all clients.

        The job ends when it has none left. Return its state. `patience_s` replaces that of the client.
        """
        query = {"request_id": request_id or "", "all": "1" if all_requests else ""}
        transport = self._transport if patience_s is None else self._transport.patient_for(patience_s)
        reply = transport.call(
            "DELETE", _job_path(job_id), params={name: text for name, text in query.items() if text}
        )
        return _parse(lambda found: State(found["state"]), read_json(reply))

    # Fetch stems

    def download(
        self, job_id: str, stem: str, target: str | Path, *, on_bytes: OnBytes = ignore_bytes
    ) -> Path:
        """Store a stem as `target` and return the path. A download that was cut before goes on.

        Raises:
            DamagedDownload: its content differs from its SHA-256.
        """
        path = f"{_API}/track/{quote(job_id, safe='')}/{quote(stem, safe='')}"
        download(self._transport, path, Path(target), on_bytes=on_bytes)
        return Path(target)

    def download_all(self, job: Job, folder: str | Path) -> dict[str, Path]:
        """Store each stem of a job that is done as `<folder>/<stem>.<extension>`. Return paths by stem."""
        return {
            stem: self.download(job.id, stem, Path(folder) / f"{stem}.{job.extension}") for stem in job.stems
        }

    # Ask about the server

    def models(self) -> list[Model]:
        """Return the models that a request may name."""
        reply = self._transport.get_json(f"{_API}/models")
        return _parse(lambda found: [Model.from_json(each) for each in found["models"]], reply)

    def limits(self) -> Limits:
        """Return the limits of a song, and the formats of this server."""
        return _parse(Limits.from_json, self._transport.get_json(f"{_API}/limits"))

    def readiness(self) -> Readiness:
        """Return the state of queue and store. Raises `RequestFailed` with 503 if one of them is away."""
        reply = self._transport.call("GET", "/readyz", retried=False)
        return _parse(Readiness.from_json, read_json(reply))


def _until(ends_at: float, lines: Iterable[str]) -> Iterator[str]:
    """Yield lines until this time. Comments come every few seconds."""
    for line in lines:
        yield line
        if time.monotonic() >= ends_at:
            return


def _job_path(job_id: str) -> str:
    return f"{_API}/job/{quote(job_id, safe='')}"


def _texts_of(options: Options) -> dict[str, str]:
    """Return the options as fields of a form or a query."""
    return {name: _text_of(value) for name, value in options.values().items()}


def _text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return json.dumps(value)
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def _submission(reply: requests.Response) -> Submission:
    return _parse(
        lambda found: Submission(str(found["hash"]), str(found.get("request_id", ""))), read_json(reply)
    )


def _parse(read: Callable[[Mapping[str, Any]], T], reply: Mapping[str, Any]) -> T:
    try:
        return read(reply)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidReply(f"A reply of the server is invalid: {error!r}") from None
