"""Manifests as objects in the output bucket: reads, and edits beside other writers."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from msaas.errors import ObjectChanged, ObjectNotFound, TooBusy
from msaas.manifest import Manifest
from msaas.storage.names import manifest_file
from msaas.storage.protocol import ObjectStore, is_young, object_changed, put_bytes

#: An edit of a manifest is tried this often while other writers are first. Two of them are rare.
_MAX_EDITS = 20


@dataclass(frozen=True)
class Manifests:
    """Every method raises `StoreUnavailable`."""

    store: ObjectStore
    bucket: str

    def get(self, job_id: str, *, etag: str = "") -> Manifest | None:
        """Return the manifest, or None while the job is not done. With `etag`, raises `ObjectChanged`."""
        try:
            name = manifest_file(job_id)
            return Manifest.decode(b"".join(self.store.get(self.bucket, name, etag=etag)))
        except ObjectChanged:
            raise
        except (ObjectNotFound, ValueError):
            return None

    def put(self, manifest: Manifest, *, if_match: str = "") -> None:
        """Store the manifest; `if_match` as in `ObjectStore.put`."""
        put_bytes(
            self.store, self.bucket, manifest_file(manifest.job_id), manifest.encode(), if_match=if_match
        )

    def renew(self, job_id: str, *, find: Callable[[], Manifest | None]) -> Manifest | None:
        """Return `find()`. If there is one, retention counts its age from now.

        Raises:
            TooBusy: other writers change the manifest all the time.
        """
        for _ in range(_MAX_EDITS):
            with suppress(ObjectChanged):
                manifest = find()
                if manifest:
                    self._renew_once(job_id)
                return manifest
        raise _busy(job_id)

    def _renew_once(self, job_id: str) -> None:
        """Store the same bytes again unless they are young. Raises `ObjectChanged`."""
        name = manifest_file(job_id)
        try:
            found = self.store.stat(self.bucket, name)
        except ObjectNotFound:
            raise object_changed(name) from None
        if not is_young(found):
            text = b"".join(self.store.get(self.bucket, name, etag=found.etag))
            put_bytes(self.store, self.bucket, name, text, if_match=found.etag)

    def edit(self, job_id: str, edit: Callable[[Manifest], Manifest]) -> None:
        """Replace the manifest by `edit(manifest)`. If another writer is first, edit its manifest.

        A change is read again, because some S3 servers ignore the condition of a write.
        """
        for _ in range(_MAX_EDITS):
            with suppress(ObjectChanged):
                if not self._edit_once(job_id, edit):
                    return
        raise _busy(job_id)

    def _edit_once(self, job_id: str, edit: Callable[[Manifest], Manifest]) -> bool:
        """Return whether the manifest was changed. Raises `ObjectChanged`."""
        try:
            etag = self.store.stat(self.bucket, manifest_file(job_id)).etag
        except ObjectNotFound:
            return False
        manifest = self.get(job_id, etag=etag)
        if manifest is None or (edited := edit(manifest)) == manifest:
            return False
        self.put(edited, if_match=etag)
        return True


def _busy(job_id: str) -> TooBusy:
    return TooBusy(f"The manifest of job {job_id} is being changed. Try again in 5 s.")
