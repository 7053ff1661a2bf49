"""Work that comes from elsewhere than the queue of jobs: whole songs of a broker, results to a backend.

Such a worker has neither Redis nor a store. `job` is the other source.
"""
