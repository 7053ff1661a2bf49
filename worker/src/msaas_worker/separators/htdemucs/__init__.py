"""A faster forward pass of HTDemucs: demucs' function and weights, arranged for the machine at hand."""

from msaas_worker.separators.htdemucs.preparation import Prepared, prepare

__all__ = ["Prepared", "prepare"]
