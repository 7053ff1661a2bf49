"""One job: take it, hold its lease, run it, report how it ended."""
