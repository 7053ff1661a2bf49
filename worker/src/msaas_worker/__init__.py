"""The worker: turns songs into stems."""
