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

_EXAMPLES = os.environ.get("EXAMPLES", "5")
_SEED = os.environ.get("SEED", "1")
#: Random bytes are not a song, and most ids are unknown.
_UNSUITABLE = "positive_data_acceptance"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_replies_to_generated_requests_are_described(start: Start, tmp_path: Path) -> None:
    service = start(DEBUG_ENDPOINTS="1", DATABASE_URL=f"sqlite:///{tmp_path / 'catalogue.db'}")
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", f"{service.url}/openapi.json"),
            *("--checks", "all", "--exclude-checks", _UNSUITABLE, "--continue-on-failure"),
            *("--max-examples", _EXAMPLES, "--seed", _SEED, "--generation-database", "none"),
            *("--request-timeout", "20", "--phases", "examples,coverage,fuzzing"),
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-5_000:])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
