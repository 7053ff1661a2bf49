"""Prints the table of faults with the figures that the tests measured, also under pytest-xdist."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.table import FAULTS

_ROW, _FIGURE = "fault_row", "fault_figure"


class FaultTable:
    """A pytest plugin: `@pytest.mark.fault("R1")` puts a test into a row, the fixture `figure` a number.

    Both are properties of the report of the test, which a process of pytest-xdist sends to the controller.
    """

    def __init__(self) -> None:
        self._results: defaultdict[str, list[str]] = defaultdict(list)
        self._figures: defaultdict[str, list[str]] = defaultdict(list)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for row, fault in FAULTS.items():
                if fault.also and item.nodeid.startswith(fault.also):
                    item.add_marker(pytest.mark.fault(row))

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if mark := item.get_closest_marker("fault"):
            item.user_properties.append((_ROW, mark.args[0]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        rows = [value for name, value in report.user_properties if name == _ROW]
        for row in rows:
            self._results[str(row)].append(report.outcome)
            self._figures[str(row)] += [
                str(value) for name, value in report.user_properties if name == _FIGURE
            ]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._results:
            return
        terminalreporter.section("faults")
        for row, fault in FAULTS.items():
            if row in self._results:
                outcomes = self._results[row]
                passed = f"{outcomes.count('passed')}/{len(outcomes)} passed"
                figures = "; ".join(self._figures[row])
                terminalreporter.line(f"{row:4}| {fault.damage} | {fault.passes_when} | {figures} | {passed}")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Note a measured figure for the row of this test."""
    return lambda text: request.node.user_properties.append((_FIGURE, text))
