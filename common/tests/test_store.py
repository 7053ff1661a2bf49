"""What every object store does: in memory, in a directory, and on two S3 servers."""

import io
import os
import time

import pytest

from msaas.directory_store import DirectoryStore
from msaas.errors import ObjectNotFound, StoreUnavailable
from msaas.s3_store import connect
from msaas.storage import ObjectStore
from msaas.testing import InMemoryStore
from tests.servers import free_port

KEY = "a" * 64 + ".mp3"


def put(store: ObjectStore, bucket: str, content: bytes, *, key: str = KEY) -> None:
    store.put(bucket, key, io.BytesIO(content), size_bytes=len(content))


def content_of(store: ObjectStore, bucket: str, key: str = KEY) -> bytes:
    return b"".join(store.get(bucket, key))


def test_a_store_that_answers_is_pinged(store: ObjectStore, bucket: str) -> None:
    store.ping("input-tracks")


def test_making_a_bucket_twice_is_fine(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"kept")
    store.make_bucket(bucket)
    assert content_of(store, bucket) == b"kept"


@pytest.mark.parametrize("size_bytes", [0, 1, 1024, 3 * 1024 * 1024 + 7])
def test_what_was_put_is_what_is_got(store: ObjectStore, bucket: str, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    put(store, bucket, content)
    assert content_of(store, bucket) == content
    assert store.stat(bucket, KEY).size_bytes == size_bytes


def test_only_as_much_is_read_as_was_said(store: ObjectStore, bucket: str) -> None:
    store.put(bucket, KEY, io.BytesIO(b"0123456789"), size_bytes=4)
    assert content_of(store, bucket) == b"0123"


def test_a_second_put_replaces_the_first(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"first")
    put(store, bucket, b"second, longer")
    put(store, bucket, b"third")
    assert content_of(store, bucket) == b"third"
    assert [found.key for found in store.list(bucket)] == [KEY]


def test_what_is_absent_is_not_found(store: ObjectStore, bucket: str) -> None:
    with pytest.raises(ObjectNotFound):
        store.stat(bucket, KEY)
    with pytest.raises(ObjectNotFound):
        content_of(store, bucket)


def test_a_bucket_that_is_absent_is_not_found(store: ObjectStore, bucket: str) -> None:
    absent = f"no-{bucket}"
    with pytest.raises(ObjectNotFound):
        store.stat(absent, KEY)
    with pytest.raises(ObjectNotFound):
        list(store.list(absent))
    with pytest.raises(ObjectNotFound):
        put(store, absent, b"x")


def test_deleting_is_idempotent(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"x")
    store.delete(bucket, KEY)
    store.delete(bucket, KEY)
    store.delete(f"no-{bucket}", KEY)
    with pytest.raises(ObjectNotFound):
        store.stat(bucket, KEY)


def test_a_listing_tells_name_size_and_time(store: ObjectStore, bucket: str) -> None:
    began = time.time()
    put(store, bucket, b"12345", key="b.json")
    put(store, bucket, b"123", key="a-bass.mp3")
    found = sorted(store.list(bucket), key=lambda each: each.key)
    assert [(each.key, each.size_bytes) for each in found] == [("a-bass.mp3", 3), ("b.json", 5)]
    # S3 counts in whole seconds.
    assert all(began - 2 < each.modified_at < time.time() + 2 for each in found)


def test_an_empty_bucket_lists_nothing(store: ObjectStore, bucket: str) -> None:
    assert list(store.list(bucket)) == []


def test_data_that_ends_early_leaves_no_object(store: ObjectStore, bucket: str) -> None:
    with pytest.raises((ValueError, StoreUnavailable)):
        store.put(bucket, KEY, io.BytesIO(b"short"), size_bytes=10)
    assert list(store.list(bucket)) == []


def test_data_that_breaks_off_leaves_no_object_and_the_old_one_stands(
    store: ObjectStore, bucket: str
) -> None:
    put(store, bucket, b"old")

    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises((OSError, StoreUnavailable)):
        store.put(bucket, KEY, Breaking(), size_bytes=10)
    assert content_of(store, bucket) == b"old"


# What only some of them can get wrong.


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/b", ".hidden", "", "..", "a\x00b"])
def test_no_key_leads_out_of_the_directory(tmp_path: os.PathLike[str], key: str) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.make_bucket("b")
    for call in (
        lambda: put(store, "b", b"x", key=key),
        lambda: content_of(store, "b", key),
        lambda: store.stat("b", key),
        lambda: store.delete("b", key),
    ):
        with pytest.raises(ObjectNotFound):
            call()
    assert list(tmp_path.rglob("*.mp3")) == []


def test_what_a_crash_left_half_written_is_swept_when_the_store_starts(tmp_path: os.PathLike[str]) -> None:
    store = DirectoryStore(tmp_path)
    store.make_bucket("b")
    young, old = tmp_path / "b" / ".partial-young", tmp_path / "b" / ".partial-old"
    for partial in (young, old):
        partial.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    put(store, "b", b"whole")
    store.make_bucket("b")
    assert not old.exists()
    assert young.exists()
    assert [found.key for found in store.list("b")] == [KEY]


def test_a_directory_that_cannot_be_written_is_a_store_that_is_away(tmp_path: os.PathLike[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    store = DirectoryStore(tmp_path / "file")
    with pytest.raises(StoreUnavailable):
        store.make_bucket("b")


def test_an_s3_server_that_is_away_is_named_soon() -> None:
    store = connect(f"127.0.0.1:{free_port()}", access_key="a", secret_key="b")
    began = time.monotonic()
    for call in (
        lambda: store.ping("bucket"),
        lambda: store.stat("bucket", KEY),
        lambda: put(store, "bucket", b"x"),
    ):
        with pytest.raises(StoreUnavailable):
            call()
    assert time.monotonic() - began < 2


def test_wrong_keys_are_a_store_that_does_not_answer(s3_server) -> None:  # type: ignore[no-untyped-def]
    store = connect(s3_server.host, access_key="somebody", secret_key="else")
    with pytest.raises(StoreUnavailable):
        store.ping("input-tracks")


def test_the_twin_can_be_turned_off() -> None:
    store = InMemoryStore()
    store.make_bucket("b")
    store.away = True
    for call in (lambda: store.ping("b"), lambda: put(store, "b", b"x"), lambda: list(store.list("b"))):
        with pytest.raises(StoreUnavailable):
            call()
