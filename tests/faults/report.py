"""Prints the table of faults with the figures that the tests measured."""

from collections import defaultdict
from typing import Any

import pytest

from tests.faults.table import FAULTS

_FIGURES = pytest.StashKey[list[str]]()


class FaultTable:
    """A pytest plugin: `@pytest.mark.fault("R1")` puts a test into a row, the fixture `figure` a number."""

    def __init__(self) -> None:
        self._results: defaultdict[str, list[str]] = defaultdict(list)
        self._figures: defaultdict[str, list[str]] = defaultdict(list)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for row, fault in FAULTS.items():
                if item.nodeid.startswith(fault.also) and fault.also:
                    item.add_marker(pytest.mark.fault(row))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        report = yield
        mark = item.get_closest_marker("fault")
        if mark and (report.when == "call" or report.outcome != "passed"):
            row = mark.args[0]
            self._results[row].append(report.outcome)
            self._figures[row] += item.stash.get(_FIGURES, [])
        return report

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._results:
            return
        terminalreporter.section("faults")
        for row, fault in FAULTS.items():
            if row in self._results:
                outcomes = self._results[row]
                passed = f"{outcomes.count('passed')}/{len(outcomes)} passed"
                figures = "; ".join(self._figures[row])
                terminalreporter.line(f"{row:4}| {fault.what} | {fault.passes_when} | {figures} | {passed}")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Any:
    """Note a measured figure for the row of this test."""
    figures = request.node.stash.setdefault(_FIGURES, [])
    return figures.append
