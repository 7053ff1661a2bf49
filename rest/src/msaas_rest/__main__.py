"""`python -m msaas_rest` serves the API until SIGTERM."""

from msaas.settings import load_or_exit
from msaas_rest.http.server import Server
from msaas_rest.settings import RestSettings


def main() -> None:
    Server(load_or_exit(RestSettings, program="msaas_rest", description="The REST API of MSaaS.")).run()


if __name__ == "__main__":
    main()
