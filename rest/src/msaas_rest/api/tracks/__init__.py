"""Serve and remove stems."""
