"""The songs that wait."""
