"""While a job runs, what is done of its stems lies in the store in pieces, under the name of its attempt."""

import json
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Pieces:
    """Pieces 1 to `count` of each stem can be heard; joined they last `until_s` seconds."""

    job_id: str
    #: Names the attempt: no other has pieces under this name.
    tag: str
    stems: tuple[str, ...]
    count: int = 0
    until_s: float = 0.0

    def with_next(self, *, until_s: float) -> "Pieces":
        return replace(self, count=self.count + 1, until_s=until_s)

    def encode(self) -> str:
        return json.dumps(vars(self), separators=(",", ":"))

    @classmethod
    def decode(cls, text: str | bytes) -> "Pieces":
        fields = json.loads(text)
        return cls(**{**fields, "stems": tuple(fields["stems"])})
