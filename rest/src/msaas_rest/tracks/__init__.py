"""The stems of a song, one at a time."""
