"""A second segment runs in the memory of the first."""

import os
import subprocess
import sys

import pytest

#: glibc may come to keep some of it by itself, unless it is told from which size on to give back.
_GIVING_BACK = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=131072"}
_SEGMENTS = """
import resource, torch
from bench.random_htdemucs import SMALL, random_htdemucs
from msaas_worker.separators.htdemucs import prepare
from msaas_worker.allocator import keep_freed_memory

assert {keep} is False or keep_freed_memory()
torch.set_num_threads(1)
separate = prepare(random_htdemucs(SMALL, seed=0), precision="exact")
faults = []
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    separate(torch.randn(1, 2, 44_100))
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sum(faults[2:]))
"""

_LOADING = """
import psutil, torch
from msaas_worker.allocator import give_back_freed_memory, keep_freed_memory

assert keep_freed_memory()
resident = psutil.Process().memory_info
begin = resident().rss
layers = [torch.ones(1_000_000) for _ in range(50)]
del layers[:-1]
kept = resident().rss - begin
give_back_freed_memory()
print(kept // 1_000_000, (resident().rss - begin) // 1_000_000)
"""


def _page_faults(*, keep: bool) -> int:
    script = _SEGMENTS.format(keep=keep)
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env={**os.environ, **_GIVING_BACK}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="speaks of glibc")
def test_freed_memory_is_kept_for_the_next_segment() -> None:
    assert _page_faults(keep=True) < _page_faults(keep=False) / 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="speaks of glibc")
def test_freed_memory_is_given_back_when_asked() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADING], capture_output=True, text=True, check=True)
    kept_mb, left_mb = map(int, done.stdout.split())
    assert kept_mb > 180
    assert left_mb < 20
