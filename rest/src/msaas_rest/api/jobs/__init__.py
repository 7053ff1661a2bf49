"""The queue, job status, fragments and callbacks."""
