"""The table of errors in docs/api.md agrees with the code."""

import re
from pathlib import Path

from msaas import errors
from msaas_rest.http.statuses import status_of

DOCUMENT = (Path(__file__).parents[2] / "docs/api.md").read_text()
#: Errors that never leave the service, or stand in the status of a failed job only.
_INTERNAL = {
    *(errors.MsaasError, errors.NotFound, errors.Unauthorized, errors.Unavailable),
    *(errors.DamagedStem, errors.ObjectNotFound, errors.ObjectChanged),
    errors.SongDamaged,
    *(errors.MalformedJob, errors.ClaimRefused, errors.LeaseLost, errors.AttemptsExhausted),
    *(errors.UndecodableSong, errors.ModelUnavailable, errors.DeviceUnavailable, errors.SeparationFailed),
    errors.MalformedSettings,
    # Of the workers of RabbitMQ.
    *(errors.ResultRefused, errors.BackendUnavailable),
}
#: Errors of accounts and of the songs API.
_OF_SONGS = {
    *(errors.UsernameTaken, errors.LoginRequired, errors.LoginFailed),
    *(errors.SessionUnknown, errors.UserNotFound, errors.SessionNotFound, errors.SongNotFound),
    *(errors.SongDeleted, errors.RegistrationClosed, errors.WorkersRefused, errors.WrongWorkerToken),
    errors.SongLimitReached,
    *(errors.MessageTooLarge, errors.MalformedStemTar, errors.StemTooLarge),
}


def read_documented_codes() -> dict[str, int]:
    """Return the status of each code in the table."""
    rows = re.findall(r"^\| (\d{3}) \| ([^|]*) \|", DOCUMENT, flags=re.MULTILINE)
    return {code: int(status) for status, codes in rows for code in re.findall(r"`([a-z0-9_]+)`", codes)}


def list_answered_errors() -> dict[str, int]:
    """Return the status of each error that a client can see."""
    found: list[errors.MsaasError] = []
    for kind in vars(errors).values():
        if (
            isinstance(kind, type)
            and issubclass(kind, errors.MsaasError)
            and kind not in _INTERNAL | _OF_SONGS
        ):
            found.append(kind())
    return {error.code: status_of(error).value for error in found}


def test_table_lists_every_error_with_its_status() -> None:
    assert read_documented_codes() == list_answered_errors()
