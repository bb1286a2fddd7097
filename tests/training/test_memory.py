import resource
from pathlib import Path

import pytest
import torch

from vitreous.training.memory import freed_memory_kept, glibc

NUMBERS = 2**24  # 64 MB: more than glibc ever keeps by itself
PAGES = 4 * NUMBERS // resource.getpagesize()

needs_glibc = pytest.mark.skipif(glibc() is None, reason="another C library than glibc")


def faults(rounds=8):
    """Pages that the system had to hand out while a block was taken, filled and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.empty(NUMBERS).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@needs_glibc
def test_what_is_freed_is_taken_again_without_the_system():
    usual = faults()
    with freed_memory_kept():
        with freed_memory_kept():  # nested: the inner end changes nothing
            faults(1)
        kept = faults()
    assert usual > 4 * PAGES  # a huge page now and then counts once
    assert kept < PAGES / 4
    assert faults() > 4 * PAGES


@needs_glibc
def test_afterwards_memory_goes_back_to_the_system():
    with freed_memory_kept():
        blocks = [torch.empty(NUMBERS).fill_(1.0) for _ in range(4)]
        del blocks
        held = resident_pages()
    assert held - resident_pages() > 3 * PAGES


def resident_pages():
    with Path("/proc/self/statm").open() as found:
        return int(found.read().split()[1])
