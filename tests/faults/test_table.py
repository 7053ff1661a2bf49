"""The table of faults names tests that exist, and docs/reliability.md has its rows."""

import re

import pytest

from tests.faults.table import FAULTS
from tests.processes import ROOT


@pytest.mark.parametrize("also", [also for fault in FAULTS.values() for also in fault.also])
def test_named_test_of_another_folder_exists(also: str) -> None:
    file, _, name = also.partition("::")
    assert f"\ndef {name}" in (ROOT / file).read_text()


def test_reliability_document_has_the_rows_of_the_table() -> None:
    text = (ROOT / "docs/reliability.md").read_text().partition("| | fault | passes when |")[2]
    rows = re.findall(r"^\| ([A-Z]\d*) \| (.+) \| (.+) \|$", text, flags=re.MULTILINE)
    assert rows == [(row, fault.damage, fault.passes_when) for row, fault in FAULTS.items()]


def test_every_row_has_a_test() -> None:
    marked = {
        row
        for file in [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("*/tests/test_*.py")]
        for row in re.findall(r"mark\.fault\(\"(\w+)\"\)", file.read_text())
    }
    assert marked | {row for row, fault in FAULTS.items() if fault.also} == set(FAULTS)
