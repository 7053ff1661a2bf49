"""Comparison of replies with their samples: a difference is found, and `…` stands for more."""

from typing import Any

import pytest

from tests.samples import compare_json, compare_text

VARYING = frozenset({"at"})


@pytest.mark.parametrize(
    ("found", "sample"),
    [
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}),
        ({"a": 1, "b": 2, "c": 3}, {"a": 1, "…": "…"}),
        ([1, 2, 3, 4], [1, "…"]),
        ([1, 2, 3, 4], ["…", 4]),
        ([1, 2, 3, 4], [1, "…", 3, 4]),
        ([{"name": "x", "size": 3}, {}], [{"name": "x", "…": "…"}, "…"]),
        ("077dd328c4.mp3", "077d….mp3"),
        ({"at": "13:00"}, {"at": "12:00"}),
        ({"at": None}, {"at": "12:00"}),
    ],
)
def test_reply_agrees_with_its_sample(found: Any, sample: Any) -> None:
    assert compare_json(found, sample, varying=VARYING) == []


@pytest.mark.parametrize(
    ("found", "sample", "complaint"),
    [
        ({"a": 1}, {"a": 2}, "reply.a is 1, in the document 2"),
        ({"a": 1}, {"a": 1.0}, "reply.a is 1, in the document 1.0"),
        ({"a": 1}, {"a": True}, "reply.a is 1, in the document true"),
        ({"a": 1, "b": 2}, {"a": 1}, "reply has b further fields"),
        ({"a": 1}, {"a": 1, "…": "…"}, "reply has no further fields"),
        ({}, {"a": 1}, "reply lacks a"),
        ([1, 2], [1], "reply has 2 elements: [1, 2]"),
        ([1], [1, "…"], "reply has 1 elements: [1]"),
        ([1, 2, 3], [1, "…", 4], "reply[1] is 3, in the document 4"),
        ([1], {"a": 1}, 'reply is [1], in the document {"a": 1}'),
        ("077d.mp3", "077d….mp3", 'reply is "077d.mp3", in the document "077d….mp3"'),
        ({"at": 13}, {"at": "12:00"}, 'reply.at is 13, in the document "12:00"'),
    ],
)
def test_difference_is_found(found: Any, sample: Any, complaint: str) -> None:
    assert compare_json(found, sample, varying=VARYING) == [complaint]


@pytest.mark.parametrize(
    ("found", "sample"),
    [
        ("HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\n\r\n", "HTTP/1.1 200 OK\n…\nb: 2\n"),
        ("id: 5e1c\ndata: {}\n\n", "id: …\ndata: {}\n"),
        ("one (1)", "one (1)"),
    ],
)
def test_text_agrees_with_its_sample(found: str, sample: str) -> None:
    assert compare_text(found, sample) == []


@pytest.mark.parametrize(
    ("found", "sample"),
    [("a: 1\nb: 2", "a: 1"), ("a: 1", "a: 1\n…"), ("a: ", "a: …"), ("a: 1\nb: 2", "a: …"), ("a.c", "abc")],
)
def test_difference_of_texts_is_found(found: str, sample: str) -> None:
    assert len(compare_text(found, sample)) == 1
