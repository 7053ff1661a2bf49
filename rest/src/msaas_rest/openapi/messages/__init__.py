"""Requests and replies as pydantic models, by feature. They describe and do not parse."""
