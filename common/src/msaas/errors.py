"""Everything that can go wrong has a name here, and its docstring is the message."""

import re


class MsaasError(Exception):
    """Something went wrong."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def title(self) -> str:
        return (type(self).__doc__ or "").strip().splitlines()[0]

    @property
    def code(self) -> str:
        """The name that never changes: `SongTooLarge` is `song_too_large`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def __str__(self) -> str:
        return f"{self.title} {self.detail}".strip()


# What a request can get wrong.


class MalformedRequest(MsaasError):
    """The request is malformed."""


class MissingSong(MalformedRequest):
    """The request holds no song."""


class InvalidBase64(MalformedRequest):
    """The song is not valid base64."""


class InvalidCallback(MalformedRequest):
    """The callback is not an object with a url."""


class InvalidId(MalformedRequest):
    """The id is not one this service gives out."""


class CallbackNotReady(MsaasError):
    """The callback has nothing to tell."""


class NotAnMp3(MsaasError):
    """The song is not an MP3."""


class UndecodableSong(MsaasError):
    """The song cannot be decoded."""


class UnknownModel(MsaasError):
    """There is no such model."""


class UnknownStem(MsaasError):
    """There is no such stem."""


class UnknownFormat(MsaasError):
    """There is no such format."""


class SongTooLarge(MsaasError):
    """The song has too many bytes."""


class SongTooLong(MsaasError):
    """The song lasts too long."""


class Unauthorized(MsaasError):
    """This takes an API key."""


class MissingKey(Unauthorized):
    """The API key is missing."""


class WrongKey(Unauthorized):
    """The API key is not known."""


class TooManyRequests(MsaasError):
    """This client calls too often."""


class CrossSiteRequest(MsaasError):
    """A web page of another site may not do this."""


class UnknownHost(MsaasError):
    """The Host header names a host this service does not serve."""


# What is not there.


class NotFound(MsaasError):
    """There is no such thing."""


class JobNotFound(NotFound):
    """There is no such job."""


class CallbackNotFound(NotFound):
    """There is no such callback."""


class TrackNotFound(NotFound):
    """There is no such track."""


class PieceNotFound(NotFound):
    """There is no such piece."""


class ObjectNotFound(NotFound):
    """The store holds no such object."""


class SongMissing(NotFound):
    """The song is no longer in the store."""


# What may be well again in a moment.


class Unavailable(MsaasError):
    """A part of the service is away."""


class QueueUnavailable(Unavailable):
    """The queue does not answer."""


class QueueFull(QueueUnavailable):
    """The queue is full."""


class StoreUnavailable(Unavailable):
    """The object store does not answer."""


class TooBusy(Unavailable):
    """The service is busy."""


# What happens between a queue and its workers.


class MalformedJob(MsaasError):
    """The queue entry is not a job."""

    def __init__(self, detail: str, *, payload: bytes) -> None:
        super().__init__(detail)
        self.payload = payload


class ClaimRefused(MsaasError):
    """The job is not to be worked on."""


class LeaseLost(MsaasError):
    """The lease of this job has passed to another worker."""


class AttemptsExhausted(MsaasError):
    """The job ended its workers too often."""


# What a separator can meet.


class ModelUnavailable(MsaasError):
    """The model is not at hand."""


class DeviceUnavailable(MsaasError):
    """The device that was asked for is absent."""


class SeparationFailed(MsaasError):
    """The separation failed."""


class MalformedSettings(MsaasError):
    """A setting is wrong."""
