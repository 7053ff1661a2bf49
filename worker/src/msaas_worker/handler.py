"""One job, from its song to its manifest."""

from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from msaas import log_info
from msaas.jobs import Job
from msaas.manifest import Manifest, StemFile
from msaas.queue import Result
from msaas.stems import MODELS, parse_model
from msaas.tracks import Tracks
from msaas_worker.decoded import SAMPLERATE, Audio, DecodedSong
from msaas_worker.decoding import decode
from msaas_worker.encoder import Audience, Nobody, StemEncoder, encoders
from msaas_worker.lease import Lease
from msaas_worker.publisher import Publisher
from msaas_worker.scratch import Scratch
from msaas_worker.separators import Separator, Separators

#: The share of a job that is done once the model is; encoding keeps pace with it, storing is left.
_MODEL_SHARE = 0.98
#: So often it is asked whether the encoders go on.
_LOOK_S = 0.5


@dataclass(frozen=True)
class Handler:
    tracks: Tracks
    separators: Separators
    scratch: Scratch
    default_model: str
    max_duration_s: int
    #: Whether a song can be heard while it is separated.
    publishes: bool = True

    def handle(self, lease: Lease) -> Result:
        """Do the job of the lease and say what was made.

        Raises:
            LeaseLost: another worker has the job now; nothing more was stored.
            MsaasError: what was wrong with the song, the model or the store.
        """
        job = lease.claim.job
        model = parse_model(job.model or self.default_model)
        if manifest := self._done_before(job, model):
            return _result(manifest, device="")
        with lease.unwatched():
            separator = self.separators.get(model)
        lease.moved()
        lease.tell(model=separator.model, device=separator.device)
        if manifest := self._done_before(job, separator.model):
            return _result(manifest, device="")
        with self.scratch.folder() as folder:
            manifest = self._separate(lease, separator, folder)
        return _result(manifest, device=separator.device)

    def _done_before(self, job: Job, model: str) -> Manifest | None:
        """Return the result of this very work, should it be there already."""
        manifest = self.tracks.whole_manifest(job.songhash)
        if manifest and manifest.answers(model=model, stems=MODELS[model]):
            log_info("job_done_before", job=job.songhash, model=model)
            return manifest
        return None

    def _separate(self, lease: Lease, separator: Separator, folder: Path) -> Manifest:
        job = lease.claim.job
        job_id = job.songhash
        song = self._decoded(lease, folder)
        stems = MODELS[separator.model]
        regions = separator.separate(
            song, stems=stems, on_progress=lambda done: lease.moved(done * _MODEL_SHARE)
        )
        with closing(Publisher(self.tracks, lease) if self.publishes else Nobody()) as audience:
            mp3s = encode(regions, stems, folder, lease, audience=audience)
            log_info("song_separated", job=job_id, model=separator.model)
            manifest = Manifest(
                songhash=job_id,
                model=separator.model,
                weights_sha256=separator.weights_sha256,
                engine=separator.engine,
                samples=song.samples,
                samplerate=SAMPLERATE,
                stems={stem: self._store(lease, stem, mp3) for stem, mp3 in mp3s.items()},
                options={"model": job.model} if job.model else {},
            )
            lease.confirm()
            self.tracks.put_manifest(manifest)
        log_info("manifest_stored", job=job_id)
        return manifest

    def _decoded(self, lease: Lease, folder: Path) -> DecodedSong:
        job_id = lease.claim.job.songhash
        mp3 = folder / "song.mp3"
        with open(mp3, "wb") as file:
            for piece in self.tracks.song(job_id):
                file.write(piece)
                lease.moved()
        log_info("song_fetched", job=job_id, size_bytes=mp3.stat().st_size)
        with lease.unwatched():
            song = decode(mp3, folder / "song.f32", max_duration_s=self.max_duration_s)
        lease.moved()
        log_info("song_decoded", job=job_id, duration_s=round(song.samples / SAMPLERATE, 3))
        return song

    def _store(self, lease: Lease, stem: str, mp3: Path) -> StemFile:
        lease.confirm()
        with open(mp3, "rb") as file:
            stored = self.tracks.put_stem(lease.claim.job.songhash, stem, file)
        log_info("stem_stored", job=lease.claim.job.songhash, stem=stem, size_bytes=stored.size_bytes)
        return stored


def encode(
    regions: Iterator[Audio], stems: tuple[str, ...], folder: Path, lease: Lease, *, audience: Audience
) -> dict[str, Path]:
    """Encode the regions `[stems, 2, samples]` as they come; return the MP3 of each stem."""
    with encoders(folder, stems, audience=audience) as one_each:
        for region in regions:
            for encoder, samples in zip(one_each, region, strict=True):
                encoder.write(samples)
        _finish(one_each, lease)
        return {stem: encoder.path for stem, encoder in zip(stems, one_each, strict=True)}


def _finish(one_each: Sequence[StemEncoder], lease: Lease) -> None:
    """Wait for the last bytes; the lease moves with every block, for a long song may be encoded again."""
    endings, seen = [encoder.finish() for encoder in one_each], -1
    while wait(endings, timeout=_LOOK_S).not_done:
        if (blocks := sum(encoder.encoded_blocks for encoder in one_each)) != seen:
            seen = blocks
            lease.moved()
    for ending in endings:
        ending.result()
    lease.moved()


def _result(manifest: Manifest, *, device: str) -> Result:
    return Result(manifest.model, device, tuple(manifest.stems))
