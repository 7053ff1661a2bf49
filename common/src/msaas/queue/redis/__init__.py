"""Redis adapter of the queue, the outbox, the locks and the log list."""
