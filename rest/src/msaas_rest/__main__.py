"""`python -m msaas_rest` serves the API until SIGTERM."""

import sys

from msaas.settings import load_or_exit
from msaas_rest.settings import RestSettings


def main() -> None:
    settings = load_or_exit(RestSettings, program="msaas_rest", description="The REST API of MSaaS.")
    # Imported late: the server takes a second, and `--help` or a typo is answered before.
    from msaas_rest.http.server import serve

    try:
        serve(settings)
    except OSError as error:
        sys.exit(f"Address {settings.host}:{settings.port} cannot be used: {error.strerror}.")


if __name__ == "__main__":
    main()
