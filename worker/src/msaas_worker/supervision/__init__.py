"""Supervision of work from any source: the loop, the attempt, its ending, the watchdog, the shutdown."""
