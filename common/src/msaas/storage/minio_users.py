"""Users of a MinIO server: one for each service, with the calls it makes. Other servers have other ways."""

from collections.abc import Iterable, Mapping
from typing import Any

import urllib3
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException

from msaas.errors import StoreUnavailable

_READ, _WRITE, _DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
#: Without it a server answers 403 for a missing object, and the services need the 404.
_BUCKET = ["s3:ListBucket", "s3:GetBucketLocation"]
#: The calls of each service to the bucket of songs and to that of results.
_ACTIONS = {
    "rest": ({_READ, _WRITE}, {_READ, _WRITE, _DELETE}),
    "worker": ({_READ}, {_READ, _WRITE, _DELETE}),
    "keeper": ({_READ, _DELETE}, {_READ, _DELETE}),
}
SERVICES = tuple(_ACTIONS)


def policy_of(service: str, *, input_bucket: str, output_bucket: str, debug: bool = False) -> dict[str, Any]:
    """Return the policy of a service. With `debug`, rest may empty both buckets."""
    songs, results = _ACTIONS[service]
    if debug and service == "rest":
        songs = songs | {_DELETE}
    buckets = [f"arn:aws:s3:::{bucket}" for bucket in (input_bucket, output_bucket)]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": _BUCKET, "Resource": buckets},
            *(
                {"Effect": "Allow", "Action": _with_parts(actions), "Resource": [f"{bucket}/*"]}
                for bucket, actions in zip(buckets, (songs, results), strict=True)
            ),
        ],
    }


def _with_parts(actions: Iterable[str]) -> list[str]:
    """Return the actions in order. A large upload that fails is aborted."""
    return sorted({*actions, *(["s3:AbortMultipartUpload"] if _WRITE in actions else [])})


def create_users(
    host: str,
    *,
    root: tuple[str, str],
    secure: bool,
    users: Mapping[str, tuple[str, str]],
    policies: Mapping[str, dict[str, Any]],
) -> None:
    """Create or update the users and their policies. `root` and `users` have access keys and secret keys.

    Raises:
        StoreUnavailable: the server refuses, or is not a MinIO.
    """
    admin = MinioAdmin(endpoint=host, credentials=StaticProvider(*root), secure=secure)
    try:
        for service, (access_key, secret_key) in users.items():
            name = f"msaas-{service}"
            admin.policy_add(name, policy=policies[service])
            admin.user_add(access_key, secret_key)
            # Unlike `attach_policy` it may be repeated, and replaces the policies that the user had.
            admin.policy_set(name, user=access_key)
    except (MinioAdminException, urllib3.exceptions.HTTPError) as error:
        raise StoreUnavailable(f"The users of the store were not created. {error}") from None
