"""Settings of the allocator: a second segment uses the memory of the first."""

import os
import subprocess
import sys

import pytest

from tests.processes import further_heaps

pytestmark = [pytest.mark.process, pytest.mark.long]

#: Fixed thresholds, because glibc raises its own thresholds during a run.
_FIXED_THRESHOLDS = {
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=131072"
}
_SEGMENTS = """
import resource, torch
from bench.random_htdemucs import SMALL, random_htdemucs
from msaas_worker.separators.htdemucs import prepare
from msaas_worker.separators.htdemucs.support import htdemucs_network
from msaas_worker.allocator import keep_freed_memory

assert {keep} is False or keep_freed_memory()
torch.set_num_threads(1)
model = random_htdemucs(SMALL, seed=0)
separate = prepare(model, htdemucs_network(model), precision="exact")
faults = []
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    separate(torch.randn(1, 2, 44_100))
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sum(faults[2:]))
"""

_LOADING = """
import psutil, torch
from msaas_worker.allocator import return_freed_memory, keep_freed_memory

assert keep_freed_memory()
resident = psutil.Process().memory_info
begin = resident().rss
layers = [torch.ones(1_000_000) for _ in range(50)]
del layers[:-1]
kept = resident().rss - begin
return_freed_memory()
print(kept // 1_000_000, (resident().rss - begin) // 1_000_000)
"""

_LARGE = """
import psutil, torch
from msaas_worker.allocator import keep_freed_memory

assert keep_freed_memory()
resident = psutil.Process().memory_info
for floats in (4 << 20, 40 << 20):  # The free end of the heap may be large enough for 32 MiB.
    before = resident().rss
    block = torch.ones(floats)
    held = resident().rss
    del block
    print((held - before) >> 20, (resident().rss - before) >> 20)
"""

_THREAD = """
import sys, threading
from msaas_worker.allocator import keep_freed_memory

{first}
thread = threading.Thread(target=lambda: (bytearray(100_000), print("here", flush=True), sys.stdin.read()))
thread.start()
thread.join()
"""


def _page_faults(*, keep: bool) -> int:
    script = _SEGMENTS.format(keep=keep)
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env={**os.environ, **_FIXED_THRESHOLDS}, capture_output=True, text=True, check=True
    )
    return int(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_freed_memory_is_kept_for_the_next_segment() -> None:
    assert _page_faults(keep=True) < _page_faults(keep=False) / 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_freed_memory_is_returned_on_request() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADING], capture_output=True, text=True, check=True)
    kept_mb, left_mb = map(int, done.stdout.split())
    assert kept_mb > 180
    assert left_mb < 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_only_large_blocks_are_returned_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", _LARGE], capture_output=True, text=True, check=True)
    (held_16, left_16), (held_160, left_160) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert held_16 >= 15
    assert left_16 >= 15
    assert held_160 >= 159
    assert left_160 <= 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
@pytest.mark.parametrize(("first", "heaps"), [("", 1), ("keep_freed_memory()", 0)])
def test_thread_has_its_own_heap_unless_arenas_are_limited_first(first: str, heaps: int) -> None:
    command = [sys.executable, "-c", _THREAD.format(first=first)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        found = further_heaps(process.pid)
        assert process.stdin
        process.stdin.close()
    assert len(found) == heaps, found
