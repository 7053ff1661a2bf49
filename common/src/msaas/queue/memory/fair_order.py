"""Fair order of the in-memory queue, as the Lua steps have it: owners take turns."""

from collections import deque
from dataclasses import dataclass, field

#: Each push with a multiple of this number forgets the owners of past turns.
_FORGET_EVERY = 1000


@dataclass
class FairOrder:
    """The waiting entries, next first, and the turns of their owners.

    `order` has the turn of each job that was pushed in order, and the number of its push. Entries that were
    pushed by hand, or given back, have none.
    """

    entries: deque[bytes] = field(default_factory=deque)
    order: dict[str, tuple[int, int]] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    _payloads: dict[str, bytes] = field(default_factory=dict)
    _pushes: int = 0

    def next_turn(self, owner: str) -> int:
        if not self.entries:
            self.order.clear()
            self.turns.clear()
        first = min(self.order.values())[0] if self.order else 1
        return max(first, self.turns.get(owner, 0) + 1)

    def push(self, job_id: str, payload: bytes, *, owner: str, turn: int) -> None:
        """Push an entry behind all of its turn."""
        self._pushes += 1
        if self._pushes % _FORGET_EVERY == 0:
            self.turns = {each: at for each, at in self.turns.items() if at >= turn}
        self.entries.insert(self._end_of(turn), payload)
        self.order[job_id] = (turn, self._pushes)
        self.turns[owner] = turn
        self._owners[job_id], self._payloads[job_id] = owner, payload

    def _end_of(self, turn: int) -> int:
        """Return the index behind all entries of the turn. A job that left the list leaves the order."""
        for job_id in self._jobs_after(turn):
            if self._payloads[job_id] in self.entries:
                return _last_index(self.entries, self._payloads[job_id])
            del self.order[job_id]
        return len(self.entries)

    def _jobs_after(self, turn: int) -> list[str]:
        places = sorted((place, job_id) for job_id, place in self.order.items())
        return [job_id for place, job_id in places if place[0] > turn]

    def move(self, job_id: str, *, owner: str, turn: int) -> None:
        """Move a waiting entry forward to an earlier turn."""
        payload = self._payloads[job_id]
        self.leave(job_id)
        del self.entries[_last_index(self.entries, payload)]
        self.push(job_id, payload, owner=owner, turn=turn)

    def claim(self, job_id: str) -> None:
        """Note that a worker has the job."""
        self.order.pop(job_id, None)

    def leave(self, job_id: str) -> None:
        """Take a job out of the order. Its owner gets the turn back."""
        owner = self._owners.get(job_id, "")
        if self.order.pop(job_id, None) and self.turns.get(owner, 0) > 0:
            self.turns[owner] -= 1


def _last_index(entries: deque[bytes], payload: bytes) -> int:
    return len(entries) - 1 - list(reversed(entries)).index(payload)
