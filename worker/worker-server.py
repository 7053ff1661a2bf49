"""Starts a worker from its folder."""

from msaas_worker.__main__ import main

if __name__ == "__main__":
    main()
