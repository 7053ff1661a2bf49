"""Separation in this process, by the engine of the worker. Needs the extra `local`."""
