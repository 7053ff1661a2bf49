"""Adapters from settings. Nothing is sent before the first use of an adapter."""

from collections.abc import Callable, Collection

from msaas.errors import MalformedSettings
from msaas.logs import configure_logging, get_logger
from msaas.metrics import serve_metrics
from msaas.queue.protocol import QueuePolicy
from msaas.queue.rabbitmq.address import BrokerAddress
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.history import RedisHistory
from msaas.queue.redis.idempotency import RedisIdempotency
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.log_list import RedisLogHandler
from msaas.queue.redis.outbox import RedisOutbox
from msaas.queue.redis.song_registry import RedisSongRegistry
from msaas.queue.songs import SongConsumer, SongQueue
from msaas.settings import (
    BrokerSettings,
    LeaseSettings,
    MetricsSettings,
    QueueSettings,
    RedisSettings,
    Settings,
    StoreSettings,
    StoreUsersSettings,
)
from msaas.storage.directory import DirectoryStore
from msaas.storage.protocol import ObjectStore, PublicStore
from msaas.storage.song_store import SongStore


def redis_address(settings: RedisSettings) -> RedisAddress:
    password = settings.redis_password.get_secret_value() if settings.redis_password else None
    return RedisAddress(
        settings.redis_host,
        settings.redis_port,
        settings.redis_db,
        password=password,
        username=settings.redis_username if password else None,
    )


def redis_keys(settings: QueueSettings) -> Keys:
    return Keys(waiting=settings.redis_queue_key)


def queue_policy(settings: QueueSettings) -> QueuePolicy:
    """Return the policy of a service. One that holds no lease has the default."""
    if isinstance(settings, LeaseSettings):
        return QueuePolicy(lease_s=settings.lease_seconds, max_attempts=settings.max_attempts)
    return QueuePolicy()


def open_queue(settings: QueueSettings) -> RedisQueue:
    return RedisQueue(redis_address(settings), keys=redis_keys(settings), policy=queue_policy(settings))


def open_outbox(settings: QueueSettings) -> RedisOutbox:
    return RedisOutbox(redis_address(settings), keys=redis_keys(settings), policy=queue_policy(settings))


def open_song_registry(
    settings: QueueSettings, *, find_private: Callable[[], Collection[str]] | None = None
) -> RedisSongRegistry:
    return RedisSongRegistry(redis_address(settings), keys=redis_keys(settings), find_private=find_private)


def open_history_queue(settings: QueueSettings) -> RedisHistory:
    return RedisHistory(redis_address(settings), keys=redis_keys(settings))


def open_idempotency(settings: QueueSettings) -> RedisIdempotency:
    return RedisIdempotency(redis_address(settings), keys=redis_keys(settings))


def open_song_queue(settings: BrokerSettings, *, max_message_bytes: int | None = None) -> SongQueue:
    """`max_message_bytes` is the limit of the broker; None is the default of its version."""
    # The SDK is imported by the services that use RabbitMQ only.
    from msaas.queue.rabbitmq.songs import RabbitSongQueue
    from msaas.queue.rabbitmq.topology import Topology

    return RabbitSongQueue(
        broker_address(settings),
        topology=Topology(queue=settings.broker_queue, arguments=settings.broker_queue_arguments),
        max_message_bytes=max_message_bytes,
    )


def open_song_consumer(settings: BrokerSettings, *, worker: str, hold_every_s: float) -> SongConsumer:
    """`worker` is a name that no other process ever has."""
    from msaas.queue.rabbitmq.consumer import RabbitSongConsumer
    from msaas.queue.rabbitmq.topology import Topology

    return RabbitSongConsumer(
        broker_address(settings),
        worker=worker,
        topology=Topology(queue=settings.broker_queue, arguments=settings.broker_queue_arguments),
        hold_every_s=hold_every_s,
    )


def broker_address(settings: BrokerSettings) -> BrokerAddress:
    return BrokerAddress.parse(
        settings.broker_addr.get_secret_value(),
        user=settings.broker_user,
        password=settings.broker_password.get_secret_value(),
    )


def open_song_store(settings: StoreSettings, *, read_timeout_s: float | None = None) -> SongStore:
    """`read_timeout_s` limits a call to an S3 store; None is the default of the adapter."""
    return SongStore(
        _object_store(settings, read_timeout_s), settings.minio_input_bucket, settings.minio_output_bucket
    )


def _object_store(settings: StoreSettings, read_timeout_s: float | None) -> ObjectStore:
    if settings.store_dir:
        return DirectoryStore(settings.store_dir)
    # The SDK takes a third of the start of a service: a directory store does without it.
    from msaas.storage.s3 import READ_TIMEOUT_S, connect

    return connect(
        settings.minio_host,
        access_key=settings.minio_access_key.get_secret_value(),
        secret_key=settings.minio_secret_key.get_secret_value(),
        secure=settings.minio_secure,
        read_timeout_s=READ_TIMEOUT_S if read_timeout_s is None else read_timeout_s,
    )


def open_public_store(settings: StoreSettings, *, url: str, region: str) -> PublicStore:
    """Return the S3 store as clients reach it at `url`."""
    from msaas.storage.s3 import presigned_urls

    return presigned_urls(
        url,
        access_key=settings.minio_access_key.get_secret_value(),
        secret_key=settings.minio_secret_key.get_secret_value(),
        region=region,
    )


def prepare_store(settings: StoreUsersSettings) -> None:
    """Create the buckets, and on MinIO the users of the services with their policies. May be repeated."""
    open_song_store(settings).prepare()
    if not settings.minio_users:
        return
    from msaas.storage.minio_users import SERVICES, create_users, policy_of

    create_users(
        settings.minio_host,
        root=(settings.minio_access_key.get_secret_value(), settings.minio_secret_key.get_secret_value()),
        secure=settings.minio_secure,
        users={service: settings.user(service) for service in SERVICES},
        policies={
            service: policy_of(
                service,
                input_bucket=settings.minio_input_bucket,
                output_bucket=settings.minio_output_bucket,
                debug=settings.debug_endpoints,
            )
            for service in SERVICES
        },
    )


def start_metrics(settings: MetricsSettings, *, service: str) -> None:
    """Serve `/metrics` as the settings say. Exits with a line that names the cause if it cannot."""
    try:
        serve_metrics(settings.metrics_port, host=settings.metrics_host)
    except MalformedSettings as error:
        get_logger().error(f"{service}_not_started", reason=error.detail)
        raise SystemExit(1) from None


def start_logging(settings: Settings, *, service: str, node: str | None = None, **fields: str) -> None:
    """Log to stdout, and to the Redis list if the service has Redis. `fields` stand in every line."""
    handlers = []
    if isinstance(settings, RedisSettings):
        address = redis_address(settings)
        handlers = [RedisLogHandler(address, key=settings.redis_log_key, service=service, node=node)]
    configure_logging(service=service, level=settings.log_level, handlers=handlers, fields=fields)
