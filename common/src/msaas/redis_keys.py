"""The name of every key in Redis that is ours."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """`toWorkers` itself and `job:<id>` are public, the rest is between the queue and its workers."""

    waiting: str = "toWorkers"
    #: The other name in use for the same list.
    alias: str = "toWorker"

    @property
    def workers(self) -> str:
        """Sorted set: worker → when its lease ends."""
        return f"{self.waiting}:workers"

    @property
    def delayed(self) -> str:
        """Sorted set: payload → when it is due."""
        return f"{self.waiting}:delayed"

    @property
    def dead(self) -> str:
        return f"{self.waiting}:dead"

    @property
    def outbox(self) -> str:
        """Sorted set: delivery id → when it is due."""
        return f"{self.waiting}:outbox"

    @property
    def dead_callbacks(self) -> str:
        """List: ids of the deliveries that were given up, newest first."""
        return f"{self.outbox}:dead"

    @property
    def pieces(self) -> str:
        """Hash: attempt → its pieces, as long as any may lie in the store."""
        return f"{self.waiting}:pieces"

    @property
    def rates(self) -> str:
        """Prefix: how often each client called."""
        return f"{self.waiting}:rates"

    @property
    def own_prefix(self) -> str:
        return f"{self.waiting}:own:"

    @property
    def claims_prefix(self) -> str:
        return f"{self.waiting}:claims:"

    @property
    def delivery_prefix(self) -> str:
        return f"{self.waiting}:delivery:"

    def turn(self, task: str) -> str:
        """Exists while it is nobody's turn to do it."""
        return f"{self.waiting}:turn:{task}"

    def own(self, worker: str) -> str:
        """List: what this worker took."""
        return self.own_prefix + worker

    def claims(self, worker: str) -> str:
        """Hash: payload → id, for what this worker leased."""
        return self.claims_prefix + worker

    def delivery(self, delivery_id: str) -> str:
        return self.delivery_prefix + delivery_id

    @staticmethod
    def job(job_id: str) -> str:
        return f"job:{job_id}"

    @staticmethod
    def callbacks(job_id: str) -> str:
        """Set: ids of the deliveries that wait for this job."""
        return f"job:{job_id}:callbacks"

    @staticmethod
    def deliveries(job_id: str) -> str:
        """Sorted set: ids of the latest deliveries of this job, for who asks."""
        return f"job:{job_id}:deliveries"
