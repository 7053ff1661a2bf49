"""The job queue: protocols, the Redis adapter, the in-memory twin."""
