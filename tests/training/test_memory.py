"""In processes of their own: what an allocator does depends on all that a process did before."""

import subprocess
import sys

import pytest

from vitreous.training.memory import glibc

needs_glibc = pytest.mark.skipif(glibc() is None, reason="another C library than glibc")

BLOCKS = """
import resource
from pathlib import Path
import numpy as np
from vitreous.training.memory import freed_memory_kept

NUMBERS = 2**24  # 64 MB of float32: more than glibc ever keeps by itself
PAGES = 4 * NUMBERS // resource.getpagesize()

def faults(rounds=8):  # pages that the system hands out while a block is taken, filled and freed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        np.empty(NUMBERS, np.float32).fill(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", BLOCKS + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_glibc
def test_what_is_freed_is_taken_again_without_the_system():
    run("""
usual = faults()
with freed_memory_kept():
    with freed_memory_kept():  # nested: the inner end changes nothing
        faults(1)
    kept = faults()
after = faults()
assert kept < usual / 8, (usual, kept)
assert after > usual / 2, (usual, after)
""")


@needs_glibc
def test_afterwards_memory_goes_back_to_the_system():
    run("""
with freed_memory_kept():
    blocks = [np.empty(NUMBERS, np.float32) for _ in range(4)]
    for block in blocks:
        block.fill(1.0)
    del blocks, block
    held = resident_pages()
assert held - resident_pages() > 3 * PAGES, (held, resident_pages())
""")
