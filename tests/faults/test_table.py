"""The table of faults names tests that exist."""

import pytest

from tests.faults.table import FAULTS
from tests.processes import ROOT


@pytest.mark.parametrize("also", [also for fault in FAULTS.values() for also in fault.also])
def test_test_of_another_folder_exists(also: str) -> None:
    file, _, name = also.partition("::")
    assert f"\ndef {name}" in (ROOT / file).read_text()
