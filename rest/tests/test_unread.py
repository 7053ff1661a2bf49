"""The sum of the chunks that clients have not read."""

from contextlib import ExitStack

from msaas_rest.http.unread import UnreadChunks

CHUNK_BYTES = 10**6


def test_past_the_sum_the_connection_ends_that_has_waited_longest() -> None:
    ended: list[str] = []
    unread = UnreadChunks(max_bytes=3 * CHUNK_BYTES)
    with ExitStack() as waiting:
        for name in ("first", "second", "third", "fourth"):
            waiting.enter_context(unread.hold(CHUNK_BYTES, abort=lambda name=name: ended.append(name)))
    assert ended == ["first", "second"]


def test_chunk_that_was_read_is_not_counted() -> None:
    ended: list[str] = []
    unread = UnreadChunks(max_bytes=2 * CHUNK_BYTES)
    for _ in range(10):
        with unread.hold(CHUNK_BYTES, abort=lambda: ended.append("read")):
            pass
    assert ended == []


def test_single_answer_may_be_longer_than_the_sum() -> None:
    ended: list[str] = []
    with UnreadChunks(max_bytes=1).hold(CHUNK_BYTES, abort=lambda: ended.append("single")):
        pass
    assert ended == []
