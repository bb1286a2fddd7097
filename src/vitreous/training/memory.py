"""Memory that one step frees is kept for the next one, which needs as much again.

By default the C library of Linux gives blocks of more than 32 MB back to the system at once, and
the system hands them out again page by page, each filled with zeros first. A step of a large batch
on a processor spends a tenth of its time on that (docs/decisions/0018-freed-memory-is-kept.md).
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # malloc.h
KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: -1, TOP_PAD: 64 * 2**20}  # -1: nothing is given back
USUAL = {MMAP_MAX: 65536, TRIM_THRESHOLD: 128 * 1024, TOP_PAD: 128 * 1024}

_depth = 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within it, freed memory stays with this process; afterwards what is free goes back.

    Nothing happens where the C library is another one than glibc. It may be nested.
    """
    global _depth  # a setting of the process, not of an object
    library = glibc()
    if library is None:
        yield
        return
    if _depth == 0:
        _set(library, KEPT)
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            _set(library, USUAL)
            library.malloc_trim(0)


@cache
def glibc() -> ctypes.CDLL | None:
    """The C library of this process, where it is glibc."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  an attribute that others do not have
    except (OSError, AttributeError, TypeError):
        return None
    return library


def _set(library: ctypes.CDLL, settings: dict[int, int]) -> None:
    for parameter, value in settings.items():
        library.mallopt(parameter, value)
