"""The small model of this package and its weights."""

from msaas_worker.separators.starter.model import Starter

__all__ = ["Starter"]
