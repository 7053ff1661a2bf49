"""The heartbeat file."""

import json
from pathlib import Path

from msaas.heartbeat import Heartbeat


def test_facts_are_written_as_json(tmp_path: Path) -> None:
    Heartbeat(tmp_path / "heartbeat")(job_id="abc", progress=0.25)
    assert json.loads((tmp_path / "heartbeat").read_text()) == {"job_id": "abc", "progress": 0.25}


def test_writes_are_limited_in_number(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "heartbeat", every_s=60)
    heartbeat(progress=0.1)
    heartbeat(progress=0.2)
    assert json.loads((tmp_path / "heartbeat").read_text()) == {"progress": 0.1}


def test_unwritable_disk_fails_nothing(tmp_path: Path) -> None:
    Heartbeat(tmp_path / "gone" / "heartbeat")(job_id="abc")
    assert not (tmp_path / "gone").exists()
