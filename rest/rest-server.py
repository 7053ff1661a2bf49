"""Starts the REST service from its folder: `python rest-server.py`."""

from msaas_rest.__main__ import main

if __name__ == "__main__":
    main()
