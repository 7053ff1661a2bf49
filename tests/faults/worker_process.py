"""`python -m tests.faults.worker_process`: a real worker with a quick engine, a policy and planned faults.

Environment: `ENGINE` (`real` for real models), `ENGINE_GAIN` and `ENGINE_PACE` (see `quick_engine`),
`WORKER_POLICY` and `SOURCE_POLICY` (their fields as JSON), `FAULTS` (injections with commas between),
`FAULTS_MET` and `CLAIMS` (folders, see `fault_injector`).
"""

import json
import os
from pathlib import Path

from msaas_worker.__main__ import main
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.sources.policy import SourcePolicy
from tests.faults.fault_injector import FaultInjector, Injection
from tests.faults.quick_engine import QuickSeparators


def run() -> None:
    faults = [Injection.parse(text) for text in os.environ.get("FAULTS", "").split(",") if text]
    quick = QuickSeparators(
        gain=float(os.environ.get("ENGINE_GAIN", "1")), pace=float(os.environ.get("ENGINE_PACE", "0"))
    )
    main(
        separators=None if os.environ.get("ENGINE") == "real" else quick,
        policy=WorkerPolicy(**json.loads(os.environ.get("WORKER_POLICY", "{}"))),
        source_policy=SourcePolicy(**json.loads(os.environ.get("SOURCE_POLICY", "{}"))),
        on_step=FaultInjector(faults, met=_folder("FAULTS_MET"), claims=_folder("CLAIMS")),
    )


def _folder(name: str) -> Path | None:
    return Path(os.environ[name]) if name in os.environ else None


if __name__ == "__main__":
    run()
