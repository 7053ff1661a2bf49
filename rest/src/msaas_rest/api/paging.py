"""The length of a page of a list."""

import re
from collections.abc import Mapping

from msaas.errors import MalformedRequest

_NUMBER = re.compile(r"[0-9]{1,9}")


def parse_limit(query: Mapping[str, str], *, default: int, most: int) -> int:
    """Read `limit` of a query. An empty one counts as absent. Raises `MalformedRequest`."""
    text = query.get("limit", "") or str(default)
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise MalformedRequest(f"Field `limit` must be a number from 1 to {most}.")
    return int(text)
