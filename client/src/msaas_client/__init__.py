"""The API of Music Separation as a Service for Python programs."""

from msaas_client.client import Client
from msaas_client.errors import (
    ClientError,
    DamagedDownload,
    InvalidReply,
    JobFailed,
    Refused,
    RequestFailed,
    Unreachable,
    WaitTimeout,
)
from msaas_client.retries import RetryPolicy
from msaas_client.values import Job, JobError, Limits, Model, Options, Readiness, State, Submission

__all__ = [
    "Client",
    "ClientError",
    "DamagedDownload",
    "InvalidReply",
    "Job",
    "JobError",
    "JobFailed",
    "Limits",
    "Model",
    "Options",
    "Readiness",
    "Refused",
    "RequestFailed",
    "RetryPolicy",
    "State",
    "Submission",
    "Unreachable",
    "WaitTimeout",
]
