"""The learning rate over the steps."""

import math


def learning_rate_factor(step: int, planned_steps: int, warm_up: float) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then cosine decay to zero.

    (Loshchilov and Hutter 2017, SGDR, equation 5, with one cycle.)

    >>> [round(learning_rate_factor(step, 100, 0.1), 2) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm_up_steps = max(1, round(warm_up * planned_steps))
    if step < warm_up_steps:
        return (step + 1) / warm_up_steps
    progress = (step - warm_up_steps) / max(1, planned_steps - warm_up_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
