"""`python -m msaas_client` is the command `msaas`."""

from msaas_client.command.main import main

if __name__ == "__main__":
    main()
