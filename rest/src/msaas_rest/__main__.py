"""`python -m msaas_rest` serves until SIGTERM; `--check-config` prints the settings."""

from msaas.settings import load_or_exit
from msaas_rest.settings import RestSettings
from msaas_rest.wsgi import Server


def main() -> None:
    Server(load_or_exit(RestSettings)).run()


if __name__ == "__main__":
    main()
