"""Named errors. The docstring of an error is its title. Its `detail` stands alone, also without the title."""

import re
from collections.abc import Mapping, Sequence


class MsaasError(Exception):
    """The operation failed."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def title(self) -> str:
        return (type(self).__doc__ or "").strip().splitlines()[0]

    @property
    def code(self) -> str:
        """The stable name on the wire: `SongTooLarge` is `song_too_large`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def __str__(self) -> str:
        return self.detail or self.title


# Requests


class MalformedRequest(MsaasError):
    """The request is malformed."""


class MissingSong(MalformedRequest):
    """The song is missing."""


class InvalidBase64(MalformedRequest):
    """The song is not valid base64."""


class InvalidCallback(MalformedRequest):
    """The callback is invalid."""


class InvalidId(MalformedRequest):
    """The id is invalid."""


class InvalidFields(MalformedRequest):
    """Fields of the request are invalid."""

    def __init__(self, detail: str = "", *, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        """`fields` has the texts of each field that is invalid. Together they are the detail."""
        self.fields = {name: list(texts) for name, texts in (fields or {}).items()}
        super().__init__(detail or " ".join(text for texts in self.fields.values() for text in texts))


class UsernameTaken(InvalidFields):
    """The username is taken."""


class InvalidIdempotencyKey(MalformedRequest):
    """The idempotency key is invalid."""


class IdempotencyKeyReused(MsaasError):
    """The idempotency key belongs to another request."""


class RequestInProgress(MsaasError):
    """The request with this idempotency key is in progress."""


class UrlRefused(MsaasError):
    """The URL must not be fetched."""


class UrlUnreachable(MsaasError):
    """The song cannot be fetched from the URL."""


class CallbackNotReady(MsaasError):
    """The callback cannot be sent again in its state."""


class JobEnded(MsaasError):
    """The job has ended."""


class NotYourRequest(MsaasError):
    """No request of yours waits for the job."""


class SongInUse(MsaasError):
    """Another client has the song."""


class MalformedStemTar(MalformedRequest):
    """The archive of stems is malformed."""


class UnsupportedEncoding(MsaasError):
    """The content encoding is not supported."""


class NotAudio(MsaasError):
    """The file is not audio of a known kind."""


class UndecodableSong(MsaasError):
    """The song cannot be decoded."""


class DecoderMissing(UndecodableSong):
    """The decoder of this kind of file is not installed."""


class UnknownOption(MsaasError):
    """The option is unknown."""


class InvalidOption(MsaasError):
    """The value of the option is invalid."""


class UnknownModel(MsaasError):
    """The model is unknown."""


class UnknownStem(MsaasError):
    """The stem is unknown."""


class UnknownFormat(MsaasError):
    """The format is unknown."""


class FormatUnavailable(UnknownFormat):
    """The format is not available on this worker."""


class SongTooLarge(MsaasError):
    """The song has too many bytes."""


class MessageTooLarge(SongTooLarge):
    """The song is too large for a message of the broker."""

    #: That of the broker, 0 if it is not known.
    limit_bytes = 0


class StemTooLarge(SongTooLarge):
    """The archive of stems is too large."""


class SongTooLong(MsaasError):
    """The song is too long."""


class Unauthorized(MsaasError):
    """An API key is required."""


class MissingKey(Unauthorized):
    """The API key is missing."""


class WrongKey(Unauthorized):
    """The API key is unknown."""


class WrongWorkerToken(Unauthorized):
    """The token of the worker is missing or unknown."""


class WorkersRefused(MsaasError):
    """Results of workers are not accepted."""


class RegistrationClosed(MsaasError):
    """The service registers no users."""


class SongLimitReached(MsaasError):
    """The uploader has as many songs as allowed."""


class ScopeMissing(MsaasError):
    """The API key may not do this."""


class LoginRequired(MsaasError):
    """A login is required."""


class LoginFailed(LoginRequired):
    """The username or the password is wrong."""


class SessionUnknown(LoginRequired):
    """The session is unknown or has ended."""


class UploadTooSlow(MsaasError):
    """The upload is too slow."""


class TooManyRequests(MsaasError):
    """The rate limit is exceeded."""


class TooManyCallbacks(TooManyRequests):
    """The job has too many callbacks."""


class CrossSiteRequest(MsaasError):
    """The request comes from another web site."""


class UnknownHost(MsaasError):
    """The host is not accepted."""


# Missing resources


class NotFound(MsaasError):
    """Not found."""


class JobNotFound(NotFound):
    """The job is unknown."""


class CallbackNotFound(NotFound):
    """The callback is unknown."""


class TrackNotFound(NotFound):
    """The track does not exist."""


class FragmentNotFound(NotFound):
    """The fragment does not exist."""

    #: Clients know it by its earlier name.
    code = "piece_not_found"


class PeaksNotFound(NotFound):
    """The peaks do not exist."""


class AnalysisNotFound(NotFound):
    """The analysis does not exist."""


class UserNotFound(NotFound):
    """The user is unknown."""


class SessionNotFound(NotFound):
    """The user has no such session."""


class SongNotFound(NotFound):
    """The song does not exist."""


class SongDeleted(SongNotFound):
    """The song was deleted."""


class ObjectNotFound(NotFound):
    """The object is not in the store."""


class ObjectChanged(ObjectNotFound):
    """The object was replaced while it was read."""


class DamagedStem(TrackNotFound):
    """The stored stem is damaged."""


class SongMissing(NotFound):
    """The song is not in the store."""


class SongDamaged(MsaasError):
    """The stored song does not match its id."""


# Outages


class Unavailable(MsaasError):
    """A dependency is unavailable."""


class QueueUnavailable(Unavailable):
    """The queue is unavailable."""


class QueueFull(QueueUnavailable):
    """The queue is full."""


class StoreUnavailable(Unavailable):
    """The object store is unavailable."""


class DatabaseUnavailable(Unavailable):
    """The database is unavailable."""


class BackendUnavailable(Unavailable):
    """The backend is unavailable."""


class TooBusy(Unavailable):
    """The service is busy."""


# Queue and workers


class MalformedJob(MsaasError):
    """The queue entry is not a job."""

    def __init__(self, detail: str, *, payload: bytes) -> None:
        super().__init__(detail)
        self.payload = payload


class ClaimRefused(MsaasError):
    """The claim was refused."""


class LeaseLost(MsaasError):
    """The lease of the job is lost."""


class AttemptsExhausted(MsaasError):
    """The job used up its attempts."""


class ResultRefused(MsaasError):
    """The backend refused the result."""


# Separation


class ModelUnavailable(MsaasError):
    """The model is not available."""


class DeviceUnavailable(MsaasError):
    """The device is not available."""


class SeparationFailed(MsaasError):
    """The separation failed."""


class MalformedSettings(MsaasError):
    """A setting is invalid."""
