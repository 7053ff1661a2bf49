"""The logs service: prints the log lines of all services."""
