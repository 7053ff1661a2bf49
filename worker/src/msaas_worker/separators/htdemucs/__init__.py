"""A fast forward pass of HTDemucs: the function and the weights of demucs, arranged for the machine at hand.

It serves several model families and knows none of them.
"""

from msaas_worker.separators.htdemucs.preparation import BuildNetwork, Prepared, prepare

__all__ = ["BuildNetwork", "Prepared", "prepare"]
