"""Fragments: parts of stems in the store that clients can play while the job still runs."""

import json
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """Fragments 1 to `count` of each stem are stored. Joined they last `until_s` seconds."""

    job_id: str
    #: Names the attempt that made them.
    tag: str
    stems: tuple[str, ...]
    count: int = 0
    until_s: float = 0.0

    def with_next(self, *, until_s: float) -> "Fragments":
        return replace(self, count=self.count + 1, until_s=until_s)

    def encode(self) -> str:
        return json.dumps(vars(self), separators=(",", ":"))

    @classmethod
    def decode(cls, text: str | bytes) -> "Fragments":
        """Read the JSON of a neighbouring version: further fields are ignored."""
        found = json.loads(text)
        return cls(
            job_id=found["job_id"],
            tag=found["tag"],
            stems=tuple(found["stems"]),
            count=int(found.get("count", 0)),
            until_s=float(found.get("until_s", 0.0)),
        )
