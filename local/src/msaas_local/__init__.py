"""The local stack: every part of the service as the process that also runs in a pod, on one machine."""
