"""Errors of the client. The text of each can be shown by itself."""

from msaas_client.values import Job


class ClientError(Exception):
    """The call failed."""


class Unreachable(ClientError):
    """The server does not answer."""


class InvalidReply(ClientError):
    """The reply is not one of this API."""


class RequestFailed(ClientError):
    """The server answered with an error.

    `code` is that of the API, an empty text if the reply has none. `retry_after_s` is the pause that the
    server asks for.
    """

    def __init__(
        self, detail: str, *, status: int, code: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class Refused(RequestFailed):
    """The key is missing, unknown, or may not do this."""


class JobFailed(ClientError):
    """The job failed or was cancelled."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.error.detail or job.error.title if job.error else f"The job is {job.state}.")
        self.job = job


class WaitTimeout(ClientError):
    """The job has not ended in time."""


class DamagedDownload(ClientError):
    """The file that arrived is not the one that the server stores."""
