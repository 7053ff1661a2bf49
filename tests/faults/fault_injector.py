"""Damage to a worker at a named step of a job."""

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from msaas_worker.attempt import Step

#: Longer than any test.
_HANG_S = 3600.0
#: SIGSTOP takes effect a little later, and this thread must not go on meanwhile.
_STOP_S = 0.5


class Damage(StrEnum):
    KILL = "kill"
    STOP = "stop"
    HANG = "hang"


@dataclass
class Injection:
    """`damage` at the `number`-th `step`, of one job only if `job_id` is given."""

    damage: Damage
    step: Step
    number: int = 1
    job_id: str = ""

    def __str__(self) -> str:
        return f"{self.damage}:{self.step}:{self.number}:{self.job_id}"

    @classmethod
    def parse(cls, text: str) -> "Injection":
        """Read the text of `str`. Raises `ValueError`."""
        damage, step, number, job_id = text.split(":")
        return cls(Damage(damage), Step(step), int(number), job_id)


class FaultInjector:
    """Implements `OnStep`. With a folder `met`, each injection is met by one of many workers only.

    A worker that claims a job leaves a file with its process id in the folder `claims`.
    """

    def __init__(
        self, injections: Iterable[Injection], *, met: Path | None = None, claims: Path | None = None
    ) -> None:
        self._left = {str(each): each.number for each in injections}
        self._met = met
        self._claims = claims

    def __call__(self, step: Step, *, job_id: str) -> None:
        if self._claims and step is Step.CLAIMED:
            (self._claims / str(os.getpid())).touch()
        for text in self._left:
            planned = Injection.parse(text)
            if planned.step is step and planned.job_id in ("", job_id):
                self._left[text] -= 1
                if self._left[text] == 0 and self._is_first(text):
                    _inflict(planned.damage)

    def _is_first(self, text: str) -> bool:
        if self._met is None:
            return True
        try:
            (self._met / text).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def as_settings(*injections: Injection, met: Path | None = None) -> dict[str, str]:
    """Return the environment that plans these faults for `worker_process`."""
    return {"FAULTS": ",".join(map(str, injections)), **({"FAULTS_MET": str(met)} if met else {})}


def _inflict(damage: Damage) -> None:
    if damage is Damage.HANG:
        time.sleep(_HANG_S)
    os.kill(os.getpid(), signal.SIGKILL if damage is Damage.KILL else signal.SIGSTOP)
    time.sleep(_STOP_S)
