"""The contract: what two services must agree on, and nothing else."""

from msaas.redis_log import log_debug, log_info

__all__ = ["log_debug", "log_info"]
