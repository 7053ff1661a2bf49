"""Exit codes of the command."""

from enum import IntEnum

from msaas_client.errors import ClientError, Refused, RequestFailed, Unreachable

#: The server lists the known values in its answer.
_USAGE = {
    *("unknown_option", "unknown_model", "unknown_format", "unknown_stem"),
    *("invalid_option", "invalid_callback", "invalid_id"),
}


class ExitCode(IntEnum):
    """`FAILED`: a job or the server failed."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    INTERRUPTED = 130


def exit_code_of(error: BaseException) -> ExitCode:
    match error:
        case Refused():
            return ExitCode.REFUSED
        case Unreachable():
            return ExitCode.UNREACHABLE
        case RequestFailed(code=code) if code in _USAGE:
            return ExitCode.USAGE
    return ExitCode.FAILED


def is_final(error: ClientError) -> bool:
    """Return whether every further song would fail in the same way."""
    return exit_code_of(error) in (ExitCode.REFUSED, ExitCode.UNREACHABLE, ExitCode.USAGE)
