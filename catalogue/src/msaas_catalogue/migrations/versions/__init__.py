"""The revisions, each from the one before it. A revision that was released does not change."""
