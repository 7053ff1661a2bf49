"""The logs service prints what the others said."""
