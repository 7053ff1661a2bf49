"""Names of the Redis keys.

`toWorkers` and `job:<id>` are public, the others are shared by the services only. Some keep the names of
earlier releases (`own`, `pieces`), so that neighbouring versions run together.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """`waiting` is the list of jobs, `alias` the other name in use for it."""

    waiting: str = "toWorkers"
    alias: str = "toWorker"

    @property
    def workers(self) -> str:
        """Sorted set: worker, by the end of its lease."""
        return f"{self.waiting}:workers"

    @property
    def delayed(self) -> str:
        """Sorted set: payload, by the time it is due."""
        return f"{self.waiting}:delayed"

    @property
    def dead(self) -> str:
        """List: dead letters, newest first."""
        return f"{self.waiting}:dead"

    @property
    def outbox(self) -> str:
        """Sorted set: delivery id, by the time of its next attempt."""
        return f"{self.waiting}:outbox"

    @property
    def dead_callbacks(self) -> str:
        """List: ids of the deliveries that ran out of attempts, newest first."""
        return f"{self.outbox}:dead"

    @property
    def held(self) -> str:
        """Sorted set: `<delivery id>:<bytes>` of each callback that is kept, by the end of its life."""
        return f"{self.outbox}:held"

    @property
    def held_bytes(self) -> str:
        """Counter: the sum of these bytes."""
        return f"{self.outbox}:bytes"

    @property
    def fragments(self) -> str:
        """Hash: tag of an attempt, its fragments as long as any may be in the store."""
        return f"{self.waiting}:pieces"

    @property
    def abilities(self) -> str:
        """Hash: worker, its abilities as JSON."""
        return f"{self.waiting}:abilities"

    @property
    def order(self) -> str:
        """Sorted set: id of a waiting job, by its turn and, within the turn, by the order of its enqueue."""
        return f"{self.waiting}:order"

    @property
    def turns(self) -> str:
        """Hash: owner, the turn of its latest job."""
        return f"{self.waiting}:turns"

    @property
    def index(self) -> str:
        """Sorted set: id of a job, by the time of its latest request."""
        return f"{self.waiting}:jobs"

    @property
    def history(self) -> str:
        """List: the ends of jobs as JSON, oldest first, until they are in the database."""
        return f"{self.waiting}:history"

    def sent(self, owner: str) -> str:
        """Sorted set: hash of a song that this owner sent, by the time of its latest request."""
        return f"{self.waiting}:sent:{owner}"

    @property
    def private_songs(self) -> str:
        """Set: hash of a song that only accounts sent, also after its deletion."""
        return f"{self.waiting}:private"

    @property
    def removals(self) -> str:
        """Sorted set: hash of a private song without references, by the time at which its removal began."""
        return f"{self.waiting}:removals"

    @property
    def probe(self) -> str:
        """A value without meaning. It is written, and deleted, to see whether the server accepts writes."""
        return f"{self.waiting}:probe"

    def requested(self, song_hash: str) -> str:
        """A value without meaning. A client asked for the song, and retention spares it until it expires."""
        return f"{self.waiting}:requested:{song_hash}"

    def deletion(self, song_hash: str) -> str:
        """A value without meaning. Retention deletes the song, or a result of it."""
        return f"{self.waiting}:deletion:{song_hash}"

    def published(self, song_hash: str) -> str:
        """A value without meaning. The song was published to a broker, and is not published again."""
        return f"{self.waiting}:published:{song_hash}"

    def idempotent(self, record: str) -> str:
        """A request with an idempotency key, as JSON: its digest, and its reply once there is one."""
        return f"{self.waiting}:idempotent:{record}"

    def idempotent_of(self, owner: str) -> str:
        """Names of the records of an owner, by their time. Without an owner those of all."""
        return f"{self.waiting}:idempotent:of:{owner}"

    @property
    def rates(self) -> str:
        """Prefix of the rate limiter's counters."""
        return f"{self.waiting}:rates"

    @property
    def processing_prefix(self) -> str:
        return f"{self.waiting}:own:"

    @property
    def claims_prefix(self) -> str:
        return f"{self.waiting}:claims:"

    @property
    def delivery_prefix(self) -> str:
        return f"{self.waiting}:delivery:"

    def lock(self, task: str) -> str:
        """Lock (SET NX PX)."""
        return f"{self.waiting}:lock:{task}"

    def processing(self, worker: str) -> str:
        """List: entries this worker took."""
        return self.processing_prefix + worker

    def claims(self, worker: str) -> str:
        """Hash: payload, the id of the job this worker leased with it."""
        return self.claims_prefix + worker

    def delivery(self, delivery_id: str) -> str:
        """Hash: one delivery."""
        return self.delivery_prefix + delivery_id

    #: The key of a job is this and its id.
    job_prefix = "job:"
    #: The key of a job's waiting callbacks is that of the job and this.
    callbacks_suffix = ":callbacks"
    #: That of its requests. The steps know it: each end of a job deletes them.
    requests_suffix = ":requests"

    def job(self, job_id: str) -> str:
        """Hash: the state of a job."""
        return self.job_prefix + job_id

    def callbacks(self, job_id: str) -> str:
        """Set: ids of the deliveries that wait for this job."""
        return self.job(job_id) + self.callbacks_suffix

    def requests(self, job_id: str) -> str:
        """Set: `<request id> <owner>` of each request that waits for this job."""
        return self.job(job_id) + self.requests_suffix

    def deliveries(self, job_id: str) -> str:
        """Sorted set: ids of the latest deliveries of this job, by time."""
        return f"{self.job(job_id)}:deliveries"
