"""HTTP status of each named error."""

from http import HTTPStatus

from msaas import errors

#: The first class an error is an instance of decides.
_STATUS: dict[type[errors.MsaasError], HTTPStatus] = {
    errors.MalformedRequest: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.LoginRequired: HTTPStatus.UNAUTHORIZED,
    errors.ScopeMissing: HTTPStatus.FORBIDDEN,
    errors.RegistrationClosed: HTTPStatus.FORBIDDEN,
    errors.WorkersRefused: HTTPStatus.FORBIDDEN,
    errors.SongLimitReached: HTTPStatus.FORBIDDEN,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnknownHost: HTTPStatus.MISDIRECTED_REQUEST,
    errors.CrossSiteRequest: HTTPStatus.FORBIDDEN,
    errors.SongDeleted: HTTPStatus.GONE,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.CallbackNotReady: HTTPStatus.CONFLICT,
    errors.RequestInProgress: HTTPStatus.CONFLICT,
    errors.IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UrlRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UrlUnreachable: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.JobEnded: HTTPStatus.CONFLICT,
    errors.NotYourRequest: HTTPStatus.CONFLICT,
    errors.SongInUse: HTTPStatus.CONFLICT,
    errors.SongTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.SongTooLong: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NotAudio: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.UploadTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    errors.UnsupportedEncoding: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.DecoderMissing: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.UndecodableSong: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownOption: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidOption: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownModel: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownStem: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownFormat: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.MsaasError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: errors.MsaasError) -> HTTPStatus:
    return next(status for kind, status in _STATUS.items() if isinstance(error, kind))
