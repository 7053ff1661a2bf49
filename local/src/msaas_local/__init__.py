"""The local stack: the processes that run in pods, on one machine."""
