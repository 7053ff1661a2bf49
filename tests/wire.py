from tests.tcp_proxy import *  # noqa: F403
from tests.tcp_proxy import tcp_proxy as wire  # noqa: F401
