"""Object stores: in memory, in a directory, and on two S3 servers."""

import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.tests import stores
from msaas.errors import ObjectChanged, ObjectNotFound, StoreUnavailable
from msaas.storage.directory import DirectoryStore
from msaas.storage.memory import InMemoryStore
from msaas.storage.protocol import ObjectStore
from msaas.storage.s3 import connect
from tests.servers import S3Access, free_port
from tests.tcp_proxy import TcpProxy, tcp_proxy

KEY = "a" * 64 + ".mp3"


def put(store: ObjectStore, bucket: str, content: bytes, *, key: str = KEY) -> None:
    store.put(bucket, key, io.BytesIO(content), size_bytes=len(content))


def content_of(store: ObjectStore, bucket: str, key: str = KEY) -> bytes:
    return b"".join(store.get(bucket, key))


def test_ping_succeeds_on_a_reachable_store(store: ObjectStore, bucket: str) -> None:
    store.ping("input-tracks")


def test_make_bucket_is_idempotent(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"kept")
    store.make_bucket(bucket)
    assert content_of(store, bucket) == b"kept"


@pytest.mark.parametrize("size_bytes", [0, 1, 1024, 3 * 1024 * 1024 + 7])
def test_get_returns_the_stored_bytes(store: ObjectStore, bucket: str, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    put(store, bucket, content)
    assert content_of(store, bucket) == content
    assert store.stat(bucket, KEY).size_bytes == size_bytes


def test_put_reads_the_announced_size_only(store: ObjectStore, bucket: str) -> None:
    store.put(bucket, KEY, io.BytesIO(b"0123456789"), size_bytes=4)
    assert content_of(store, bucket) == b"0123"


def test_second_put_replaces_the_first(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"first")
    put(store, bucket, b"second, longer")
    put(store, bucket, b"third")
    assert content_of(store, bucket) == b"third"
    assert [found.key for found in store.list(bucket)] == [KEY]


# Conditional writes


def test_conditional_put_replaces_the_object_with_this_etag(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"first")
    stores.put(store, bucket, KEY, b"second", if_match=store.stat(bucket, KEY).etag)
    assert content_of(store, bucket) == b"second"


def test_conditional_put_of_a_replaced_object_stores_nothing(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"first")
    etag = store.stat(bucket, KEY).etag
    put(store, bucket, b"second")
    with pytest.raises(ObjectChanged):
        stores.put(store, bucket, KEY, b"third", if_match=etag)
    assert content_of(store, bucket) == b"second"


def test_conditional_put_of_a_deleted_object_stores_nothing(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"first")
    etag = store.stat(bucket, KEY).etag
    store.delete(bucket, KEY)
    with pytest.raises(ObjectChanged):
        stores.put(store, bucket, KEY, b"second", if_match=etag)
    assert list(store.list(bucket)) == []


@pytest.fixture(params=["memory", "directory"])
def atomic_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return InMemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


def test_no_conditional_put_is_lost(atomic_store: ObjectStore) -> None:
    atomic_store.make_bucket("b")
    put(atomic_store, "b", b"0")
    barrier = threading.Barrier(4)

    def count_up() -> None:
        barrier.wait()
        for _ in range(25):
            while not _count_once(atomic_store):
                pass

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content_of(atomic_store, "b") == b"100"


def _count_once(store: ObjectStore) -> bool:
    etag = store.stat("b", KEY).etag
    try:
        number = int(b"".join(store.get("b", KEY, etag=etag)))
        stores.put(store, "b", KEY, str(number + 1).encode(), if_match=etag)
    except ObjectChanged:
        return False
    return True


def test_missing_object_is_not_found(store: ObjectStore, bucket: str) -> None:
    with pytest.raises(ObjectNotFound):
        store.stat(bucket, KEY)
    with pytest.raises(ObjectNotFound):
        content_of(store, bucket)


def test_missing_bucket_is_not_found(store: ObjectStore, bucket: str) -> None:
    absent = f"no-{bucket}"
    with pytest.raises(ObjectNotFound):
        store.stat(absent, KEY)
    with pytest.raises(ObjectNotFound):
        list(store.list(absent))
    with pytest.raises(ObjectNotFound):
        put(store, absent, b"x")


def test_delete_is_idempotent(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"x")
    store.delete(bucket, KEY)
    store.delete(bucket, KEY)
    store.delete(f"no-{bucket}", KEY)
    with pytest.raises(ObjectNotFound):
        store.stat(bucket, KEY)


def test_list_shows_name_size_and_time(store: ObjectStore, bucket: str) -> None:
    began = time.time()
    put(store, bucket, b"12345", key="b.json")
    put(store, bucket, b"123", key="a-bass.mp3")
    found = sorted(store.list(bucket), key=lambda each: each.key)
    assert [(each.key, each.size_bytes) for each in found] == [("a-bass.mp3", 3), ("b.json", 5)]
    # S3 counts in whole seconds.
    assert all(began - 2 < each.modified_at < time.time() + 2 for each in found)


def test_empty_bucket_lists_nothing(store: ObjectStore, bucket: str) -> None:
    assert list(store.list(bucket)) == []


def test_short_data_stores_no_object(store: ObjectStore, bucket: str) -> None:
    with pytest.raises((ValueError, StoreUnavailable)):
        store.put(bucket, KEY, io.BytesIO(b"short"), size_bytes=10)
    assert list(store.list(bucket)) == []


def test_failing_data_keeps_the_old_object(store: ObjectStore, bucket: str) -> None:
    put(store, bucket, b"old")

    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises((OSError, StoreUnavailable)):
        store.put(bucket, KEY, Breaking(), size_bytes=10)
    assert content_of(store, bucket) == b"old"


# Single adapters


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/b", ".hidden", "", "..", "a\x00b"])
def test_key_cannot_leave_the_directory(tmp_path: os.PathLike[str], key: str) -> None:
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


def test_unfinished_uploads_are_deleted_at_start(tmp_path: os.PathLike[str]) -> None:
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


def test_refused_conditional_put_leaves_no_file(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.make_bucket("b")
    put(store, "b", b"old")
    with pytest.raises(ObjectChanged):
        stores.put(store, "b", KEY, b"new", if_match="another")
    assert [path.name for path in (tmp_path / "b").iterdir()] == [KEY]


def test_upload_that_ends_during_the_sweep_is_skipped(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.make_bucket("b")
    # A link to nowhere is in the listing, and its `stat` fails as that of a file that was renamed since.
    (tmp_path / "b" / ".partial-1").symlink_to("nowhere")
    old = tmp_path / "b" / ".partial-2"
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    store.make_bucket("b")
    assert not old.exists()


def test_unwritable_directory_is_store_unavailable(tmp_path: os.PathLike[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    store = DirectoryStore(tmp_path / "file")
    with pytest.raises(StoreUnavailable):
        store.make_bucket("b")


def test_unreachable_s3_server_is_reported_soon() -> None:
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


@pytest.fixture
def s3_proxy(s3_server: S3Access) -> Iterator[TcpProxy]:
    host, port = s3_server.host.split(":")
    with tcp_proxy(host, int(port)) as proxy:
        yield proxy


def test_s3_server_gets_the_condition_of_a_put(s3_proxy: TcpProxy) -> None:
    store, requests = S3Access(s3_proxy.address).store(), []
    store.make_bucket("condition")
    put(store, "condition", b"first")
    etag = store.stat("condition", KEY).etag
    s3_proxy.requests = lambda chunk: (requests.append(chunk), chunk)[1]
    stores.put(store, "condition", KEY, b"second", if_match=etag)
    (sent,) = [each for each in requests if each.startswith(b"PUT ")]
    assert f'if-match: "{etag}"'.encode() in sent.lower()


@pytest.mark.parametrize(
    ("status", "code"), [("412 No", "PreconditionFailed"), ("409 No", "ConditionalRequestConflict")]
)
def test_put_refused_by_the_s3_server_is_a_changed_object(s3_proxy: TcpProxy, status: str, code: str) -> None:
    """MinIO and AWS answer so when another writer was first."""
    store = S3Access(s3_proxy.address).store()
    store.make_bucket("condition")
    put(store, "condition", b"first")
    etag = store.stat("condition", KEY).etag
    body = f"<Error><Code>{code}</Code><Key>{KEY}</Key></Error>"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    answers_put = False

    def watch(chunk: bytes) -> bytes:
        nonlocal answers_put
        answers_put = answers_put or chunk.startswith(b"PUT ")
        return chunk

    s3_proxy.requests = watch
    s3_proxy.replies = lambda chunk: (head + body).encode() if answers_put else chunk
    with pytest.raises(ObjectChanged):
        stores.put(store, "condition", KEY, b"second", if_match=etag)


def test_wrong_keys_are_store_unavailable(s3_server) -> None:  # type: ignore[no-untyped-def]
    store = connect(s3_server.host, access_key="somebody", secret_key="else")
    with pytest.raises(StoreUnavailable):
        store.ping("input-tracks")


def test_in_memory_store_can_be_turned_off() -> None:
    store = InMemoryStore()
    store.make_bucket("b")
    store.away = True
    for call in (lambda: store.ping("b"), lambda: put(store, "b", b"x"), lambda: list(store.list("b"))):
        with pytest.raises(StoreUnavailable):
            call()
