"""Docstrings, comments and documents stay plain: few question words, few semicolons (`tests/prose.py`)."""

import re
from pathlib import Path

import pytest

from tests.prose import (
    PACKAGES,
    Measure,
    documents,
    find_denials,
    measure_all,
    measure_code,
    measure_document,
    read_code,
    read_document,
)

_ROOT = Path(__file__).parents[1]
#: Per 1,000 words.
_MAX_QUESTION_WORDS, _MAX_SEMICOLONS = 3.0, 6.0
#: The table in docs/architecture.md is updated when a figure has moved by more than this.
_TOLERANCE = 1.0


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_and_comments_are_plain(package: str) -> None:
    found = measure_code(_ROOT, PACKAGES[package])
    assert found.words > 0
    assert found.question_rate < _MAX_QUESTION_WORDS
    assert found.semicolon_rate < _MAX_SEMICOLONS
    assert find_denials(read_code(_ROOT, PACKAGES[package])) == []


@pytest.mark.parametrize("document", documents(_ROOT), ids=lambda path: str(path.relative_to(_ROOT)))
def test_documents_are_plain(document: Path) -> None:
    found = measure_document(document)
    assert found.question_rate < _MAX_QUESTION_WORDS
    assert found.semicolon_rate < _MAX_SEMICOLONS
    assert find_denials(read_document(document)) == []


def test_architecture_document_has_the_measure_of_every_text() -> None:
    text = (_ROOT / "docs/architecture.md").read_text().partition("## Prose")[2]
    rows = re.findall(r"^\| ([\w./-]+) \| \S+ \| ([\d.]+) \| \S+ \| ([\d.]+) \|$", text, flags=re.MULTILINE)
    documented = {name: (float(words), float(semicolons)) for name, words, semicolons in rows}
    measured = dict(measure_all(_ROOT))
    assert documented.keys() == measured.keys()
    for name, (words, semicolons) in documented.items():
        assert words == pytest.approx(measured[name].question_rate, abs=_TOLERANCE), name
        assert semicolons == pytest.approx(measured[name].semicolon_rate, abs=_TOLERANCE), name


def test_denials_are_found() -> None:
    assert find_denials("A folder that\nis no folder is wrong. There is no other.") == [
        "A folder that is no folder is wrong. Th"
    ]


def test_inline_code_counts_as_one_word() -> None:
    assert Measure.of("The rate is `100/minute; 1000/hour`.") == Measure(4, question_words=0, semicolons=0)


def test_question_words_and_semicolons_are_counted() -> None:
    assert Measure.of("Whoever asks is told; nobody knows.") == Measure(6, question_words=2, semicolons=1)
