"""Real servers on free ports, each with its state in a folder of its own. Tests may kill them."""

from tests.servers.base import Server, absent, free_port, wait_until
from tests.servers.rabbitmq import RabbitServer, rabbit_running
from tests.servers.rclone import RcloneServer, rclone_running
from tests.servers.redis_servers import REDIS_BINARIES, RedisServer, redis_running
from tests.servers.s3 import S3Access
from tests.servers.swift import SwiftServer, swift_running

__all__ = [
    "REDIS_BINARIES",
    "RabbitServer",
    "RcloneServer",
    "RedisServer",
    "S3Access",
    "Server",
    "SwiftServer",
    "absent",
    "free_port",
    "rabbit_running",
    "rclone_running",
    "redis_running",
    "swift_running",
    "wait_until",
]
