"""Docstrings, comments and documents stay plain: few question words, few semicolons (`tests/prose.py`)."""

from pathlib import Path

import pytest

from tests.prose import PACKAGES, Measure, documents, measure_code, measure_document

_ROOT = Path(__file__).parents[1]
#: Per 1,000 words.
_MAX_QUESTION_WORDS, _MAX_SEMICOLONS = 3.0, 6.0


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_and_comments_are_plain(package: str) -> None:
    found = measure_code(_ROOT, PACKAGES[package])
    assert found.words > 0
    assert found.question_rate < _MAX_QUESTION_WORDS
    assert found.semicolon_rate < _MAX_SEMICOLONS


@pytest.mark.parametrize("document", documents(_ROOT), ids=lambda path: str(path.relative_to(_ROOT)))
def test_documents_are_plain(document: Path) -> None:
    found = measure_document(document)
    assert found.question_rate < _MAX_QUESTION_WORDS
    assert found.semicolon_rate < _MAX_SEMICOLONS


def test_inline_code_counts_as_one_word() -> None:
    assert Measure.of("The rate is `100/minute; 1000/hour`.") == Measure(4, question_words=0, semicolons=0)


def test_question_words_and_semicolons_are_counted() -> None:
    assert Measure.of("Whoever asks is told; nobody knows.") == Measure(6, question_words=2, semicolons=1)
