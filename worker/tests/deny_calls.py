"""Runs Python under a kernel that denies system calls, as an old kernel or a strict container does.

python -m worker.tests.deny_calls landlock_create_ruleset,seccomp -m msaas_worker
"""

import errno
import os
import sys

from msaas_worker.confinement.seccomp import load_library

_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000


def deny(*names: str) -> None:
    library = load_library()
    context = library.seccomp_init(_ALLOW)
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        assert library.seccomp_rule_add_array(context, _ERRNO | errno.EPERM, number, 0, None) == 0
    assert library.seccomp_load(context) == 0


if __name__ == "__main__":
    deny(*sys.argv[1].split(","))
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
