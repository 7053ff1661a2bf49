"""The store as a whole, for debugging."""
