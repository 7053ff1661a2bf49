"""schemathesis sends generated requests and compares the replies with the OpenAPI document.

`make fuzz` runs it with more examples: EXAMPLES is their number for each route. One thread
sends them: CPython 3.11 may fail to parse source in two threads.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rest.tests.conftest import Start

from msaas_rest.openapi.fields import EXAMPLE_HASH

_EXAMPLES = os.environ.get("EXAMPLES", "")
_SEED = os.environ.get("SEED", "1")
#: Random bytes are not a song, and most ids are unknown.
_UNSUITABLE = "positive_data_acceptance"
#: Routes whose options and fields have many combinations. Their coverage takes 50 of 75 s of CPU time.
_LARGE = "^/(apiv1/separate|songs/upload|auth)"
_ALL_PHASES = "examples,coverage,fuzzing"
#: schemathesis cannot make archives. `test_worker_results.py` sends damaged ones.
_ARCHIVES = "upload_result$"
#: `make fuzz` has all of them for large routes, too.
_FEWER_PHASES = _ALL_PHASES if _EXAMPLES else "examples,fuzzing"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "options",
    [
        ["--include-path-regex", _LARGE, "--phases", _FEWER_PHASES, "--max-examples", _EXAMPLES or "10"],
        [
            "--exclude-path-regex",
            f"{_LARGE}|{_ARCHIVES}",
            "--phases",
            _ALL_PHASES,
            "--max-examples",
            _EXAMPLES or "2",
        ],
    ],
    ids=["large", "others"],
)
def test_replies_to_generated_requests_are_described(
    start: Start, tmp_path: Path, options: list[str]
) -> None:
    service = start(DEBUG_ENDPOINTS="1", DATABASE_URL=f"sqlite:///{tmp_path / 'catalogue.db'}")
    # The examples of the document name a finished job.
    service.store_stems(EXAMPLE_HASH)
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", f"{service.url}/openapi.json"),
            *("--checks", "all", "--exclude-checks", _UNSUITABLE, "--continue-on-failure"),
            *("--seed", _SEED, "--generation-database", "none", "--request-timeout", "20", "--no-color"),
            *options,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-5_000:])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
