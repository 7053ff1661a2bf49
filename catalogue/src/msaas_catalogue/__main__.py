"""`python -m msaas_catalogue`: prepares the database and administers its users."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import UTC, datetime

from msaas.errors import MsaasError
from msaas.printable import printable
from msaas.settings import command_line, settings_or_exit
from msaas_catalogue.catalogue import Catalogue, open_catalogue
from msaas_catalogue.migrating import prepare
from msaas_catalogue.settings import CatalogueSettings
from msaas_catalogue.values import User

_PROGRAM = "msaas_catalogue"


def main() -> None:
    options = _parser().parse_args()
    settings = settings_or_exit(CatalogueSettings, options)
    if settings.database_url is None:
        sys.exit("DATABASE_URL is missing. For a file of SQLite it is sqlite:///catalogue.db.")
    try:
        options.run(settings.database_url.get_secret_value(), options)
    except MsaasError as error:
        sys.exit(str(error))


def _parser() -> ArgumentParser:
    parser = command_line(_PROGRAM, "The database of users, songs and separations.")
    commands = parser.add_subparsers(
        dest="command", metavar="command", required="--check-config" not in sys.argv
    )
    preparing = commands.add_parser("prepare", help="make or migrate the tables")
    preparing.set_defaults(run=_prepare)
    users = commands.add_parser("users", help="administer users").add_subparsers(
        metavar="command", required=True
    )
    users.add_parser("list", help="print the users").set_defaults(run=_with_catalogue(_list))
    for name, run, text in (
        ("add", _add, "make an account, and print its password"),
        ("disable", _disable, "end the sessions of a user, who cannot log in any more"),
        ("enable", _enable, "let a user log in again"),
        ("reset", _reset, "print a new password for a user, and end all sessions"),
    ):
        command = users.add_parser(name, help=text)
        command.add_argument("username")
        command.set_defaults(run=_with_catalogue(run))
    return parser


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _with_catalogue(run: Callable[[Catalogue, Namespace], None]) -> Callable[[str, Namespace], None]:
    def run_on(url: str, options: Namespace) -> None:
        catalogue = open_catalogue(url)
        try:
            run(catalogue, options)
        finally:
            catalogue.close()

    return run_on


def _prepare(url: str, _: Namespace) -> None:
    _say(f"The database has revision {prepare(url)}.")


def _list(catalogue: Catalogue, _: Namespace) -> None:
    for user in catalogue.accounts.list_users():
        _say(_line_of(user))


def _line_of(user: User) -> str:
    created = datetime.fromtimestamp(user.created_at, UTC).date().isoformat()
    state = "enabled" if user.disabled_at is None else "disabled"
    return f"{user.id}\t{printable(user.name)}\t{created}\t{state}"


def _add(catalogue: Catalogue, options: Namespace) -> None:
    _say(catalogue.accounts.add(options.username))


def _disable(catalogue: Catalogue, options: Namespace) -> None:
    catalogue.accounts.disable(options.username)
    _say(f"User {printable(options.username)} is disabled.")


def _enable(catalogue: Catalogue, options: Namespace) -> None:
    catalogue.accounts.enable(options.username)
    _say(f"User {printable(options.username)} is enabled.")


def _reset(catalogue: Catalogue, options: Namespace) -> None:
    _say(catalogue.accounts.reset_password(options.username))


if __name__ == "__main__":
    main()
