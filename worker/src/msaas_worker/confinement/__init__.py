"""Confinement of a process that reads untrusted bytes, by Landlock and a filter of system calls."""
