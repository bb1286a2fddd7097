"""Which of several ways to the same numbers is the fastest here: measured where it is used."""

import time
from collections.abc import Callable, Sequence

TURNS = 5


def fastest_way(ways: Sequence[Callable[[], object]], turns: int = TURNS) -> int:
    """The number of the way whose best turn is the shortest.

    All take turns, so that what else the machine does meets all alike; the first turn, in which
    memory is asked for and kernels are laid out, does not count. In a turn the second of two calls
    is timed: where a way is called again and again, its numbers are near the processor.
    """
    best = [float("inf")] * len(ways)
    for turn in range(turns + 1):
        for number, way in enumerate(ways):
            way()
            started = time.perf_counter()
            way()
            if turn:
                best[number] = min(best[number], time.perf_counter() - started)
    return best.index(min(best))
