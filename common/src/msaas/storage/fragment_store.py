"""Fragments of running jobs, with their peaks, as objects in the output bucket."""

from dataclasses import dataclass

from msaas.errors import FragmentNotFound, ObjectNotFound, PeaksNotFound
from msaas.fragments import Fragments
from msaas.storage.names import fragment_file, fragment_peaks_file
from msaas.storage.protocol import ObjectStore, OpenObject, open_object, put_bytes


@dataclass(frozen=True)
class FragmentStore:
    """Every method raises `StoreUnavailable`."""

    store: ObjectStore
    bucket: str

    def put(self, fragments: Fragments, stem: str, *, number: int, mp3: bytes) -> None:
        put_bytes(self.store, self.bucket, fragment_file(fragments, stem, number=number), mp3)

    def open_fragment(self, fragments: Fragments, stem: str, *, number: int) -> OpenObject:
        """Return the MP3. Raises `FragmentNotFound`."""
        name = fragment_file(fragments, stem, number=number)
        try:
            return open_object(self.store, self.bucket, name)
        except ObjectNotFound:
            raise FragmentNotFound(
                f"Fragment {number} of {stem} of job {fragments.job_id} is deleted. The job may have ended."
            ) from None

    def delete(self, fragments: Fragments, *, number: int) -> None:
        for stem in fragments.stems:
            self.store.delete(self.bucket, fragment_file(fragments, stem, number=number))

    def put_peaks(self, fragments: Fragments, stem: str, peaks: bytes) -> None:
        """Store the peaks of all fragments so far."""
        put_bytes(self.store, self.bucket, fragment_peaks_file(fragments, stem), peaks)

    def open_peaks(self, fragments: Fragments, stem: str) -> OpenObject:
        """Raises `PeaksNotFound`."""
        try:
            return open_object(self.store, self.bucket, fragment_peaks_file(fragments, stem))
        except ObjectNotFound:
            raise peaks_not_found(fragments.job_id, stem) from None

    def delete_all(self, fragments: Fragments) -> None:
        """Delete all fragments, also one that was stored and not published, and their peaks."""
        for number in range(1, fragments.count + 2):
            self.delete(fragments, number=number)
        for stem in fragments.stems:
            self.store.delete(self.bucket, fragment_peaks_file(fragments, stem))


def peaks_not_found(job_id: str, stem: str) -> PeaksNotFound:
    return PeaksNotFound(f"Job {job_id} has no peaks of {stem} yet, or was made by an earlier release.")
