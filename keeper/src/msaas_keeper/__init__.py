"""Housekeeping of the queue and the stores: expired leases, fragments, retention, webhooks, history.

Any number of copies may run: every step is one step on the Redis server, and locks arbitrate the rest.
"""
