"""The learning rate over the steps."""

import math


def learning_rate_factor(
    step: int, planned_steps: int, warm_up: float, schedule: str = "cosine"
) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then decay to zero.

    The decay is linear, or a cosine's (Loshchilov and Hutter 2017, SGDR, equation 5, one cycle).

    >>> [round(learning_rate_factor(step, 100, 0.1), 2) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    >>> [learning_rate_factor(step, 100, 0.0, "linear") for step in (0, 25, 50)]
    [1.0, 0.75, 0.5]
    """
    warm_up_steps = round(warm_up * planned_steps)
    if schedule == "cosine":
        warm_up_steps = max(1, warm_up_steps)
    if step < warm_up_steps:
        return (step + 1) / warm_up_steps
    progress = (step - warm_up_steps) / max(1, planned_steps - warm_up_steps)
    if schedule == "linear":
        return max(0.0, 1.0 - progress)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
